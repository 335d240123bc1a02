"""The README's programs run, and its tables say what the code does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from api_methods import API_METHODS, READ_METHODS
from doc_snippets import use_sandbox

import binance_margin_stream as sdk
from binance_margin_stream.sandbox import Sandbox

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("program", [program for program in PROGRAMS if "Sandbox()" in program])
def test_a_program_with_a_sandbox_runs_as_it_stands(program, capsys):
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out


FOR_PRODUCTION = [program for program in PROGRAMS if "Sandbox()" not in program]


@pytest.mark.parametrize("program", [program for program in FOR_PRODUCTION if "Stream(" not in program])
def test_a_program_for_production_runs_against_the_sandbox(program, capsys, monkeypatch):
    with Sandbox() as exchange:
        monkeypatch.setenv("BINANCE_API_KEY", exchange.api_key)
        exec(compile(use_sandbox(program), "README.md", "exec"), {"exchange": exchange})
    assert capsys.readouterr().out


@pytest.mark.parametrize("program", [program for program in FOR_PRODUCTION if "Stream(" in program])
def test_a_program_that_follows_does_so_until_it_is_told_to_stop(program):
    with Sandbox() as exchange:
        addresses = f"from binance_margin_stream import Endpoints\nclass exchange: endpoints = {exchange.endpoints!r}\n"
        environment = os.environ | {"BINANCE_API_KEY": exchange.api_key, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-c", addresses + use_sandbox(program)]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            while exchange.send_event({"e": "unheardOf", "E": 1}) == 0 and run.poll() is None:
                time.sleep(0.02)
            exchange.fill_order(exchange.place_order(symbol="BTCUSDT", quantity="1", price="60000").order_id)
            assert run.stdout
            assert "60000" in run.stdout.readline()
            run.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in run.communicate(timeout=10)[1]


def test_every_call_is_listed_with_its_page():
    for call in [*API_METHODS, *READ_METHODS]:
        assert (
            f"[**{call.name}**](docs/{call.api_class}.md#{call.name}) | **{call.http_method}** {call.path} |" in README
        )


def test_every_error_is_listed():
    named = set(re.findall(r"`(\w+(?:Error|Exception))`", README))
    errors = {name for name in sdk.__all__ if name.endswith(("Error", "Exception"))}
    assert errors <= named
