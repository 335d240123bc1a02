"""Output in any encoding, and to streams that are closed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli_program import PROGRAM, build_environment, run_cli

from binance_margin_stream.cli.runner import ExitCode
from binance_margin_stream.sandbox import Sandbox

ENCODINGS = ["cp1252", "cp437", "latin-1", "ascii"]
NOBODY = ["--sandbox", "http://127.0.0.1:1"]
COMMANDS = {
    "--version": ["--version"],
    "help": ["--help"],
    **{
        f"{command} help": [*command.split(), "--help"]
        for command in (
            "listen",
            "doctor",
            "key",
            "key create",
            "key keepalive",
            "key close",
            "token",
            "token create",
            "demo",
            "sandbox",
            "sandbox do",
            "sandbox do inject-fault",
        )
    },
    "doctor": ["doctor", *NOBODY],
    "an error": ["listen", "--source", "币安…", *NOBODY],
}
BANNED = ("UnicodeEncodeError", "Traceback", "please report it, with")


def run_with_redirection(redirection: str, *arguments: str, exchange: Sandbox | None = None) -> tuple[int, str, str]:
    """Run the program in a shell with a redirection such as ``2>&-``; returns exit code, output and errors."""
    overrides = {} if exchange is not None else {"BINANCE_API_KEY": "k" * 64}
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *PROGRAM, *arguments],
        env=build_environment(exchange, overrides),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_works_in_a_code_page(encoding):
    code = (
        "import io, sys; from binance_margin_stream.cli import main\n"
        f"for arguments in {list(COMMANDS.values())!r}:\n"
        "    sys.stdout = io.TextIOWrapper(io.BytesIO(), sys.argv[1])\n"
        "    sys.stderr = io.TextIOWrapper(io.BytesIO(), sys.argv[1])\n"
        "    code = main(arguments)\n"
        "    shown = sys.stdout.buffer.getvalue() + sys.stderr.buffer.getvalue()\n"
        "    sys.__stdout__.write(f'{code} {shown.decode(sys.argv[1])!r}\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, encoding],
        env=build_environment(None, {"BINANCE_API_KEY": "k" * 64}),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    results = dict(zip(COMMANDS, done.stdout.splitlines(), strict=True))
    expected = {"doctor": ExitCode.FAILURE, "an error": ExitCode.USAGE}
    for name, result in results.items():
        assert result.startswith(f"{expected.get(name, 0):d} "), (name, result)
        assert not [banned for banned in BANNED if banned in result]
        assert len(result) > 20


@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-8"])
def test_a_report_in_a_file_has_the_encoding_of_the_environment(encoding, tmp_path):
    report = tmp_path / "report.txt"
    with report.open("wb") as file:
        done = subprocess.run(
            [*PROGRAM, "doctor", *NOBODY],
            env=build_environment(None, {"BINANCE_API_KEY": "k" * 64, "PYTHONIOENCODING": encoding}),
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            timeout=20,
            check=False,
        )
    assert (done.returncode, done.stderr) == (ExitCode.FAILURE, "")
    assert f"{'→' if encoding == 'utf-8' else '>'} check address and port" in report.read_text(encoding)


@pytest.mark.parametrize("redirection", ["", "2>&-"])
def test_closed_errors_keep_json_clean(redirection):
    with Sandbox() as exchange:
        code, output, _ = run_with_redirection(redirection, "doctor", "--json", exchange=exchange)
        created = run_with_redirection(redirection, "token", "create", "--json", exchange=exchange)
    assert (code, json.loads(output)["ok"]) == (0, True)
    assert (created[0], json.loads(created[1])["token"]) == (0, "***")


def test_closed_errors_keep_an_error_out_of_the_output():
    assert run_with_redirection("2>&-", "listen") == (ExitCode.USAGE, "", "")


@pytest.mark.parametrize(
    "arguments", [["doctor", *NOBODY], ["listen", *NOBODY], ["--help"], ["sandbox", "--port", "0"]]
)
def test_a_closed_output_is_code_74(arguments):
    said = "error: the output cannot be written: standard output is closed\n"
    assert run_with_redirection(">&-", *arguments) == (ExitCode.OUTPUT_ERROR, "", said)
    assert run_with_redirection(">&- 2>&-", *arguments) == (ExitCode.OUTPUT_ERROR, "", "")


def test_a_closed_input_is_an_empty_listen_key():
    code, _, errors = run_with_redirection("<&-", "key", "keepalive", "--listen-key-file", "-", *NOBODY)
    assert (code, "is empty" in errors) == (ExitCode.NO_KEY, True)


def test_a_connection_does_not_take_the_number_of_a_closed_stream():
    code = (
        "import os, socket, sys; from binance_margin_stream.terminal.streams import configure_streams\n"
        "configure_streams()\n"
        "with socket.socket() as connection:\n"
        "    print(connection.fileno() > 2)"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", sys.executable, "-c", code],
        env=build_environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "True\n")


@pytest.mark.parametrize("command", ["", "key", "token", "sandbox do"])
def test_without_a_command_the_help_is_all_that_is_printed(command):
    page = run_cli(*command.split())
    assert (page.returncode, page.stderr) == (0, "")
    assert page.stdout == run_cli(*command.split(), "--help").stdout


def test_a_reader_that_leaves_the_help_is_no_error():
    with subprocess.Popen(
        [*PROGRAM, "listen", "--help"], env=build_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait(20)) == (b"", 0)


@pytest.mark.parametrize("command", ["listen", "sandbox", "key"])
def test_flags_read_as_one_name_or_two_with_a_slash(command):
    page = run_cli(command, "--help", TERMINAL_WIDTH="80").stdout
    assert ("--cross/--no-cross" in page) == (command == "listen")
    assert "<bool>" not in page
    assert "bool" not in page.casefold()
    assert "…" not in page  # no name is cut off
