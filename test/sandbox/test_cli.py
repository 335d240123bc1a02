"""The command line of the sandbox, and of its control client."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_client import TIMEOUT_SECONDS

from binance_margin_stream.sandbox import Sandbox
from binance_margin_stream.sandbox.cli import main
from binance_margin_stream.sandbox.control.client import URL_VARIABLE

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "binance_margin_stream.sandbox"]


@contextlib.contextmanager
def run_sandbox(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A sandbox in a separate process, and its output until it was ready."""
    command = [*COMMAND, "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process, said
    finally:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
    """Exit status, further output and errors of a process after a signal."""
    process.send_signal(number)
    output, errors = process.communicate(timeout=10)
    return process.returncode, output, errors


def get_state(url: str) -> dict[str, object]:
    with urllib.request.urlopen(f"{url}/sandbox/state", timeout=TIMEOUT_SECONDS) as answer:
        read: dict[str, object] = json.load(answer)
    return read


def parse_url(said: str) -> str:
    (url,) = re.findall(r"REST +(\S+)", said)
    return str(url)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_banner_has_commands_to_paste_and_a_signal_ends_it_with_code_0(number: signal.Signals) -> None:
    with run_sandbox("--retired-endpoints", "served") as (process, said):
        assert "This is not an exchange" in said
        url = parse_url(said)
        (key,) = re.findall(r"BINANCE_API_KEY=(\S+)", said)
        assert f"export {URL_VARIABLE}={url}\n" in said
        assert f"page            {url}/\n" in said
        request = urllib.request.Request(f"{url}/sapi/v1/userDataStream", method="POST", headers={"X-MBX-APIKEY": key})
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            assert answer.status == 200
        assert stop(process, number) == (0, "The sandbox is closed.\n", "")


def test_it_runs_a_script_from_a_time_of_day_and_keeps_running(tmp_path: Path) -> None:
    script = tmp_path / "day.yaml"
    script.write_text('- at: "09:30"\n  place-order: {symbol: ETHUSDT}\n')
    with run_sandbox("--script", str(script), "--start", "09:00", "--speed", "100000") as (process, said):
        assert process.stdout is not None
        assert process.stdout.readline() == "The script has ended; the sandbox keeps running.\n"
        (order,) = get_state(parse_url(said))["orders"]  # type: ignore[misc]  # JSON
        assert order["symbol"] == "ETHUSDT"
        assert stop(process) == (0, "The sandbox is closed.\n", "")


def test_it_ends_while_a_script_is_running(tmp_path: Path) -> None:
    script = tmp_path / "day.yaml"
    script.write_text("- after: 1h\n  place-order:\n")
    with run_sandbox("--script", str(script)) as (process, _):
        assert stop(process) == (0, "The sandbox is closed.\n", "")


def test_a_script_error_is_printed_and_the_sandbox_keeps_running(tmp_path: Path) -> None:
    script = tmp_path / "day.yaml"
    script.write_text("- after: 0s\n  fill-order:\n")
    with run_sandbox("--script", str(script)) as (process, said):
        assert process.stderr is not None
        assert process.stderr.readline() == "error: line 1: fill-order: no order is open\n"
        assert get_state(parse_url(said))["orders"] == []
        assert stop(process)[0] == 0


def test_it_injects_the_faults_of_its_options() -> None:
    with run_sandbox("--faults", "server-error:0.25, drop,freeze", "--every", "30", "--seed", "7") as (_, said):
        assert "Fault server-error, with probability 0.25." in said
        assert "Random faults about every 30 s, from seed 7: drop, freeze." in said
        (armed,) = get_state(parse_url(said))["faults"]  # type: ignore[misc]  # JSON
        assert (armed["remaining_uses"], armed["probability"]) == (None, 0.25)


def test_with_tls_the_banner_names_the_ca_file() -> None:
    with run_sandbox("--tls") as (process, said):
        url = parse_url(said)
        (trusted,) = re.findall(r"export SSL_CERT_FILE=(\S+)", said)
        assert url.startswith("https://")
        command = [*COMMAND, "do", "--url", url, "place-order"]
        known = {**os.environ, "SSL_CERT_FILE": trusted}
        done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=20, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["order_id"] == 1
        assert stop(process)[0] == 0
    assert not Path(trusted).exists()


def test_it_listens_on_loopback_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", "0.0.0.0"]) == 1
    assert capsys.readouterr().err == (
        "error: the sandbox listens on loopback only, not on 0.0.0.0; "
        "--i-understand-that-this-listens-beyond-loopback allows it\n"
    )


def test_the_request_log_is_printed_without_parameters() -> None:
    with run_sandbox("--log", "--allow-host", "exchange") as (process, said):
        assert process.stdout is not None
        url = parse_url(said)
        key = re.findall(r"BINANCE_API_KEY=(\S+)", said)[0]
        for path, host in (("/sapi/v1/userListenToken", "exchange"), ("/sapi/v1/nothing?secret=x", "localhost")):
            headers = {"X-MBX-APIKEY": key, "Host": host}
            request = urllib.request.Request(url + path, method="POST", headers=headers)
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()
        lines = [process.stdout.readline() for _ in range(2)]
        times = [line.partition(" ")[0] for line in lines]
        assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", time) for time in times)
        assert [line.partition(" ")[2] for line in lines] == [
            "127.0.0.1 POST /sapi/v1/userListenToken 200\n",
            "127.0.0.1 POST /sapi/v1/nothing 404 -1020\n",
        ]
        assert stop(process) == (0, "The sandbox is closed.\n", "")


def test_the_api_key_of_a_file_is_used_and_not_printed(tmp_path: Path) -> None:
    file = tmp_path / "my key"
    file.write_text("K" * 64 + "\nsecret\n")
    with run_sandbox("--api-key-file", str(file)) as (process, said):
        request = urllib.request.Request(f"{parse_url(said)}/sapi/v1/userListenToken", method="POST")
        request.add_header("X-MBX-APIKEY", "K" * 64)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            assert answer.status == 200
        export = "\n".join(line for line in said.splitlines() if "export BINANCE_API_" in line)
        shell = f'{export}\nprintf "%s %s" "$BINANCE_API_KEY" "$BINANCE_API_SECRET"'
        done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)
        assert done.stdout == "K" * 64 + " secret"
        assert stop(process)[0] == 0
    assert "KKKK" not in said


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("short\n", "api_key takes 64 letters and digits"),
        ("K" * 64 + "\n\x01\n", "api_secret takes 1 to 1000 ASCII characters"),
        ("", "the API key file takes the API key on its first line"),
        ("a\nb\nc\n", "the API key file takes the API key on its first line"),
        ("\nb\n", "the API key file takes the API key on its first line"),
        ("\udcff", "the API key file cannot be read: it is no text"),
        (None, "the API key file cannot be read: No such file or directory"),
    ],
)
def test_an_api_key_file_that_cannot_be_used_is_an_error(
    content: str | None, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert main(["--api-key-file", str(file)]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {error}")
    assert str(file) not in errors


@pytest.mark.parametrize("name", ["http://sandbox", "sandbox:8650"])
def test_what_is_no_host_name_cannot_be_allowed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--allow-host", name]) == 1
    assert capsys.readouterr().err.startswith("error: an allowed host takes a name such as sandbox")


def test_a_script_is_checked_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "day.yaml"
    script.write_text("- after: 5s\n  deposit: {}\n")
    assert main(["--script", str(script)]) == 1
    assert capsys.readouterr().err.startswith("error: line 1: no such operation; there are place-order")
    assert main(["--script", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_a_port_in_use_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox() as exchange:
        port = exchange.url.rpartition(":")[2]
        assert main(["--port", port]) == 1
    expected = f"error: port {port} is in use, perhaps by another sandbox: choose another one, or 0 for any free port\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "wrong",
    [
        ["--port", "70000"],
        ["--port", "x"],
        ["--retired-endpoints", "perhaps"],
        ["--start", "9"],
        ["--start", "25:00"],
        ["--every", "0"],
        ["--faults", "fire"],
        ["--faults", "drop:2"],
        ["--faults", "drop:often"],
        ["do", "deposit"],
        ["do", "borrow"],
    ],
)
def test_wrong_options_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(wrong) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1


def test_operations_reach_a_running_sandbox(
    exchange: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, exchange.url)
    assert main(["do", "place-order", "--symbol", "ETHUSDT", "--side", "SELL", "--quantity", "0.5"]) == 0
    placed = json.loads(capsys.readouterr().out)
    assert (placed["order_id"], placed["symbol"], placed["quantity"]) == (1, "ETHUSDT", "0.5")
    assert main(["do", "change-balance", "--asset", "USDT", "--delta", "-5"]) == 0
    assert json.loads(capsys.readouterr().out) is None
    assert exchange.balances()["USDT"].free == 999_995
    assert main(["do", "send-event", "--event", '{"e": "news"}']) == 0
    assert main(["do", "inject-fault", "--fault", "server-error", "--times", "null"]) == 0
    capsys.readouterr()
    assert main(["do", "state"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [order["order_id"] for order in shown["orders"]] == [1]
    assert shown["faults"][0]["remaining_uses"] is None


def test_a_closed_output_pipe_is_no_error(exchange: Sandbox) -> None:
    command = [*COMMAND, "do", "--url", exchange.url, "state"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


def test_failed_operations_print_the_reason(exchange: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["do", "--url", exchange.url, "fill-order"]) == 1
    assert capsys.readouterr() == ("", "error: no order is open\n")
    assert main(["do", "--url", exchange.url, "borrow", "--asset", "BTC", "--amount", "x"]) == 1
    assert capsys.readouterr().err.startswith("error: amount takes a number")
    assert main(["do", "--url", f"{exchange.url}/elsewhere", "state"]) == 1
    assert capsys.readouterr().err == f"error: the server at {exchange.url}/elsewhere is not a sandbox\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "nonsense://", "http://[::1"):
        assert main(["do", "--url", url, "state"]) == 1
        assert (
            capsys.readouterr().err
            == f"error: no sandbox responds at {url.rstrip('/')}; set --url or {URL_VARIABLE} to its address\n"
        )


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, example in (
        (["--help"], "--faults server-error:0.1,429:0.05"),
        (["do", "--help"], "do place-order --symbol ETHUSDT"),
        (["do"], "do place-order --symbol ETHUSDT"),
        (["do", "inject-fault", "--help"], "half-open"),
    ):
        assert main(arguments) == 0
        assert example in " ".join(capsys.readouterr().out.split())


def test_without_aiohttp_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from binance_margin_stream.sandbox.exchange import Exchange\n"
        "from binance_margin_stream.sandbox import Sandbox"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'binance-margin-stream[sandbox]'" in done.stderr


def test_the_commands_of_the_guide_work(exchange: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, exchange.url)
    guide = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
    commands = re.findall(r"^\$ python -m binance_margin_stream\.sandbox (do .*)$", guide, re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        assert main(shlex.split(command)) == 0, command
