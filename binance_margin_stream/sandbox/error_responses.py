"""Error responses: the exchange's JSON, and the HTML pages of the gateway in front of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.messages import Headers, Response

__all__ = [
    "EMPTY_RESPONSE",
    "ERROR_MESSAGES",
    "STATUS_BY_CODE",
    "RefusedError",
    "error_body",
    "error_response",
    "gateway_error_response",
    "json_response",
    "make_refusal",
]

_JSON_TYPE = ("Content-Type", "application/json;charset=UTF-8")
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_HTML_TYPE = ("Content-Type", "text/html")

EMPTY_RESPONSE = Response(200)
"""Success without a body."""

ERROR_MESSAGES: dict[int, str] = {
    -1003: "Too many requests.",
    -1015: "Too many new orders.",
    -1020: "This operation is not supported.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1034: "Too many connections.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1120: "Invalid interval.",
    -1127: "More than 24 hours between startTime and endTime.",
    -1128: "Combination of optional parameters invalid.",
    -1125: "This listenKey does not exist.",
    -1121: "Invalid symbol.",
    -1135: "Invalid JSON Request",
    -1209: "This listenToken is invalid or has expired.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2035: "User Data Stream subscription already active.",
    -2036: "User Data Stream subscription not active.",
    -2042: "Maximum subscription ID reached for this connection.",
    -2026: "Order was canceled or expired with no executed qty over 90 days ago and has been archived.",
    -3003: "Margin account does not exist.",
    -3006: "Your borrow amount has exceed maximum borrow amount.",
    -3015: "Repay amount exceeds borrow amount.",
    -3020: "Transfer out amount exceeds max amount.",
    -3021: "Margin account are not allowed to trade this trading pair.",
    -3025: "Your input date is wrong.",
    -3026: "Your input param is invalid.",
    -3027: "Not a valid margin asset.",
    -3028: "Not a valid margin pair.",
    -3041: "Balance is not enough.",
    -3042: "Price index not available for this margin pair.",
    -4047: "Time interval must be within 0-7 days.",
    -11001: "Isolated margin account does not exist.",
}
"""Messages of the codes whose message is always the same."""

STATUS_BY_CODE: dict[int, int] = {-2014: 401, -2015: 401, -1003: 429, -1015: 429}
"""HTTP status of an error code; every other code comes with 400."""


class RefusedError(Exception):
    """A request that the exchange refuses: error code and message, never the request's own data."""

    def __init__(self, code: int, message: str | None = None, data: Mapping[str, object] | None = None) -> None:
        """`data` is sent beside code and message in responses of the WebSocket API."""
        self.code = code
        self.data = data
        self.message = ERROR_MESSAGES[code] if message is None else message
        super().__init__(f"{code} {self.message}")


def make_refusal(code: int) -> RefusedError:
    """An error with any code, for injected faults."""
    return RefusedError(code, ERROR_MESSAGES.get(code, "Refused by an injected fault."))


def json_response(value: object, status: int = 200, headers: Headers = ()) -> Response:
    """A JSON response."""
    body = _ENCODER.encode(value).encode()
    return Response(status, body, (_JSON_TYPE, *headers))


def error_body(refusal: RefusedError, rules: ExchangeRules) -> dict[str, object]:
    """Code and message of an error."""
    code = str(refusal.code) if rules.error_code_type == "string" else refusal.code
    return {"code": code, "msg": refusal.message}


def error_response(
    refusal: RefusedError, rules: ExchangeRules, status: int | None = None, headers: Headers = ()
) -> Response:
    """The exchange's JSON error; the status defaults to that of the code."""
    if status is None:
        status = STATUS_BY_CODE.get(refusal.code, 400)
    return replace(json_response(error_body(refusal, rules), status, headers), code=refusal.code)


def gateway_error_response(status: int, headers: Headers = ()) -> Response:
    """The gateway's HTML page, as nginx writes it."""
    title = f"{status} {_reason_phrase(status)}"
    lines = (
        "<html>",
        f"<head><title>{title}</title></head>",
        "<body>",
        f"<center><h1>{title}</h1></center>",
        "<hr><center>nginx</center>",
        "</body>",
        "</html>",
        "",
    )
    return Response(status, "\r\n".join(lines).encode(), (_HTML_TYPE, *headers))


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
