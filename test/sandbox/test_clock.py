"""The clock of a sandbox."""

from __future__ import annotations

import pytest

from binance_margin_stream.sandbox.clock import MAX_TIME_MS, Clock


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


def test_time_ends_with_the_year_9999() -> None:
    clock = Clock(MAX_TIME_MS - 1000, 10_000_000.0, 0.0)
    assert clock.to_exchange_ms(1.0) == MAX_TIME_MS
    assert clock.seconds_until(MAX_TIME_MS, 0.0) is not None
    assert clock.seconds_until(MAX_TIME_MS + 1, 0.0) is None
    for start_ms in (-1, MAX_TIME_MS + 1):
        with pytest.raises(ValueError, match="start_ms takes"):
            Clock(start_ms, 1.0, 0.0)
    with pytest.raises(ValueError, match="seconds takes"):
        clock.advance(1e12)
