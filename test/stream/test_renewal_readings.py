"""A subscription is renewed whatever the exchange answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from stream_helpers import BTC, ETH, QUICK_SETTINGS, run_stream

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.settings import with_limits

# Renewed after 1.2 s and replaced after 1.8 s, so that a loaded machine expires nothing.
RENEWING = replace(with_limits(QUICK_SETTINGS, renewal_fraction=0.1, replacement_fraction=0.85), token_validity=12.0)
RESPONSES = ["same_id", "new_id", "both_deliver", "refused", "refused_but_extended"]


@pytest.mark.parametrize("presence", ["present", "missing"])
@pytest.mark.parametrize("form", ["enveloped", "bare"])
@pytest.mark.parametrize("renewal", RESPONSES)
def test_every_answer_to_a_renewal_keeps_every_event_once_and_without_a_gap(renewal, form, presence):
    async def wait(exchange, stream):
        await asyncio.sleep(4.5)

    rules = ExchangeRules(resubscribe_response=renewal, subscribe_response=form, subscription_id=presence)
    checker, health = run_stream(rules, (CROSS, BTC), wait, settings=RENEWING, every=0.005)
    assert checker.gaps == []
    assert health.renewals + health.rotations >= 2
    assert health.reconnects == 0
    assert checker.delivered > 500


def test_many_accounts_join_with_bare_answers():
    async def wait(exchange, stream):
        await asyncio.sleep(0.5)

    rules = ExchangeRules(subscribe_response="bare")
    checker, health = run_stream(rules, (CROSS, BTC, ETH), wait)
    assert checker.gaps == []
    assert health.connections == 1


def test_tokens_of_twelve_seconds_that_are_not_renewed_lose_nothing():
    async def wait(exchange, stream):
        await asyncio.sleep(26)

    rules = ExchangeRules(resubscribe_response="refused")
    settings = replace(QUICK_SETTINGS, token_validity=12.0)
    checker, health = run_stream(rules, (CROSS, BTC), wait, settings=settings, every=0.02)
    assert checker.gaps == []
    assert health.rotations >= 2
