"""The rules that configure a sandbox, and the public names of the package."""

from __future__ import annotations

import ast
import dataclasses
from decimal import Decimal
from pathlib import Path

import pytest

import binance_margin_stream.sandbox as sandbox
from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.config import scale_rules


@pytest.mark.parametrize(
    "wrong",
    [
        {"retired_endpoints": "perhaps"},
        {"signature_policy": "sometimes"},
        {"expiration_time_unit": "ns"},
        {"subscription_id": "maybe"},
        {"resubscribe_response": "later"},
        {"revocation_notice": "perhaps"},
        {"working_time_type": "float"},
        {"listen_key_expired_time_type": "float"},
        {"listen_key_v2_host": "elsewhere"},
        {"margin_event_name_style": "lower"},
        {"ping_interval_ms": 0},
        {"subscribe_response": "plain"},
        {"error_code_type": "text"},
        {"listen_key_characters": "all"},
        {"ip_weight_limit": -1},
        {"max_log_entries": 1.5},
        {"max_body_bytes": True},
        {"connection_lifetime_ms": 10**16},
        {"opening_balance": Decimal("1e-999999999")},
        {"opening_balance": Decimal("1e15")},
    ],
)
def test_a_misspelled_rule_value_is_refused(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"ExchangeRules.{name} takes"):
        ExchangeRules(**wrong)  # type: ignore[arg-type]  # that is what is tested


def test_rules_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ExchangeRules().resubscribe_response = "new_id"  # type: ignore[misc]  # that is what is tested


def test_the_sandbox_imports_nothing_from_the_client() -> None:
    """The value of the endpoints and the output of command lines are shared with the client."""
    package = Path(sandbox.__file__).parent
    allowed = tuple(f"binance_margin_stream.{name}" for name in ("sandbox", "endpoints", "terminal"))
    for module in package.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, module
                own = (node.module or "").startswith("binance_margin_stream")
                assert not own or (node.module or "").startswith(allowed), module


def test_public_names() -> None:
    assert sorted(sandbox.__all__) == [
        "Balance",
        "ExchangeRules",
        "LoggedRequest",
        "Metrics",
        "NAMED_FAULTS",
        "Order",
        "RestCall",
        "Sandbox",
        "User",
        "create_fault",
        "faults",
    ]
    for name in sandbox.__all__:
        assert getattr(sandbox, name) is not None
    with pytest.raises(AttributeError):
        _ = sandbox.Nothing


@pytest.mark.parametrize(("interval_ms", "limit"), [(20_000, 77), (None, 5)])
def test_fast_clocks_leave_clients_a_second_for_their_pongs(interval_ms: int | None, limit: int) -> None:
    rules = scale_rules(ExchangeRules(ping_interval_ms=interval_ms), 1440.0)
    assert (rules.pong_timeout_ms, rules.stream_message_limit_per_second) == (1_440_000, limit)
