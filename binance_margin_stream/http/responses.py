"""From an HTTP response to a value or an error. No I/O: status, headers and bytes in, a result out."""

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

from binance_margin_stream.error_codes import parse_code
from binance_margin_stream.exceptions import (
    ApiException,
    BannedError,
    EndpointRetiredError,
    ResponseError,
    get_error_class,
)
from binance_margin_stream.redaction import extract_html_title, redact, truncate

__all__ = [
    "HttpResponse",
    "find_error_in_success",
    "make_response_error",
    "map_error",
    "parse_http_date",
    "parse_json",
]

_CREATE_LISTEN_TOKEN = "ListenTokenApi.sapi_v1_user_listen_token_post"  # noqa: S105  # a call's name, not a secret
_CREATE_LISTEN_KEY_V2 = "MarginListenKeyApi.sapi_v2_margin_listen_key_post"
_SUCCESSORS = {
    "/sapi/v1/userDataStream": _CREATE_LISTEN_TOKEN,
    "/sapi/v1/userDataStream/isolated": f"{_CREATE_LISTEN_TOKEN} with is_isolated and symbol",
    "/sapi/v1/userListenToken": _CREATE_LISTEN_KEY_V2,
    "/sapi/v2/margin/listen-key": _CREATE_LISTEN_TOKEN,
    "/sapi/v2/margin/uta/listen-key": _CREATE_LISTEN_TOKEN,
    "/sapi/v1/margin/listen-key": _CREATE_LISTEN_KEY_V2,
}

_CHARSET = re.compile(r"""charset=["']?([^\s;"']+)""", re.IGNORECASE)
_BANNED_UNTIL = re.compile(r"until (\d{13})\b")
_MAX_RETRY_AFTER = timedelta(days=366).total_seconds()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete HTTP response, with what an error message about it needs."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    method: str = ""
    path: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """The secrets of the request. They must not be shown."""

    @property
    def call(self) -> str:
        """Method and path, such as ``POST /sapi/v1/userListenToken``."""
        return f"{self.method} {self.path}".strip()

    @property
    def text(self) -> str:
        """The body for a message: on one line, truncated, without secrets."""
        return truncate(self._redacted)

    @property
    def title(self) -> str:
        """The title of an HTML page, without secrets; empty for any other body."""
        return extract_html_title(self._redacted)

    @property
    def _redacted(self) -> str:
        return redact(self.body[:20_000].decode("utf-8", "replace"), self.secrets)


def parse_json(response: HttpResponse) -> object:
    """Return the JSON value of the body. Raises `ValueError` with the reason if the body is not JSON."""
    charset = _CHARSET.search(response.headers.get("Content-Type", ""))
    if charset and charset[1] != "UTF-8" and _normalize_charset(charset[1]) not in ("utf-8", "ascii"):
        raise ValueError(f"its charset is {truncate(charset[1], 30)!r}, not UTF-8")
    try:
        return _JSON_DECODER.decode(response.body.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):
        pass
    # Raised outside the handler: the context would hold the body.
    raise ValueError(_describe_invalid_json(response))


def make_response_error(response: HttpResponse, problem: str) -> ResponseError:
    """Build the error for a response that is not what the exchange documents; `problem` says why."""
    excerpt = f": {response.text}" if response.text else ""
    return ResponseError(
        f"{response.call}: HTTP {response.status}, but {problem}{excerpt}",
        status=response.status,
        headers=response.headers,
        body=response.text,
    )


def map_error(response: HttpResponse, now: datetime | None = None) -> ApiException:
    """Build the error for a response whose status is not 2xx; `now` is when it arrived."""
    now = now or datetime.now(UTC)
    code, msg = _parse_code_and_msg(response)
    error_class = get_error_class(response.status, code)
    retry_after = _parse_retry_after(response.headers.get("Retry-After"), now)
    extra: dict[str, Any] = {}
    if error_class is EndpointRetiredError:
        extra["successor"] = _SUCCESSORS.get(response.path)
    if error_class is BannedError:
        extra["until"] = until = _parse_ban_end(retry_after, msg, now)
        retry_after = max(0.0, (until - now).total_seconds()) if until else None
    return error_class(
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


def find_error_in_success(response: HttpResponse, value: object) -> ApiException | None:
    """Return the error if a 2xx response contains the exchange's error body, else None."""
    body = value if isinstance(value, dict) else {}
    code = parse_code(body.get("code"))
    return map_error(response) if code is not None and code < 0 and "msg" in body else None


def _parse_code_and_msg(response: HttpResponse) -> tuple[int | None, str | None]:
    try:
        body = parse_json(response)
    except ValueError:
        return None, None
    if not isinstance(body, dict):
        return None, None
    msg = body.get("msg")
    return parse_code(body.get("code")), truncate(redact(msg, response.secrets)) if isinstance(msg, str) else None


def _parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Parse a Retry-After header, seconds or a date, into seconds; None if it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        end = parse_http_date(value)
        seconds = max(0.0, (end - now).total_seconds()) if end else math.nan
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _MAX_RETRY_AFTER else None


def parse_http_date(date: str) -> datetime | None:
    """Parse an HTTP date; None if it is not one."""
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
        return "the response is empty"
    if (coding := response.headers.get("Content-Encoding", "identity").strip().lower()) != "identity":
        return (
            f"the response is compressed ({truncate(redact(coding, response.secrets), 30)!r}), which was not requested"
        )
    start = response.body.lstrip()[:200].lower()
    if start.startswith(b"<"):
        return "the response is an HTML page" + (f" titled {response.title!r}" if response.title else "")
    return "the response is not JSON"


def _normalize_charset(charset: str) -> str:
    try:
        return codecs.lookup(charset).name
    except (LookupError, ValueError):
        return charset


def _reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_JSON_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
