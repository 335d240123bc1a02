"""The buffer is bounded, and counts what it drops."""

from __future__ import annotations

from fake_exchange import FakeEvent
from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.protocol.buffer import EventBuffer


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 10))
def test_every_event_is_taken_or_counted(steps, limit):
    buffer, put, taken, dropped = EventBuffer(limit, lambda at: round(at * 1000)), 0, [], 0
    for step in [*steps, *[False] * (limit + 2)]:
        if step:
            buffer.put(float(put), FakeEvent(put, CROSS, put, 0.0, CROSS))
            put += 1
        elif isinstance(item := buffer.pop(), StreamGap):
            dropped += item.dropped
        elif item is not None:
            taken.append(item.serial)
        assert len(buffer) <= limit + 1
    assert len(taken) + dropped == put
    assert taken == sorted(taken)
    assert buffer.dropped == dropped
