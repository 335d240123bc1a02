"""How equal events are numbered."""

from __future__ import annotations

from binance_margin_stream.relay.occurrences import OccurrenceCounter


def test_equal_events_of_one_subscription_have_rising_numbers() -> None:
    counter = OccurrenceCounter()
    assert [counter.count("deposit", 1, is_covered=True) for _ in range(3)] == [1, 2, 3]
    assert counter.count("other", 1, is_covered=True) == 1


def test_an_event_that_the_stream_removed_after_a_rotation_is_counted() -> None:
    counter = OccurrenceCounter()
    assert counter.count("deposit", 1, is_covered=True) == 1
    assert counter.count("deposit", 2, is_covered=True) == 2


def test_a_subscription_that_began_later_counts_for_itself() -> None:
    counter = OccurrenceCounter()
    assert counter.count("deposit", 1, is_covered=True) == 1
    assert counter.count("deposit", 2, is_covered=False) == 1


def test_memory_is_bounded() -> None:
    counter = OccurrenceCounter()
    for number in range(10_001):
        counter.count(number, 1, is_covered=True)
    assert counter.count(10_000, 1, is_covered=True) == 2
    assert counter.count(0, 1, is_covered=True) == 1
