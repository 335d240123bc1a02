"""The stream through the sandbox's faults by name, and through random trouble, under load."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from stream_helpers import BTC, QUICK, fail, run

from binance_margin_stream.sandbox import ExchangeRules, create_fault
from binance_margin_stream.sandbox.faults.random import RECOVERABLE_FAULTS
from binance_margin_stream.stream.accounts import CROSS

ALERT = replace(QUICK, idle_timeout=1.0, firewall_wait=0.5)
PINGING = ExchangeRules(ping_interval_ms=300)


def reasons(judge) -> set[str]:
    return {gap.reason for gap in judge.gaps}


def test_a_half_open_connection_is_found():
    judge, health = run(PINGING, (CROSS,), fail("half-open", 2.0), settings=ALERT)
    assert reasons(judge) == {"frozen"}
    assert health.reconnects == 1


def test_late_frames_are_no_gap():
    judge, health = run(ExchangeRules(), (CROSS, BTC), fail(create_fault("delay-frames", seconds=0.3)))
    assert judge.gaps == []
    assert health.reconnects == 0


def test_an_event_cut_in_half_is_a_gap():
    judge, health = run(ExchangeRules(), (CROSS,), fail("truncate-event"))
    assert reasons(judge) == {"malformed frame"}
    assert health.malformed_frames == 1


def test_events_of_two_accounts_may_change_places():
    judge, _ = run(ExchangeRules(), (CROSS, BTC), fail("reorder-events", times=50), every=0.0005)
    assert judge.gaps == []


@pytest.mark.parametrize("seed", [1, 2])
def test_random_trouble_loses_nothing_in_silence(seed):
    # A ban takes two minutes, a delay never ends, and an event that is really sent twice is two events.
    names = [name for name in RECOVERABLE_FAULTS if name not in ("418", "delay-frames", "duplicate-event")]

    async def during(exchange, stream):
        await asyncio.to_thread(exchange.start_random_faults, seed, 0.25, names)
        await asyncio.sleep(6.0)
        await asyncio.to_thread(exchange.clear_faults)
        assert len(exchange.metrics.fault_counts) >= 6
        await asyncio.to_thread(exchange.inject_fault, "reset")  # what was frozen must not last
        await asyncio.sleep(1.5)

    judge, _ = run(PINGING, (CROSS, BTC), during, settings=ALERT, settle=2.0)
    assert judge.delivered > 50
