"""The page about trading on the sandbox lists every call and fault."""

from __future__ import annotations

from pathlib import Path

from binance_margin_stream.sandbox.api.rest_endpoints import ENDPOINTS
from binance_margin_stream.sandbox.faults.trading import __all__ as trading_faults

PAGE = (Path(__file__).parents[2] / "docs" / "testnet.md").read_text(encoding="utf-8")
CREDENTIAL_PATHS = ("userDataStream", "listen-key", "userListenToken")


def test_the_page_lists_every_call_with_its_weight() -> None:
    listed = [line for line in PAGE.splitlines() if line.startswith("| `") and "/" in line]
    served = [
        endpoint for endpoint in ENDPOINTS.values() if not any(each in endpoint.path for each in CREDENTIAL_PATHS)
    ]
    expected = {
        f"| `{each.method} {each.path}` | {each.security} | {each.weight} {each.scope}"
        + (" or more |" if each.cost else " |")
        for each in served
    }
    assert expected == {line for line in listed if "api/v" in line}


def test_the_page_names_the_faults_of_trading_calls() -> None:
    names = {"".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-") for name in trading_faults}
    assert {name for name in names if not name.endswith(("read-fault", "trading-fault"))} <= set(PAGE.split("`"))
