"""The sandbox in a terminal."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from binance_margin_stream.sandbox.command import main

COMMAND = [sys.executable, "-m", "binance_margin_stream.sandbox"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_what_to_paste_and_ends_cleanly(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--retired-calls", "served"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = ""
    while "Ctrl-C" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    assert "This is not an exchange" in said
    (url,) = re.findall(r"REST +(\S+)", said)
    (key,) = re.findall(r"BINANCE_API_KEY=(\S+)", said)
    request = urllib.request.Request(f"{url}/sapi/v1/userDataStream", method="POST", headers={"X-MBX-APIKEY": key})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
    process.send_signal(number)
    rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "The sandbox is closed.\n", "")


def test_it_listens_on_loopback_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", "0.0.0.0"]) == 1
    assert "loopback only" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--port", "70000"], ["--port", "x"], ["--retired-calls", "perhaps"]])
def test_wrong_options_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(wrong)
    assert caught.value.code == 2
    assert "error" in capsys.readouterr().err


def test_without_aiohttp_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from binance_margin_stream.sandbox.exchange import Exchange\n"
        "from binance_margin_stream.sandbox import Sandbox"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'binance-margin-stream[sandbox]'" in done.stderr
