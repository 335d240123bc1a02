"""The values that configure a sandbox, and its clock."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

import binance_margin_stream.sandbox as sandbox
from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.clock import Clock


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
        {"ip_weight_limit": -1},
        {"max_log_entries": 1.5},
        {"max_body_bytes": True},
    ],
)
def test_a_typing_error_cannot_pass_for_a_rule(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"ExchangeRules.{name} takes"):
        ExchangeRules(**wrong)  # type: ignore[arg-type]  # that is what is tested


def test_rules_cannot_be_changed_under_a_running_exchange() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ExchangeRules().resubscribe_response = "new_id"  # type: ignore[misc]  # that is what is tested


def test_time_can_run_at_any_speed() -> None:
    clock = Clock(1_000, 1440.0, 50.0)
    assert clock.to_exchange_ms(50.0) == 1_000
    assert clock.to_exchange_ms(110.0) == 1_000 + 86_400_000
    assert clock.seconds_until(1_000 + 86_400_000, 50.0) == pytest.approx(60.0)
    assert clock.seconds_until(1_000, 60.0) == 0.0


def test_time_can_stand_still_and_be_stepped() -> None:
    clock = Clock(1_000, 0, 50.0)
    assert clock.to_exchange_ms(99.0) == 1_000
    assert clock.seconds_until(2_000, 99.0) is None
    clock.advance(1.5)
    assert clock.to_exchange_ms(99.0) == 2_500


def test_time_does_not_run_backwards() -> None:
    for speed in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="speed takes"):
            Clock(0, speed, 0.0)
    with pytest.raises(ValueError, match="seconds takes"):
        Clock(0, 1.0, 0.0).advance(-1)


def test_the_sandbox_reads_the_facts_for_itself() -> None:
    """Nothing is taken from the client's half but the value that holds addresses."""
    package = Path(sandbox.__file__).parent
    allowed = ("binance_margin_stream.sandbox", "binance_margin_stream.endpoints")
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
