"""Whatever happens, in any combination: what recovery promises, against a small model of the exchange.

Every fill is handed over exactly once, every order that was known as open gets its end, nothing is claimed that did
not happen, every gap is closed, and no endpoint is asked more than its share.
"""

from __future__ import annotations

from account_trouble import Trouble, play
from account_world import Lag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RELAXED = settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**32)


@RELAXED
@given(
    seed=SEEDS,
    downs=st.sampled_from([1, 4, 15]),
    rate=st.sampled_from([2.0, 10.0, 40.0]),
    read_failures=st.sampled_from([0.0, 0.3, 0.8]),
    orders=st.sampled_from(["known", "all"]),
    late_share=st.sampled_from([0.0, 0.1, 0.5]),
    order_lag=st.sampled_from([500, 1_500, 8_000]),
)
def test_every_fill_comes_once_and_every_order_gets_its_end(
    seed, downs, rate, read_failures, orders, late_share, order_lag
):
    trouble = Trouble(
        downs=downs,
        trades_a_minute=rate,
        read_failures=read_failures,
        orders=orders,
        minutes=10,
        lag=Lag(late_share=late_share, orders=order_lag, unknown_for=order_lag),
    )
    play(seed, trouble).check()


@RELAXED
@given(seed=SEEDS, hidden_share=st.sampled_from([0.02, 0.2]), orders=st.sampled_from(["known", "all"]))
def test_a_fill_whose_row_never_shows_is_named(seed, hidden_share, orders):
    play(seed, Trouble(orders=orders, minutes=10, lag=Lag(hidden_share=hidden_share))).check()


@RELAXED
@given(seed=SEEDS, silent_spells=st.integers(1, 4), downs=st.sampled_from([0, 3]))
def test_frames_that_were_never_sent_are_found(seed, silent_spells, downs):
    play(seed, Trouble(silent_spells=silent_spells, downs=downs, minutes=15, late_fills=False)).check()


@RELAXED
@given(seed=SEEDS, page_rows=st.sampled_from([2, 5, 20]))
def test_responses_that_hold_a_part_only_are_read_to_the_end(seed, page_rows):
    play(seed, Trouble(page_rows=page_rows, minutes=8, downs=2)).check()


@RELAXED
@given(seed=SEEDS, restarts=st.integers(1, 4), downs=st.sampled_from([0, 3]), read_failures=st.sampled_from([0.0, 0.3]))
def test_a_restart_from_a_checkpoint_loses_nothing(seed, restarts, downs, read_failures):
    play(seed, Trouble(restarts=restarts, downs=downs, read_failures=read_failures, minutes=12)).check()
