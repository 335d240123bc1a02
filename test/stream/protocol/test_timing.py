"""Backoff, rate limits and timers, as pure values of time."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.stream.protocol.timing import Backoff, RateLimiter, SlidingWindowLimit, Timers


class TestBackoff:
    @given(seed=st.integers(), failures=st.integers(1, 200))
    def test_it_is_capped_and_fully_jittered(self, seed, failures):
        backoff = Backoff(0.5, 30.0, random.Random(seed).uniform)
        delays = [backoff.next_delay() for _ in range(failures)]
        assert all(0 <= delay <= min(30.0, 0.5 * 2**n) for n, delay in enumerate(delays))

    def test_it_uses_its_whole_range(self):
        low, high = Backoff(1.0, 8.0, lambda a, _: a), Backoff(1.0, 8.0, lambda _, b: b)
        assert [low.next_delay() for _ in range(5)] == [0.0] * 5
        assert [high.next_delay() for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]

    def test_it_starts_again(self):
        backoff = Backoff(1.0, 8.0, lambda _, b: b)
        backoff.next_delay(), backoff.next_delay()
        backoff.reset()
        assert backoff.next_delay() == 1.0


class TestRateLimiter:
    @given(rate=st.floats(0.5, 100), burst=st.integers(1, 10), steps=st.lists(st.floats(0, 3), max_size=100))
    def test_no_second_has_more_than_its_share(self, rate, burst, steps):
        pace, now, taken = RateLimiter(rate, burst), 0.0, []
        for step in steps:
            now = max(now + step, pace.next_allowed_at(now + step))
            pace.acquire(now)
            taken.append(now)
        for at in taken:
            assert sum(1 for other in taken if at <= other < at + 1) <= rate + burst + 1e-6

    def test_a_window_never_holds_more_than_its_limit(self):
        window, now, made = SlidingWindowLimit(5, 60.0), 0.0, []
        for _ in range(50):
            now = window.next_allowed_at(now)
            window.acquire(now)
            made.append(now)
        assert max(sum(1 for other in made if at <= other < at + 60) for at in made) == 5


class TestTimers:
    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20) | st.none()), max_size=200))
    def test_they_do_what_a_dictionary_would(self, steps):
        timers, model = Timers(), {}
        for key, at in steps:
            if at is None:
                timers.cancel(key)
                model.pop(key, None)
            else:
                timers.set(key, at)
                model[key] = at
            assert len(timers) == len(model)
        due = []
        while (key := timers.pop_due(10)) is not None:
            due.append(model.pop(key))
        assert due == sorted(due)
        assert all(at > 10 for at in model.values())
        assert (timers.peek() is None) == (not model)

    def test_moving_one_a_million_times_takes_no_room(self):
        timers = Timers()
        for at in range(10_000):
            timers.set("one", at)
        assert timers.heap_size < 100

    def test_it_is_only_moved_forward_when_asked_so(self):
        timers = Timers()
        timers.set("one", 5.0)
        timers.set_earlier("one", 7.0)
        assert timers.peek() == (5.0, "one")
        timers.set_earlier("one", 3.0)
        assert timers.peek() == (3.0, "one")
