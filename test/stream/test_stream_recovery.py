"""Recovery, account snapshots and checkpoints over real sockets against the sandbox."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from decimal import Decimal

import pytest
from stream_helpers import QUICK_SETTINGS

from binance_margin_stream import ApiKeyAuth, exceptions
from binance_margin_stream.account.items import AccountChanged
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.sandbox import Sandbox, faults
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import ExecutionReport, StreamGap
from binance_margin_stream.stream.events.recovered import GapClosed, RecoveredOrder, RecoveredTrade
from binance_margin_stream.stream.sync_stream import MarginStream

PAIR = isolated("BTCUSDT")
QUICK = Recovery(lag_guard=0.2, repeat_after=0.4, unproven_after=4.0, late_after=6.0)
READS = "/sapi/v1/margin/myTrades"


def options(exchange, **more):
    return {"endpoints": exchange.endpoints, "settings": QUICK_SETTINGS, "recover": QUICK} | more


def sign(exchange):
    return ApiKeyAuth(exchange.api_key, exchange.api_secret)


def take_until(stream, kind, seconds=20.0):
    """The items up to one of a kind."""
    items, end = [], time.monotonic() + seconds
    for item in stream:
        items.append(item)
        if isinstance(item, kind):
            return items
        assert time.monotonic() < end, items
    raise AssertionError(items)


def trades(items):
    return [item for item in items if isinstance(item, RecoveredTrade)]


class TestRecovery:
    @pytest.mark.parametrize("account", [CROSS, PAIR], ids=str)
    def test_a_fill_and_an_end_that_came_while_the_connection_was_down_are_recovered(self, account):
        with Sandbox() as exchange, MarginStream(sign(exchange), [account], **options(exchange)) as stream:
            order = exchange.place_order(quantity="3", account=account.symbol or "cross")
            take_until(stream, ExecutionReport)
            exchange.inject_fault("drop")
            exchange.fill_order(order.order_id, "1")
            exchange.cancel_order(order.order_id)
            items = take_until(stream, GapClosed)
        (gap,) = [item for item in items if isinstance(item, StreamGap)]
        (trade,) = trades(items)
        assert (trade.order_id, trade.last_executed_quantity) == (order.order_id, 1)
        assert trade.cumulative_filled_quantity == Decimal(1)
        (end,) = [item for item in items if isinstance(item, RecoveredOrder)]
        assert end.order_status == "CANCELED"
        closed = items[-1]
        assert (closed.gap_ids, closed.trades, closed.orders) == ((gap.id,), 1, 1)
        assert items.index(gap) < items.index(trade) < items.index(end)

    def test_it_is_the_same_with_asyncio(self):
        async def main():
            with Sandbox() as exchange:
                async with AsyncMarginStream(sign(exchange), [PAIR], **options(exchange)) as stream:
                    exchange.inject_fault("drop")
                    exchange.fill_order(exchange.place_order(account="BTCUSDT").order_id)
                    items = [await anext(stream)]
                    while not isinstance(items[-1], GapClosed):
                        items.append(await asyncio.wait_for(anext(stream), 20))
                    while not stream.account(PAIR).is_exact:
                        await asyncio.sleep(0.05)
                    return items, stream.account(PAIR), exchange.balances(account="BTCUSDT")

        items, snapshot, balances = asyncio.run(main())
        delivered = [
            *trades(items),
            *(item for item in items if isinstance(item, ExecutionReport) and item.trade_id > 0),
        ]
        assert len(delivered) == 1
        assert {name: each.free for name, each in snapshot.balances.items()} == {
            name: balances[name].free for name in snapshot.balances
        }

    def test_failing_reads_are_tried_again(self):
        with Sandbox() as exchange, MarginStream(sign(exchange), [PAIR], **options(exchange)) as stream:
            exchange.inject_fault(faults.StaticResponse(503, b""), path=READS, times=3)
            exchange.inject_fault("drop")
            exchange.fill_order(exchange.place_order(account="BTCUSDT").order_id)
            assert len(take_until(stream, GapClosed)) >= 2

    def test_a_key_that_may_not_read_turns_recovery_off_with_one_warning(self, caplog):
        caplog.set_level(logging.WARNING, "binance_margin_stream.stream")
        with Sandbox() as exchange, MarginStream(sign(exchange), [PAIR], **options(exchange)) as stream:
            exchange.inject_fault(faults.ApiError(-2015), path=READS, times=None)
            exchange.inject_fault("drop")
            take_until(stream, StreamGap)
            deadline = time.monotonic() + 10
            while "recovery disabled" not in caplog.text and time.monotonic() < deadline:
                time.sleep(0.02)
            exchange.place_order(account="BTCUSDT")
            take_until(stream, ExecutionReport)
            assert not stream.account(PAIR).is_exact
        assert caplog.text.count("recovery disabled") == 1

    def test_a_gap_that_is_not_closed_is_emitted_again_at_the_end(self):
        with Sandbox() as exchange, MarginStream(sign(exchange), [PAIR], **options(exchange)) as stream:
            exchange.inject_fault(faults.StaticResponse(503, b""), path=READS, times=None)
            exchange.inject_fault("drop")
            gap = take_until(stream, StreamGap)[-1]
            stream.close()
            assert [(item.id, item.reason) for item in stream] == [(gap.id, gap.reason)]

    @pytest.mark.parametrize("how", ["no secret", "turned off"])
    def test_without_a_secret_or_when_turned_off_all_is_as_without_recovery(self, how):
        with Sandbox() as exchange:
            auth = ApiKeyAuth(exchange.api_key) if how == "no secret" else sign(exchange)
            more = {} if how == "no secret" else {"recover": None}
            plain = {"endpoints": exchange.endpoints, "settings": QUICK_SETTINGS} | more
            with MarginStream(auth, [PAIR], **plain) as stream:
                exchange.inject_fault("drop")
                (gap,) = take_until(stream, StreamGap)
                assert gap.id == 0
                with pytest.raises(exceptions.StreamError, match="does not read accounts"):
                    stream.account(PAIR)
                assert exchange.metrics.rest_calls <= 3

    def test_recovery_that_is_asked_for_needs_something_to_sign_with(self):
        with pytest.raises(exceptions.ApiValueError, match="pass a secret or a private key"):
            MarginStream(ApiKeyAuth("key" * 22), [PAIR], recover=Recovery(symbols=frozenset({"BTCUSDT"})))


class TestAccount:
    def test_a_snapshot_follows_the_events_that_were_taken(self):
        with Sandbox() as exchange, MarginStream(sign(exchange), [PAIR], **options(exchange)) as stream:
            order = exchange.place_order(account="BTCUSDT", quantity="2", price="60000")
            report = take_until(stream, ExecutionReport)[-1]
            (open_order,) = stream.account(PAIR).open_orders
            assert (open_order.order_id, open_order.quantity) == (report.order_id, 2)
            exchange.cancel_order(order.order_id)
            take_until(stream, ExecutionReport)
            assert stream.account(PAIR).open_orders == ()
            with pytest.raises(exceptions.ApiValueError, match="not followed"):
                stream.account(CROSS)

    def test_a_changed_account_is_an_item_and_a_callback_if_asked_for(self):
        seen = []
        with Sandbox() as exchange:
            more = options(exchange, recover=Recovery(show_changes=True), on_account=seen.append)
            with MarginStream(sign(exchange), [PAIR], **more) as stream:
                exchange.place_order(account="BTCUSDT")
                changed = take_until(stream, AccountChanged)[-1]
        assert changed.snapshot in seen
        assert changed.account == PAIR


class TestCheckpoint:
    def test_a_restart_recovers_what_happened_meanwhile(self, tmp_path):
        path = tmp_path / "bot.checkpoint"
        keeping = Recovery(
            checkpoint=path, checkpoint_name="bot", lag_guard=0.2, repeat_after=0.4, unproven_after=4.0, late_after=6.0
        )
        with Sandbox() as exchange:
            with MarginStream(sign(exchange), [PAIR], **options(exchange, recover=keeping)) as stream:
                order = exchange.place_order(account="BTCUSDT", quantity="3")
                exchange.fill_order(order.order_id, "1")
                first = [item for item in (next(stream) for _ in range(4)) if isinstance(item, ExecutionReport)]
                wait_until_followed(stream)
                stream.commit()
            exchange.fill_order(order.order_id, "2")
            with MarginStream(sign(exchange), [PAIR], **options(exchange, recover=keeping)) as stream:
                items = take_until(stream, GapClosed)
        assert [item.reason for item in items if isinstance(item, StreamGap)] == ["restart"]
        assert [trade.last_executed_quantity for trade in trades(items)] == [2]
        assert [item.order_status for item in items if isinstance(item, RecoveredOrder)] == ["FILLED"]
        assert trades(items)[0].cumulative_filled_quantity == 3
        identities = Counter(item.identity for item in [*first, *trades(items)] if item.execution_type == "TRADE")
        assert set(identities.values()) == {1}

    def test_what_happened_since_a_given_time_is_recovered(self):
        with Sandbox() as exchange:
            before = exchange.now_ms() if hasattr(exchange, "now_ms") else round(time.time() * 1000) - 1000
            exchange.fill_order(exchange.place_order(account="BTCUSDT").order_id)
            recover = Recovery(since=before, lag_guard=0.2, repeat_after=0.4, unproven_after=4.0, late_after=6.0)
            with MarginStream(sign(exchange), [PAIR], **options(exchange, recover=recover)) as stream:
                assert len(trades(take_until(stream, GapClosed))) == 1

    def test_a_file_of_another_stream_is_refused(self, tmp_path):
        path = tmp_path / "other"
        path.write_text("something else\n")
        with Sandbox() as exchange:
            stream = MarginStream(sign(exchange), [PAIR], **options(exchange, recover=Recovery(checkpoint=path)))
            with pytest.raises(exceptions.CheckpointError, match="other: this is not a checkpoint"), stream:
                pass
        assert path.read_text() == "something else\n"

    def test_a_checkpoint_that_cannot_be_written_is_an_error_and_leaves_no_file(self, tmp_path):
        recover = Recovery(checkpoint=tmp_path / "missing" / "file")
        with (
            Sandbox() as exchange,
            MarginStream(sign(exchange), [PAIR], **options(exchange, recover=recover)) as stream,
        ):
            with pytest.raises(exceptions.CheckpointError, match="cannot write"):
                stream.commit()
        assert list(tmp_path.iterdir()) == []


def wait_until_followed(stream):
    """A commit holds nothing before the exchange's time was read."""
    recovery = stream._worker.engine.recovery
    while recovery.manager.followed_since(PAIR) is None:
        time.sleep(0.02)
