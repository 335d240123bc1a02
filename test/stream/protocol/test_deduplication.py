"""Held events are bounded, and gaps have consistent times."""

from __future__ import annotations

from fake_exchange import FakeExchange

from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.settings import StreamSettings, with_limits


def test_held_events_are_bounded():
    exchange = (
        FakeExchange([CROSS], settings=with_limits(StreamSettings(), max_held_events=50)).start().run_until_live()
    )
    old = exchange.open_connections()[0]
    exchange.shut_down(old, grace=3600)
    exchange.run_until(
        lambda: len(exchange.open_connections()) == 2 and bool(exchange.open_connections()[1].subscriptions), 30
    )
    old.downlink_busy_until = exchange.now + 60
    for _ in range(200):
        exchange.send_event(CROSS)
    exchange.run(90)
    exchange.assert_complete()
    assert len(exchange.list_gaps()) == 1


def test_a_corrected_clock_does_not_move_the_other_end_of_a_gap():
    exchange = FakeExchange([CROSS]).start().run_until_live().run(60)
    exchange.epoch += 3_600_000
    exchange.drop_connection(exchange.open_connections()[0])
    exchange.run(30)
    (gap,) = exchange.list_gaps()
    assert 0 < gap.until - gap.since < 60_000
