"""Events that are not what the exchange documents, over real sockets."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager

import pytest
from stream_helpers import make_stream

from binance_margin_stream import BalanceUpdate, ExecutionReport, StreamGap, UnknownEvent
from binance_margin_stream.sandbox import Sandbox, faults

DEPOSIT = {"e": "balanceUpdate", "E": 1_790_000_000_000, "a": "BTC", "d": "1", "T": 1_790_000_000_000}
FILL = {
    "e": "executionReport", "E": 9, "s": "BTCUSDT", "c": "mine", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "1.0",
    "p": "2.0", "P": "0", "F": "0", "g": -1, "C": "", "x": "TRADE", "X": "FILLED", "r": "NONE", "i": 3, "l": "1.0",
    "z": "1.0", "L": "2.0", "n": "0.1", "N": None, "T": 8, "t": 4, "I": 5, "w": False, "m": True, "M": True, "O": 7,
    "Z": "2.0", "Y": "2.0", "Q": "0", "W": 7, "V": "NONE",
}  # fmt: skip


@contextmanager
def open_stream():
    with Sandbox() as exchange, make_stream(exchange) as stream:
        timer = threading.Timer(15, stream.close)
        timer.start()
        try:
            yield exchange, stream
        finally:
            timer.cancel()


def test_an_odd_field_costs_neither_the_fill_nor_a_gap():
    with open_stream() as (exchange, stream):
        exchange.send_event(FILL | {"V": 3, "C": None, "n": None, "P": "", "T": 1_790_000_000_000_123})
        report = next(stream)

        assert isinstance(report, ExecutionReport)
        assert (report.order_id, report.trade_id, report.transaction_time) == (3, 4, 1_790_000_000_000)
        assert len(report.problems) == 5
        assert stream.health.malformed_frames == 0


def test_each_odd_field_is_logged_once(caplog):
    with open_stream() as (exchange, stream), caplog.at_level(logging.WARNING, "binance_margin_stream.stream"):
        for odd in ({"a": None}, {"a": None}, {"a": None, "d": "x"}):
            exchange.send_event(DEPOSIT | odd)
            assert isinstance(next(stream), BalanceUpdate)

    warnings = [record.getMessage() for record in caplog.records if "is not as documented" in record.getMessage()]
    assert [text.split(" is not")[0] for text in warnings] == ["balanceUpdate: asset", "balanceUpdate: delta"]


@pytest.mark.parametrize("odd", [{"i": None}, {"s": 3}, {"t": "x"}, {"e": 1}])
def test_an_event_without_its_essentials_is_unknown_and_a_gap(odd):
    with open_stream() as (exchange, stream):
        exchange.send_event(FILL | odd)
        event, gap = next(stream), next(stream)

        assert isinstance(event, UnknownEvent)
        assert event.payload == FILL | odd
        assert isinstance(gap, StreamGap)
        assert (gap.reason, gap.account, gap.frame) == ("malformed frame", event.account, None)
        assert stream.health.malformed_frames == 1


def test_a_gap_shows_the_frame_that_cannot_be_read():
    secret = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
    with open_stream() as (exchange, stream):
        exchange.inject_fault(faults.MalformedFrame(f"<html>{secret} " + "é" * 600))
        exchange.send_event(DEPOSIT)
        gap = next(stream)

        assert isinstance(gap, StreamGap)
        assert gap.frame is not None
        assert gap.frame.startswith("<html>*** é")
        assert len(gap.frame) == 500
        assert StreamGap.from_json(gap.to_json()) == gap
