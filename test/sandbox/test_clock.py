"""The clock of a sandbox."""

from __future__ import annotations

import pytest

from binance_margin_stream.sandbox.clock import Clock


def test_time_can_run_at_any_speed() -> None:
    clock = Clock(1_000, 1440.0, 50.0)
    assert clock.to_exchange_ms(50.0) == 1_000
    assert clock.to_exchange_ms(110.0) == 1_000 + 86_400_000
    assert clock.seconds_until(1_000 + 86_400_000, 50.0) == pytest.approx(60.0)
    assert clock.seconds_until(1_000, 60.0) == 0.0


def test_time_can_be_paused_and_advanced() -> None:
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
