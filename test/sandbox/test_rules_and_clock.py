"""The values that configure a sandbox, and its clock."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

import binance_margin_stream.sandbox as sandbox
from binance_margin_stream.sandbox import Rules
from binance_margin_stream.sandbox.clock import Clock


@pytest.mark.parametrize(
    "wrong",
    [
        {"retired_calls": "perhaps"},
        {"signing": "sometimes"},
        {"websocket_expiration": "ns"},
        {"subscription_id": "maybe"},
        {"renewal": "later"},
        {"revocation": "perhaps"},
        {"working_time": "float"},
        {"listen_key_expired_time": "float"},
        {"listen_key_v2_host": "elsewhere"},
        {"margin_event_names": "lower"},
        {"ping_interval_ms": 0},
        {"ip_weight_limit": -1},
        {"log_size": 1.5},
        {"body_limit": True},
    ],
)
def test_a_typing_error_cannot_pass_for_a_rule(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"Rules.{name} takes"):
        Rules(**wrong)  # type: ignore[arg-type]  # that is what is tested


def test_rules_cannot_be_changed_under_a_running_exchange() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Rules().renewal = "new_id"  # type: ignore[misc]  # that is what is tested


def test_time_can_run_at_any_speed() -> None:
    clock = Clock(1_000, 1440.0, 50.0)
    assert clock.at(50.0) == 1_000
    assert clock.at(110.0) == 1_000 + 86_400_000
    assert clock.wait_for(1_000 + 86_400_000, 50.0) == pytest.approx(60.0)
    assert clock.wait_for(1_000, 60.0) == 0.0


def test_time_can_stand_still_and_be_stepped() -> None:
    clock = Clock(1_000, 0, 50.0)
    assert clock.at(99.0) == 1_000
    assert clock.wait_for(2_000, 99.0) is None
    clock.step(1.5)
    assert clock.at(99.0) == 2_500


def test_time_does_not_run_backwards() -> None:
    for speed in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="speed takes"):
            Clock(0, speed, 0.0)
    with pytest.raises(ValueError, match="seconds takes"):
        Clock(0, 1.0, 0.0).step(-1)


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
        "ApiAccount",
        "Balance",
        "Counts",
        "NAMED",
        "Order",
        "RestCall",
        "Rules",
        "Sandbox",
        "faults",
        "named",
    ]
    for name in sandbox.__all__:
        assert getattr(sandbox, name) is not None
    with pytest.raises(AttributeError):
        _ = sandbox.Nothing
