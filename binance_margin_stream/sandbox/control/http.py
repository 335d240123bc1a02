"""HTTP interface of the control operations, ``/sandbox/…``, and the page at ``/``.

The server has refused requests by web pages of other origins before. Operations have to be sent as JSON in addition,
which such a page cannot send without a preflight request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from functools import cache
from importlib import resources

from binance_margin_stream.sandbox.control.operations import OperationCall, OperationTable
from binance_margin_stream.sandbox.messages import JSON, Headers, Request, Response

__all__ = ["ControlError", "ControlInterface", "control_error_response", "control_response", "is_control_path"]

_PREFIX = "/sandbox/"
_STATE_NAME = "state"
_SECURITY_HEADERS: Headers = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)


class ControlError(Exception):
    """A request that is refused: the HTTP status and the reason."""

    def __init__(self, status: int, reason: str, headers: Headers = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


class ControlInterface:
    """Routes control requests and runs the operations that they name."""

    def __init__(self, operations: OperationTable, run: Callable[[OperationCall], JSON], max_body_bytes: int) -> None:
        """`run` runs an operation; it may block."""
        self._operations = operations
        self._run = run
        self._max_body_bytes = max_body_bytes

    def route(self, request: Request, snapshot: Callable[[], object]) -> Response | OperationCall:
        """The response to a request, or the operation that it names.

        Raises:
            ControlError: the request is refused.

        """
        path = request.target.partition("?")[0]
        name = (path + "/").removeprefix(_PREFIX).rstrip("/")
        if path == "/":
            _require_method(request, "GET")
            return _page_response()
        if not name:
            _require_method(request, "GET")
            return control_response({"operations": [each.describe() for each in self._operations.all()]})
        if name == _STATE_NAME:
            _require_method(request, "GET")
            return control_response(snapshot())
        return self._parse_operation_call(request, name)

    def run(self, call: OperationCall) -> Response:
        """Run an operation; may block.

        Raises:
            ControlError: the operation is not possible now, or the sandbox is closing.

        """
        try:
            return control_response({"result": self._run(call)})
        except (ValueError, ImportError) as error:
            raise ControlError(400, str(error)) from None
        except (RuntimeError, TimeoutError):
            raise ControlError(503, "the sandbox is closing") from None

    def _parse_operation_call(self, request: Request, name: str) -> OperationCall:
        try:
            operation = self._operations.get(name)
        except ValueError as error:
            raise ControlError(404, str(error)) from None
        _require_method(request, "POST")
        if len(request.body) > self._max_body_bytes:
            raise ControlError(413, f"the body is longer than {self._max_body_bytes} bytes")
        if _media_types(request) != ["application/json"]:
            raise ControlError(415, "send a JSON object, with Content-Type: application/json")
        try:
            return OperationCall(operation, operation.parse_arguments(_parse_object(request.body)))
        except ValueError as error:
            raise ControlError(400, str(error)) from None


def is_control_path(target: str) -> bool:
    """Whether a target belongs to the page or the control operations, and not to the exchange."""
    path = target.partition("?")[0]
    return path == "/" or (path + "/").startswith(_PREFIX)


def control_response(value: object, status: int = 200, headers: Headers = ()) -> Response:
    """A JSON response."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(status, body, (("Content-Type", "application/json"), *_SECURITY_HEADERS, *headers))


def control_error_response(error: ControlError) -> Response:
    """The response to a request that was refused."""
    return control_response({"error": str(error)}, error.status, error.headers)


def _media_types(request: Request) -> list[str]:
    return [each.partition(";")[0].strip().lower() for each in request.get_header_values("Content-Type")]


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
    """The Content-Security-Policy source of the page's one script or style."""
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
