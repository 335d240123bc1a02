"""What an HTTP answer means: pure, from status, headers and bytes to a value or an error."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from binance_margin_stream import exceptions as errors
from binance_margin_stream.redaction import extract_html_title, redact, truncate

__all__ = ["HttpResponse", "find_error_in_success", "make_response_error", "map_error", "parse_http_date", "parse_json"]

_CREATE_LISTEN_TOKEN = "ListenTokenApi.sapi_v1_user_listen_token_post"  # noqa: S105  # a call's name, not a secret
_CREATE_LISTEN_KEY_V2 = "MarginListenKeyApi.sapi_v2_margin_listen_key_post"
_SUCCESSORS = {
    "/sapi/v1/userDataStream": _CREATE_LISTEN_TOKEN,
    "/sapi/v1/userDataStream/isolated": f"{_CREATE_LISTEN_TOKEN} with is_isolated and symbol",
    "/sapi/v1/userListenToken": _CREATE_LISTEN_KEY_V2,
    "/sapi/v2/margin/listen-key": _CREATE_LISTEN_TOKEN,
    "/sapi/v1/margin/listen-key": _CREATE_LISTEN_KEY_V2,
}

_ERROR_BY_CODE: dict[int, type[errors.ApiException]] = {
    **dict.fromkeys((-1003, -1015), errors.RateLimitError),
    **dict.fromkeys((-1002, -1022, -2008, -2014, -2015), errors.KeyRejectedError),
    **dict.fromkeys((-1016, -1020), errors.EndpointRetiredError),
    **dict.fromkeys((-1000, -1001, -1006, -1007, -1008), errors.ServerError),
    **dict.fromkeys((*range(-1108, -1099), -1121, -1130), errors.BadParameterError),
    -1021: errors.TimestampError,
    -1125: errors.ListenKeyUnknownError,
    -1209: errors.ListenTokenInvalidError,
}
_ERROR_BY_DECISIVE_STATUS: dict[int, type[errors.ApiException]] = {
    404: errors.EndpointRetiredError,
    410: errors.EndpointRetiredError,
    418: errors.BannedError,
    429: errors.RateLimitError,
}
_ERROR_BY_STATUS: dict[int, type[errors.ApiException]] = {
    400: errors.BadRequestException,
    401: errors.KeyRejectedError,
    403: errors.BlockedError,
    408: errors.ServerError,
    451: errors.BlockedError,
}
_CHARSET = re.compile(r"""charset=["']?([^\s;"']+)""", re.IGNORECASE)
_BANNED_UNTIL = re.compile(r"until (\d{13})\b")
_MAX_RETRY_AFTER = timedelta(days=366).total_seconds()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One whole HTTP answer, with what is needed to speak about it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    method: str = ""
    path: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What the request held that must not be shown."""

    @property
    def call(self) -> str:
        """Method and path, such as ``POST /sapi/v1/userListenToken``."""
        return f"{self.method} {self.path}".strip()

    @property
    def text(self) -> str:
        """The body as it may be shown: on one line, shortened, without secrets."""
        return truncate(self._redacted)

    @property
    def title(self) -> str:
        """The title of the body if that is an HTML page, without secrets; else empty."""
        return extract_html_title(self._redacted)

    @property
    def _redacted(self) -> str:
        return redact(self.body[:20_000].decode("utf-8", "replace"), self.secrets)


def parse_json(response: HttpResponse) -> object:
    """The JSON value of the body; raises `ValueError` with the reason when it holds none."""
    charset = _CHARSET.search(response.headers.get("Content-Type", ""))
    if charset and charset[1] != "UTF-8" and _normalize_charset(charset[1]) not in ("utf-8", "ascii"):
        raise ValueError(f"its charset is {truncate(charset[1], 30)!r}, not UTF-8")
    try:
        return _JSON_DECODER.decode(response.body.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):
        pass
    raise ValueError(
        _describe_invalid_json(response)
    )  # out here, so that it drags along no exception that holds the body


def make_response_error(response: HttpResponse, problem: str) -> errors.ResponseError:
    """The error for an answer that is not what the exchange promises; `problem` completes 'answered …'."""
    excerpt = f": {response.text}" if response.text else ""
    return errors.ResponseError(
        f"{response.call}: HTTP {response.status}, but {problem}{excerpt}",
        status=response.status,
        headers=response.headers,
        body=response.text,
    )


def map_error(response: HttpResponse, now: datetime | None = None) -> errors.ApiException:
    """The error for an answer whose status is not 2xx; `now` is the time that waits count from."""
    now = now or datetime.now(UTC)
    code, msg = _parse_code_and_msg(response)
    kind = _select_error_class(response.status, code)
    retry_after = _parse_retry_after(response.headers.get("Retry-After"), now)
    extra: dict[str, Any] = {}
    if kind is errors.EndpointRetiredError:
        extra["successor"] = _SUCCESSORS.get(response.path)
    if kind is errors.BannedError:
        extra["until"] = until = _parse_ban_end(retry_after, msg, now)
        retry_after = max(0.0, (until - now).total_seconds()) if until else None
    return kind(
        response.status,
        None if msg is not None else response.title or response.text,
        code=code,
        msg=msg,
        headers=response.headers,
        body=response.text,
        retry_after=retry_after,
        call=response.call or None,
        received_at=now,
        **extra,
    )


def find_error_in_success(response: HttpResponse, value: object) -> errors.ApiException | None:
    """The error in a 2xx answer that holds the exchange's error body; None when it holds none."""
    body = value if isinstance(value, dict) else {}
    code = body.get("code")
    return map_error(response) if type(code) is int and code < 0 and "msg" in body else None


def _select_error_class(status: int, code: int | None) -> type[errors.ApiException]:
    if status in _ERROR_BY_DECISIVE_STATUS:
        return _ERROR_BY_DECISIVE_STATUS[status]
    if status >= 500:
        return errors.ServerError
    if code is not None and code in _ERROR_BY_CODE:
        return _ERROR_BY_CODE[code]
    return _ERROR_BY_STATUS.get(status, errors.ApiException)


def _parse_code_and_msg(response: HttpResponse) -> tuple[int | None, str | None]:
    try:
        body = parse_json(response)
    except ValueError:
        return None, None
    if not isinstance(body, dict):
        return None, None
    code, msg = body.get("code"), body.get("msg")
    return (
        code if type(code) is int else None,
        truncate(redact(msg, response.secrets)) if isinstance(msg, str) else None,
    )


def _parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds, from either spelling that HTTP allows; None when it says nothing sensible."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        end = parse_http_date(value)
        seconds = max(0.0, (end - now).total_seconds()) if end else math.nan
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _MAX_RETRY_AFTER else None


def parse_http_date(date: str) -> datetime | None:
    """The moment that an HTTP header tells; None when it tells none."""
    try:
        moment = parsedate_to_datetime(date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _parse_ban_end(retry_after: float | None, msg: str | None, now: datetime) -> datetime | None:
    if retry_after is not None:
        return now + timedelta(seconds=retry_after)
    match = _BANNED_UNTIL.search(msg or "")
    return datetime.fromtimestamp(int(match[1]) / 1000, UTC) if match else None


def _describe_invalid_json(response: HttpResponse) -> str:
    if not response.body.strip():
        return "the answer is empty"
    if (coding := response.headers.get("Content-Encoding", "identity").strip().lower()) != "identity":
        return f"the answer is compressed ({truncate(redact(coding, response.secrets), 30)!r}), which was not asked for"
    start = response.body.lstrip()[:200].lower()
    if start.startswith(b"<"):
        return "the answer is an HTML page" + (f" titled {response.title!r}" if response.title else "")
    return "the answer is not JSON"


def _normalize_charset(charset: str) -> str:
    try:
        return codecs.lookup(charset).name
    except (LookupError, ValueError):
        return charset


def _reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_JSON_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
