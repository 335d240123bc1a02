"""The README's programs run, and its tables say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from calls import CALLS

import binance_margin_stream as sdk

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("program", [program for program in PROGRAMS if "Sandbox()" in program])
def test_a_program_with_a_sandbox_runs_as_it_stands(program, capsys):
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("program", [program for program in PROGRAMS if "Sandbox()" not in program])
def test_a_program_for_production_runs_against_the_sandbox(program, capsys, monkeypatch):
    from binance_margin_stream.sandbox import Sandbox

    with Sandbox() as exchange:
        monkeypatch.setenv("BINANCE_API_KEY", exchange.api_key)
        here = program.replace("ApiKeyAuth.from_env()", "ApiKeyAuth.from_env(), endpoints=exchange.endpoints")
        assert here != program
        exec(compile(here, "README.md", "exec"), {"exchange": exchange})
    assert capsys.readouterr().out


def test_every_call_is_listed_with_its_page():
    for call in CALLS:
        assert f"[**{call.name}**](docs/{call.api}.md#{call.name}) | **{call.method}** {call.path} |" in README


def test_every_error_is_listed():
    named = set(re.findall(r"`(\w+(?:Error|Exception))`", README))
    abstract = {"Error", "StreamError"}
    errors = {name for name in sdk.__all__ if name.endswith(("Error", "Exception"))} - abstract
    assert errors <= named
