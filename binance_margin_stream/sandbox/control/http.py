"""``/sandbox/…`` and the page at ``/``: what drives and shows a running sandbox over HTTP.

A web page that the user happens to have open must not get at it. So a request has to name this host by
``localhost`` or an address (a name could have been pointed here), must not come from a page of another origin,
and carries JSON, which such a page could not send without asking first.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import urlsplit

from binance_margin_stream.sandbox.control.operations import JSON, Operation, get_operation, get_operations
from binance_margin_stream.sandbox.messages import Headers, Request, Response

__all__ = ["ControlError", "OperationCall", "control_error_response", "control_response", "is_control_path", "route"]

_PREFIX = "/sandbox/"
_STATE_NAME = "state"
_SECURITY_HEADERS: Headers = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)


class ControlError(Exception):
    """A request that is not carried out: the HTTP status, and why."""

    def __init__(self, status: int, reason: str, headers: Headers = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class OperationCall:
    """An operation to carry out, with its checked arguments."""

    operation: Operation
    arguments: Mapping[str, object]


def is_control_path(target: str) -> bool:
    """Whether a target belongs to the page or to the operations, and not to the exchange."""
    path = target.partition("?")[0]
    return path == "/" or (path + "/").startswith(_PREFIX)


def route(request: Request, host: str, body_limit: int, state: Callable[[], object]) -> Response | OperationCall:
    """Answer a request, or say which operation it asks for; `host` is the one that the sandbox listens on.

    Raises:
        ControlError: the request is not one that is carried out.

    """
    _check_origin(request, host)
    path = request.target.partition("?")[0]
    name = (path + "/").removeprefix(_PREFIX).rstrip("/")
    if path == "/":
        _require_method(request, "GET")
        return _page_response()
    if not name:
        _require_method(request, "GET")
        return control_response({"operations": [each.describe() for each in get_operations().values()]})
    if name == _STATE_NAME:
        _require_method(request, "GET")
        return control_response(state())
    return _parse_operation_call(request, name, body_limit)


def control_response(value: object, status: int = 200, headers: Headers = ()) -> Response:
    """An answer in JSON."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(status, body, (("Content-Type", "application/json"), *_SECURITY_HEADERS, *headers))


def control_error_response(error: ControlError) -> Response:
    """The answer to a request that was not carried out."""
    return control_response({"error": str(error)}, error.status, error.headers)


def _parse_operation_call(request: Request, name: str, body_limit: int) -> OperationCall:
    try:
        operation = get_operation(name)
    except ValueError as error:
        raise ControlError(404, str(error)) from None
    _require_method(request, "POST")
    if len(request.body) > body_limit:
        raise ControlError(413, f"the body is longer than {body_limit} bytes")
    if [each.partition(";")[0].strip().lower() for each in request.get_header_values("Content-Type")] != [
        "application/json"
    ]:
        raise ControlError(415, "send a JSON object, with Content-Type: application/json")
    try:
        return OperationCall(operation, operation.parse_arguments(_parse_object(request.body)))
    except ValueError as error:
        raise ControlError(400, str(error)) from None


def _parse_object(body: bytes) -> dict[str, object]:
    try:
        read = json.loads(body or b"{}", parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise ValueError("the body has to be a JSON object")
    return read


def _reject_constant(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")


def _require_method(request: Request, method: str) -> None:
    if request.method not in (method, "HEAD" if method == "GET" else method):
        raise ControlError(405, f"{method} only", (("Allow", method),))


def _check_origin(request: Request, host: str) -> None:
    authority = request.get_header_values("Host")
    if len(authority) != 1 or not _names_this_host(authority[0], host):
        raise ControlError(403, "address the sandbox as localhost or by its IP address")
    own = (f"http://{authority[0]}", f"https://{authority[0]}")
    if any(origin not in own for origin in request.get_header_values("Origin")):
        raise ControlError(403, "pages of another origin may not drive the sandbox")


def _names_this_host(authority: str, host: str) -> bool:
    """Whether it is an address, or a name that means this machine: a name may be pointed anywhere, an address not."""
    try:
        name = urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return False
    return name in ("localhost", host) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@cache
def _page_response() -> Response:
    text = resources.files("binance_margin_stream.sandbox.server").joinpath("page.html").read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src {_csp_hash('script', text)}; style-src {_csp_hash('style', text)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = (("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", policy), *_SECURITY_HEADERS)
    return Response(200, text.encode(), headers)


def _csp_hash(tag: str, text: str) -> str:
    """What the policy calls the one script or style of the page by."""
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
