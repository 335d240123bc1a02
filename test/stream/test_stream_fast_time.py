"""A stream on a sandbox whose time runs 1440 times as fast: a day in a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from stream_helpers import BTC, make_stream

from binance_margin_stream import MarginStream
from binance_margin_stream.sandbox import ExchangeRules, Sandbox
from binance_margin_stream.stream.accounts import CROSS, Account
from binance_margin_stream.stream.limits import HOUR
from binance_margin_stream.stream.settings import StreamSettings

SPEED = 1440.0
HOUR_MS = 3_600_000
TOKEN = "/sapi/v1/userListenToken"
V2 = "/sapi/v2/margin/listen-key"

# Shorter lifetimes than the real ones, so that renewals and rotations fit into a few seconds.
EXCHANGE = ExchangeRules(listen_token_validity_ms=HOUR_MS, connection_lifetime_ms=3 * HOUR_MS // 2)
STREAM = StreamSettings(token_validity=HOUR, connection_max_age=1.2 * HOUR, connection_age_jitter=0.2 * HOUR)


def follow(stream: MarginStream, exchange: Sandbox, accounts: tuple[Account, ...], until: Callable[[], bool]) -> None:
    """Send numbered events to each account, one at a time, and receive each of them; a gap fails."""
    deadline, number = time.monotonic() + 40, 0
    while not until():
        assert time.monotonic() < deadline, stream.health
        number += 1
        for account in accounts:
            event = {"e": "balanceUpdate", "E": exchange.now, "a": "USDT", "d": f"{number}", "T": exchange.now}
            assert exchange.send_event(event, account.symbol or "cross") >= 1
        arrived = [next(stream) for _ in accounts]
        assert [(item.account, item.delta) for item in arrived] == [(account, number) for account in accounts]


@pytest.mark.parametrize(("renewal", "rotations"), [("same_id", 2), ("refused", 1)])
def test_renewals_and_rotations_pass_without_a_gap(renewal: str, rotations: int) -> None:
    with Sandbox(rules=replace(EXCHANGE, resubscribe_response=renewal), speed=SPEED) as exchange:
        with make_stream(exchange, CROSS, BTC, settings=STREAM.scaled(SPEED)) as stream:

            def enough() -> bool:
                return (
                    stream.health.rotations >= rotations and exchange.metrics.count_rest_calls(TOKEN, status=200) >= 6
                )

            follow(stream, exchange, (CROSS, BTC), enough)
            assert stream.health.gaps == 0


def test_a_listen_key_is_kept_alive() -> None:
    with Sandbox(speed=SPEED) as exchange:
        exchange.retire_endpoint(TOKEN)
        with make_stream(exchange, CROSS, settings=StreamSettings().scaled(SPEED)) as stream:
            began = exchange.now
            # A key without a keepalive expires after an hour.
            follow(stream, exchange, (CROSS,), lambda: exchange.now > began + 3 * HOUR_MS // 2)
            assert stream.health.gaps == 0
        assert exchange.metrics.count_rest_calls(V2, "PUT", 200) >= 2
