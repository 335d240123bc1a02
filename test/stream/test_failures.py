"""How errors of the REST client, responses and refused handshakes are classified."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from binance_margin_stream import exceptions
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.failures import FailureKind, classify_error, classify_response, classify_status


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (exceptions.ListenKeyUnknownError(400), FailureKind.UNKNOWN_CREDENTIAL),
        (exceptions.ListenTokenInvalidError(400), FailureKind.UNKNOWN_CREDENTIAL),
        (exceptions.BadParameterError(400), FailureKind.BAD_PARAMETER),
        (exceptions.ApiValueError("symbol"), FailureKind.BAD_PARAMETER),
        (exceptions.KeyRejectedError(401), FailureKind.KEY_REJECTED),
        (exceptions.EndpointRetiredError(410), FailureKind.RETIRED),
        (exceptions.EndpointRetiredError(404), FailureKind.NOT_FOUND),
        (exceptions.EndpointRetiredError(404, code=-1020), FailureKind.RETIRED),
        (exceptions.BlockedError(403), FailureKind.FIREWALL_BLOCKED),
        (exceptions.BlockedError(451), FailureKind.COUNTRY_BLOCKED),
        (exceptions.ServerError(503), FailureKind.SERVER_ERROR),
        (exceptions.ApiException(400), FailureKind.SERVER_ERROR),
        (exceptions.TransportError("dns", kind="dns"), FailureKind.TRANSPORT_ERROR),
        (exceptions.ResponseError("html"), FailureKind.TRANSPORT_ERROR),
        (RuntimeError("anything"), FailureKind.TRANSPORT_ERROR),
    ],
)
def test_each_error_of_the_client_has_its_failure_kind(error, trouble):
    assert classify_error(error).kind is trouble


def test_waits_are_as_long_as_stated():
    assert classify_error(exceptions.RateLimitError(429, retry_after=7.0)).retry_after == 7.0
    until = datetime.now(UTC) + timedelta(seconds=100)
    banned = classify_error(exceptions.BannedError(418, until=until))
    assert banned.kind is FailureKind.BANNED
    assert 98 < (banned.retry_after or 0) <= 100


@pytest.mark.parametrize(
    ("status", "code", "trouble"),
    [
        (401, -2015, FailureKind.KEY_REJECTED),
        (400, -1209, FailureKind.UNKNOWN_CREDENTIAL),
        (400, -2035, FailureKind.ALREADY_SUBSCRIBED),
        (400, -2042, FailureKind.CONNECTION_FULL),
        (429, -1003, FailureKind.RATE_LIMITED),
        (418, -1003, FailureKind.BANNED),
        (400, -1102, FailureKind.BAD_PARAMETER),
        (400, -1020, FailureKind.RETIRED),
        (500, -1000, FailureKind.SERVER_ERROR),
        (400, -9999, FailureKind.SERVER_ERROR),
    ],
)
def test_each_error_response_has_its_failure_kind(status, code, trouble):
    assert classify_response(ResponseFrame(1, status, None, code, "m"), 0).kind is trouble


def test_a_wait_in_a_response_is_an_epoch_time():
    answer = ResponseFrame(1, 429, None, -1003, "m", retry_after=61_000)
    assert classify_response(answer, 1_000).retry_after == 60.0


@pytest.mark.parametrize("told", [10**400, 10**16, 10**14])
def test_no_wait_is_longer_than_the_longest_ban(told):
    longest = 3 * 86_400
    assert classify_response(ResponseFrame(1, 418, None, -1003, "m", retry_after=told), 1_000).retry_after == longest
    assert classify_response(ResponseFrame(1, 418, None, -1003, "m", retry_after=-told), 1_000).retry_after == 0
    assert classify_status(418, float("inf")).retry_after == longest
    assert classify_status(418, float("nan")).retry_after == 0
    for_centuries = datetime(2286, 1, 1, tzinfo=UTC)
    assert classify_error(exceptions.BannedError(418, until=for_centuries)).retry_after == longest


def test_a_refused_handshake_says_nothing_about_the_key():
    assert classify_status(401, None).kind is FailureKind.TRANSPORT_ERROR
    assert classify_status(429, 3.0).retry_after == 3.0
    assert classify_status(410, None).kind is FailureKind.RETIRED
