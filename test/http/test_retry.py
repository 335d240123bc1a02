"""Whether a call is retried: the decision alone, for any error and attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import binance_margin_stream as sdk

POLICY = sdk.RetryPolicy(max_attempts=4, backoff_initial=0.25, backoff_max=8, max_retry_after=30)
attempts = st.integers(1, 10_000)
jitters = st.floats(0, 1)

RETRIED = [
    sdk.ServerError(503),
    *(
        sdk.TransportError("", kind=kind)
        for kind in ("refused", "dns", "timeout", "disconnected", "protocol", "connect")
    ),
]
FINAL = [
    sdk.BannedError(418, retry_after=1),
    sdk.KeyRejectedError(401),
    sdk.BlockedError(403),
    sdk.EndpointRetiredError(410),
    sdk.BadParameterError(400),
    sdk.ListenKeyUnknownError(400),
    sdk.ResponseError("", status=200),
    sdk.TransportError("", kind="tls"),
    sdk.TransportError("", kind="closed"),
    sdk.ApiValueError(""),
]


@pytest.mark.parametrize("error", RETRIED, ids=repr)
@given(attempt=attempts, jitter=jitters)
def test_failures_are_repeated_after_a_capped_and_jittered_pause(error, attempt, jitter):
    pause = POLICY.compute_delay(error, attempt, jitter)
    assert (pause is None) == (attempt >= 4)
    if pause is not None:
        assert 0 <= pause <= min(8, 0.25 * 2 ** (attempt - 1))


@pytest.mark.parametrize("error", FINAL, ids=repr)
@given(attempt=attempts, jitter=jitters)
def test_refusals_and_bans_are_never_repeated(error, attempt, jitter):
    assert POLICY.compute_delay(error, attempt, jitter) is None


@given(attempt=attempts, jitter=jitters, wait=st.none() | st.floats(0, 1e6))
def test_a_rate_limit_is_waited_out_exactly_or_not_at_all(attempt, jitter, wait):
    pause = POLICY.compute_delay(sdk.RateLimitError(429, retry_after=wait), attempt, jitter)
    assert pause == (wait if wait is not None and wait <= 30 and attempt < 4 else None)


@given(attempt=attempts, jitter=jitters)
def test_one_attempt_means_one(attempt, jitter):
    assert all(sdk.NO_RETRIES.compute_delay(error, attempt, jitter) is None for error in RETRIED)
