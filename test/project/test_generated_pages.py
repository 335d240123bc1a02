"""The programs on the generated pages run unchanged, but for the address of a sandbox."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from api_methods import API_METHODS

from binance_margin_stream.sandbox import ExchangeRules, Sandbox

DOCS = Path(__file__).parents[2] / "docs"
MODEL_PAGES = ("ApiV3UserDataStreamPost200Response", "ErrorResponse", "ListenToken")


def extract_programs(page: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize("call", API_METHODS, ids=str)
def test_the_program_of_a_call_runs(call, monkeypatch, capsys):
    (program,) = (text for text in extract_programs(call.api_class) if f".{call.name}(" in text)
    with Sandbox(rules=ExchangeRules(retired_endpoints="served")) as exchange:
        monkeypatch.setenv("BINANCE_API_KEY", exchange.api_key)
        here = program.replace("ApiKeyAuth.from_env()", "ApiKeyAuth.from_env(), endpoints=exchange.endpoints")
        exec(compile(here, call.api_class, "exec"), {"exchange": exchange})
        assert exchange.metrics.rest_calls == 1
    said = capsys.readouterr().out
    assert said
    assert ("listen key is no longer valid" in said or "correct the parameter" in said) == (
        "listen_key" in call.arguments
    )


@pytest.mark.parametrize("page", MODEL_PAGES)
def test_the_program_of_a_model_makes_one(page):
    (program,) = extract_programs(page)
    names: dict[str, object] = {}
    exec(compile(program, page, "exec"), names)
    assert type(names["model"]).__name__ == page
