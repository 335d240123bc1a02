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
from binance_margin_stream.redaction import page_title, redacted, shortened

__all__ = ["Answer", "error_of", "error_told_as_success", "json_of", "response_error", "time_of"]

_LISTEN_TOKEN = "ListenTokenApi.sapi_v1_user_listen_token_post"  # noqa: S105  # a call's name, not a secret
_LISTEN_KEY_V2 = "MarginListenKeyApi.sapi_v2_margin_listen_key_post"
_SUCCESSORS = {
    "/sapi/v1/userDataStream": _LISTEN_TOKEN,
    "/sapi/v1/userDataStream/isolated": f"{_LISTEN_TOKEN} with is_isolated and symbol",
    "/sapi/v1/userListenToken": _LISTEN_KEY_V2,
    "/sapi/v2/margin/listen-key": _LISTEN_TOKEN,
    "/sapi/v1/margin/listen-key": _LISTEN_KEY_V2,
}

_OF_CODE: dict[int, type[errors.ApiException]] = {
    **dict.fromkeys((-1003, -1015), errors.RateLimitError),
    **dict.fromkeys((-1002, -1022, -2008, -2014, -2015), errors.KeyRejectedError),
    **dict.fromkeys((-1016, -1020), errors.EndpointRetiredError),
    **dict.fromkeys((-1000, -1001, -1006, -1007, -1008), errors.ServerError),
    **dict.fromkeys((*range(-1108, -1099), -1121, -1130), errors.BadParameterError),
    -1021: errors.TimestampError,
    -1125: errors.ListenKeyUnknownError,
    -1209: errors.ListenTokenInvalidError,
}
_WHATEVER_THE_CODE: dict[int, type[errors.ApiException]] = {
    404: errors.EndpointRetiredError,
    410: errors.EndpointRetiredError,
    418: errors.BannedError,
    429: errors.RateLimitError,
}
_OF_STATUS: dict[int, type[errors.ApiException]] = {
    400: errors.BadRequestException,
    401: errors.KeyRejectedError,
    403: errors.BlockedError,
    408: errors.ServerError,
    451: errors.BlockedError,
}
_CHARSET = re.compile(r"""charset=["']?([^\s;"']+)""", re.IGNORECASE)
_BANNED_UNTIL = re.compile(r"until (\d{13})\b")
_LONGEST_WAIT = timedelta(days=366).total_seconds()


@dataclass(frozen=True, slots=True)
class Answer:
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
        return shortened(self._redacted)

    @property
    def title(self) -> str:
        """The title of the body if that is an HTML page, without secrets; else empty."""
        return page_title(self._redacted)

    @property
    def _redacted(self) -> str:
        return redacted(self.body[:20_000].decode("utf-8", "replace"), self.secrets)


def json_of(answer: Answer) -> object:
    """The JSON value of the body; raises `ValueError` with the reason when it holds none."""
    charset = _CHARSET.search(answer.headers.get("Content-Type", ""))
    if charset and charset[1] != "UTF-8" and _codec(charset[1]) not in ("utf-8", "ascii"):
        raise ValueError(f"its charset is {shortened(charset[1], 30)!r}, not UTF-8")
    try:
        return _JSON.decode(answer.body.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):
        pass
    raise ValueError(_not_json(answer))  # out here, so that it drags along no exception that holds the body


def response_error(answer: Answer, problem: str) -> errors.ResponseError:
    """The error for an answer that is not what the exchange promises; `problem` completes 'answered …'."""
    shown = f": {answer.text}" if answer.text else ""
    return errors.ResponseError(
        f"{answer.call}: HTTP {answer.status}, but {problem}{shown}",
        status=answer.status,
        headers=answer.headers,
        body=answer.text,
    )


def error_of(answer: Answer, now: datetime | None = None) -> errors.ApiException:
    """The error for an answer whose status is not 2xx; `now` is the time that waits count from."""
    now = now or datetime.now(UTC)
    code, msg = _code_and_msg(answer)
    kind = _class_of(answer.status, code)
    retry_after = _retry_after(answer.headers.get("Retry-After"), now)
    extra: dict[str, Any] = {}
    if kind is errors.EndpointRetiredError:
        extra["successor"] = _SUCCESSORS.get(answer.path)
    if kind is errors.BannedError:
        extra["until"] = until = _ban_end(retry_after, msg, now)
        retry_after = max(0.0, (until - now).total_seconds()) if until else None
    return kind(
        answer.status,
        None if msg is not None else answer.title or answer.text,
        code=code,
        msg=msg,
        headers=answer.headers,
        body=answer.text,
        retry_after=retry_after,
        call=answer.call or None,
        at=now,
        **extra,
    )


def error_told_as_success(answer: Answer, value: object) -> errors.ApiException | None:
    """The error in a 2xx answer that holds the exchange's error body; None when it holds none."""
    said = value if isinstance(value, dict) else {}
    code = said.get("code")
    return error_of(answer) if type(code) is int and code < 0 and "msg" in said else None


def _class_of(status: int, code: int | None) -> type[errors.ApiException]:
    if status in _WHATEVER_THE_CODE:
        return _WHATEVER_THE_CODE[status]
    if status >= 500:
        return errors.ServerError
    if code is not None and code in _OF_CODE:
        return _OF_CODE[code]
    return _OF_STATUS.get(status, errors.ApiException)


def _code_and_msg(answer: Answer) -> tuple[int | None, str | None]:
    try:
        said = json_of(answer)
    except ValueError:
        return None, None
    if not isinstance(said, dict):
        return None, None
    code, msg = said.get("code"), said.get("msg")
    return (
        code if type(code) is int else None,
        shortened(redacted(msg, answer.secrets)) if isinstance(msg, str) else None,
    )


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds, from either spelling that HTTP allows; None when it says nothing sensible."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        end = time_of(value)
        seconds = max(0.0, (end - now).total_seconds()) if end else math.nan
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _LONGEST_WAIT else None


def time_of(date: str) -> datetime | None:
    """The moment that an HTTP header tells; None when it tells none."""
    try:
        moment = parsedate_to_datetime(date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _ban_end(retry_after: float | None, msg: str | None, now: datetime) -> datetime | None:
    if retry_after is not None:
        return now + timedelta(seconds=retry_after)
    match = _BANNED_UNTIL.search(msg or "")
    return datetime.fromtimestamp(int(match[1]) / 1000, UTC) if match else None


def _not_json(answer: Answer) -> str:
    if not answer.body.strip():
        return "the answer is empty"
    if (coding := answer.headers.get("Content-Encoding", "identity").strip().lower()) != "identity":
        return (
            f"the answer is compressed ({shortened(redacted(coding, answer.secrets), 30)!r}), which was not asked for"
        )
    start = answer.body.lstrip()[:200].lower()
    if start.startswith(b"<"):
        return "the answer is an HTML page" + (f" titled {answer.title!r}" if answer.title else "")
    return "the answer is not JSON"


def _codec(charset: str) -> str:
    try:
        return codecs.lookup(charset).name
    except (LookupError, ValueError):
        return charset


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_no_constant)
