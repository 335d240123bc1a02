"""The stream under the sandbox's named faults and random faults, under load."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from stream_helpers import BTC, QUICK_SETTINGS, inject_fault, run_stream

from binance_margin_stream.sandbox import ExchangeRules, create_fault
from binance_margin_stream.sandbox.faults.random import RECOVERABLE_FAULTS
from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.settings import with_limits

SHORT_DEADLINES = replace(with_limits(QUICK_SETTINGS, firewall_wait=0.5), idle_timeout=1.0)
FREQUENT_PINGS = ExchangeRules(ping_interval_ms=300)


def reasons(checker) -> set[str]:
    return {gap.reason for gap in checker.gaps}


def test_a_half_open_connection_is_found():
    checker, health = run_stream(FREQUENT_PINGS, (CROSS,), inject_fault("half-open", 2.0), settings=SHORT_DEADLINES)
    assert reasons(checker) == {"frozen"}
    assert health.reconnects == 1


def test_late_frames_are_no_gap():
    checker, health = run_stream(ExchangeRules(), (CROSS, BTC), inject_fault(create_fault("delay-frames", seconds=0.3)))
    assert checker.gaps == []
    assert health.reconnects == 0


def test_an_event_cut_in_half_is_a_gap():
    checker, health = run_stream(ExchangeRules(), (CROSS,), inject_fault("truncate-event"))
    assert reasons(checker) == {"malformed frame"}
    assert health.malformed_frames == 1


def test_events_of_two_accounts_may_change_places():
    checker, _ = run_stream(ExchangeRules(), (CROSS, BTC), inject_fault("reorder-events", times=50), every=0.0005)
    assert checker.gaps == []


@pytest.mark.parametrize("seed", [1, 2])
def test_random_faults_lose_nothing_without_a_gap(seed):
    # A ban takes two minutes, a delay never ends, and an event that is sent twice is two events.
    names = [name for name in RECOVERABLE_FAULTS if name not in ("418", "delay-frames", "duplicate-event")]

    async def during(exchange, stream):
        await asyncio.to_thread(exchange.start_random_faults, seed, 0.25, names)
        await asyncio.sleep(6.0)
        await asyncio.to_thread(exchange.clear_faults)
        assert len(exchange.metrics.fault_counts) >= 6
        await asyncio.to_thread(exchange.inject_fault, "reset")  # end the connections that are still frozen
        await asyncio.sleep(1.5)

    checker, _ = run_stream(FREQUENT_PINGS, (CROSS, BTC), during, settings=SHORT_DEADLINES, settle=2.0)
    assert checker.delivered > 50
