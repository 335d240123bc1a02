"""The one seam between generated and hand-written code: all that generated output gets wrong, mended.

Timeouts, retries, redirects, errors, signing, and what may be shown. Generated code stays as it is generated.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import urllib3

from binance_margin_stream import __version__, api_client, models
from binance_margin_stream.api_response import ApiResponse
from binance_margin_stream.auth import KEY_VARIABLE, ApiKeyAuth, checked
from binance_margin_stream.configuration import Configuration
from binance_margin_stream.endpoints import Endpoints, is_loopback
from binance_margin_stream.exceptions import (
    ApiTypeError,
    ApiValueError,
    OpenApiException,
    TimestampError,
    TransportError,
)
from binance_margin_stream.http.responses import (
    Answer,
    error_of,
    error_told_as_success,
    json_of,
    response_error,
    time_of,
)
from binance_margin_stream.http.retry import RetryPolicy
from binance_margin_stream.http.transport import Received, Timeout, Transport, trusting
from binance_margin_stream.redaction import redacted, shortened
from binance_margin_stream.rest import RESTResponse

__all__ = ["ApiClient"]

log = logging.getLogger("binance_margin_stream")
log.addHandler(logging.NullHandler())  # what is logged, and where, is for the program to say

_KEY_HEADER = "X-MBX-APIKEY"
_FORM = "application/x-www-form-urlencoded"
_FORM_METHODS = frozenset({"POST", "PUT", "DELETE"})
_SIGNED_PATHS = frozenset({"/sapi/v1/userListenToken"})
_SECRET_PARAMETERS = frozenset({"listenKey", "signature"})

Parameters = tuple[tuple[str, str], ...]


class ApiClient(api_client.ApiClient):
    """What every API class sends its calls through; safe to share between threads.

    ``ApiClient(auth=ApiKeyAuth.from_env())`` is all that production needs. `timeout` holds for each attempt;
    `retry` says how often and how patiently a call is repeated. Parameters travel in the request's body, so that
    no address holds a secret, and no redirect is followed, so that no other host gets the key. A generated
    `Configuration` may be given instead of `endpoints`, for a proxy or for certificates of one's own.

    Close it, or use it in a ``with`` block.
    """

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        auth: ApiKeyAuth | None = None,
        endpoints: Endpoints | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Raise `ApiTypeError` or `ApiValueError` for settings that cannot work."""
        _check_types(configuration, auth=auth, endpoints=endpoints, timeout=timeout, retry=retry)
        configuration = _own(configuration, endpoints)
        if auth is not None:
            auth.plug_into(configuration)
        try:
            super().__init__(configuration)
        except (urllib3.exceptions.HTTPError, AssertionError, ImportError, ValueError) as error:
            raise ApiValueError(f"the configuration's proxy cannot be used: {type(error).__name__}") from None
        self._transport = Transport(self.rest_client.pool_manager)
        self.user_agent = f"binance-margin-stream/{__version__}"
        self._auth = auth
        self._timeout = timeout or Timeout()
        self._retry = retry or RetryPolicy()
        self._clock_offset = 0.0
        self._closed = threading.Event()
        self._process = os.getpid()

    def close(self) -> None:
        """End pauses, connections and the calls that wait on them; may be called twice."""
        self._closed.set()
        self._transport.end()

    def param_serialize(self, *args: Any, **kwargs: Any) -> Any:
        """Build the request of a generated method: parameters in the body, the headers of this call on top."""
        _check_call(kwargs)
        own_headers = kwargs.pop("header_params", None) or {}
        if kwargs["method"] in _FORM_METHODS:
            parameters = [(name, _spelled(value)) for name, value in kwargs.pop("query_params", None) or ()]
        else:
            parameters = []
        method, url, headers, body, _ = super().param_serialize(*args, **kwargs)
        headers = _merged(headers, own_headers)
        _check_headers(headers)
        return method, url, headers, body, parameters

    def call_api(
        self,
        method: str,
        url: str,
        header_params: Any = None,
        body: Any = None,
        post_params: Any = None,
        _request_timeout: Any = None,
    ) -> RESTResponse:
        """Send the request, again where `retry` says so, and answer 2xx with its body read; raise all else."""
        path = url.removeprefix(self.configuration.host).partition("?")[0]
        request = _Request(method, url, path, header_params or {}, tuple(post_params or ()), body)
        timeout = self._timeout.overridden(_request_timeout)
        clock_corrected = False
        attempt = 1
        while True:
            try:
                return self._attempt(request, timeout)
            except OpenApiException as error:
                self._check_usable()
                pause = self._retry.pause(error, attempt, random.random())
                if isinstance(error, TimestampError) and not clock_corrected and self._correct_clock(error):
                    clock_corrected, pause = True, 0.0
                if pause is None:
                    raise
                log.info("attempt %d failed: %s; again in %.2f s", attempt, error, pause)
            self._closed.wait(pause)
            attempt += 1

    def response_deserialize(self, response_data: Any, response_types_map: Any = None) -> ApiResponse[Any]:
        """Turn a 2xx answer into what the spec promises, or raise `ResponseError`."""
        answer: Answer = response_data.answer
        promised = next((kind for status, kind in response_types_map.items() if status.startswith("2")), None)
        return _ApiResponse.of(
            status_code=answer.status,
            headers=answer.headers,
            data=_data(answer, promised),
            raw_data=answer.body,
        )

    def _attempt(self, request: _Request, timeout: Timeout) -> RESTResponse:
        self._check_usable()
        parameters = self._signed(request)
        received = self._transport.send(
            request.method,
            request.url,
            headers={**request.headers, "Content-Type": _FORM} if parameters else request.headers,
            body=request.content(parameters),
            timeout=timeout,
        )
        secrets = request.secrets(parameters)
        answer = Answer(received.status, received.headers, received.body, request.method, request.path, secrets)
        if 200 <= answer.status < 300:
            return _RESTResponse(received, answer)
        if 300 <= answer.status < 400:
            raise response_error(answer, _redirect(answer))
        raise error_of(answer)

    def _check_usable(self) -> None:
        if self._closed.is_set():
            raise TransportError("this client is closed: make a new one", kind="closed")
        if self._process != os.getpid():
            # A forked child must not read answers from connections that it shares with its parent.
            self._transport.forget()
            self._process = os.getpid()

    def _signed(self, request: _Request) -> Parameters:
        """The parameters as sent: with time and signature when there is a secret, made anew for each attempt."""
        given = dict(request.parameters)
        if not (self._auth and self._auth.signs and request.path in _SIGNED_PATHS) or "signature" in given:
            return request.parameters
        given.setdefault("timestamp", str(round((time.time() + self._clock_offset) * 1000)))
        return (*given.items(), ("signature", self._auth.signature(urlencode(given))))

    def _correct_clock(self, error: TimestampError) -> bool:
        """Take the exchange's clock from its answer; False when the answer does not tell it."""
        exchange_time = time_of(error.headers.get("Date", ""))
        if exchange_time is None:
            return False
        self._clock_offset = (exchange_time - error.at).total_seconds()
        return True


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    path: str
    headers: dict[str, str] = field(repr=False)
    parameters: Parameters = field(repr=False)
    body: object = field(repr=False)

    def content(self, parameters: Parameters) -> str | None:
        if self.body is not None:
            return json.dumps(self.body)
        return urlencode(parameters) if parameters else None

    def secrets(self, parameters: Parameters) -> tuple[str, ...]:
        held = [value for name, value in parameters if name in _SECRET_PARAMETERS]
        return (self.headers[_KEY_HEADER], *held)


class _RESTResponse(RESTResponse):
    """An answer that was read whole; it becomes a urllib3 response only for those who ask for one."""

    def __init__(self, received: Received, answer: Answer) -> None:
        self._received = received
        self.answer = answer
        self.status = received.status
        self.reason = received.reason
        self.data = received.body  # type: ignore[assignment]  # generated code knows only that it begins as None

    @property
    def response(self) -> urllib3.HTTPResponse:
        """The raw response that the ``_without_preload_content`` methods answer."""
        return self._received.as_response()


class _ApiResponse(ApiResponse[Any]):
    """Compares header names without case; its repr leaves out the raw body, which may hold a secret."""

    @classmethod
    def of(cls, **fields: object) -> Self:
        """What `model_construct` makes of all fields, at a tenth of its cost, which every call would bear."""
        made = cls.__new__(cls)
        object.__setattr__(made, "__dict__", fields)
        object.__setattr__(made, "__pydantic_fields_set__", set(fields))
        object.__setattr__(made, "__pydantic_extra__", None)
        object.__setattr__(made, "__pydantic_private__", None)
        return made

    def __repr_name__(self) -> str:
        return "ApiResponse"

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("status_code", self.status_code), ("data", self.data)]


def _data(answer: Answer, promised: str | None) -> object:
    """The value that the spec promises: None, a JSON object, or a model."""
    if promised is None and not answer.body.strip():
        return None
    try:
        return _promised_value(answer, promised)
    except ValueError as error:
        problem = str(error)
    raise response_error(answer, problem)


def _promised_value(answer: Answer, promised: str | None) -> object:
    value = json_of(answer)
    refused = error_told_as_success(answer, value)
    if refused is not None:
        raise refused
    if not isinstance(value, dict):
        raise ValueError("the answer is JSON, but not an object")
    if promised in (None, "object"):
        return value if promised else None
    return getattr(models, promised).from_dict(value)


def _redirect(answer: Answer) -> str:
    try:
        target = urlsplit(answer.headers.get("Location", ""))
    except ValueError:
        target = urlsplit("")
    if not target.hostname:
        return "that is a redirect, and none is followed, so that the key goes nowhere else"
    secrets = [spelling for secret in answer.secrets for spelling in (secret, secret.lower())]
    where = shortened(redacted(f"{target.scheme}://{target.hostname}", secrets))
    return f"it redirects to {where}, and that is not followed, so that the key goes nowhere else"


def _spelled(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _check_types(configuration: object, **settings: object) -> None:
    expected = {"auth": ApiKeyAuth, "endpoints": Endpoints, "timeout": Timeout, "retry": RetryPolicy}
    if not isinstance(configuration, Configuration | None):
        hint = "; give ApiClient(auth=...)" if isinstance(configuration, ApiKeyAuth) else ""
        raise ApiTypeError(f"configuration has to be a Configuration, not {type(configuration).__name__}{hint}")
    for name, value in settings.items():
        if value is not None and not isinstance(value, expected[name]):
            raise ApiTypeError(f"{name} has to be of type {expected[name].__name__}, not {type(value).__name__}")
    if configuration is not None and settings["endpoints"] is not None:
        raise ApiTypeError("give either a configuration or endpoints: both say where the exchange is")


def _own(configuration: Configuration | None, endpoints: Endpoints | None) -> Configuration:
    """A configuration that no other client shares, with an address that was looked at."""
    if configuration is None:
        endpoints = endpoints or Endpoints.production()
        _check_address(endpoints.rest)
        trusting(endpoints.ca_file)  # raises for what is no such file, before the first call does
        own = Configuration(host=endpoints.rest, connection_pool_maxsize=32, ssl_ca_cert=endpoints.ca_file)
    else:
        _check_configuration(configuration)
        own = copy.deepcopy(configuration)
    own.host = own.host.rstrip("/")
    if is_loopback(own.host):
        own.no_proxy = "*"  # the environment's proxy is for the network, not for a sandbox on this machine
    return own


def _check_configuration(configuration: Configuration) -> None:
    production = configuration.get_host_settings()[0]["url"]
    if configuration.server_index is not None and vars(configuration)["_base_path"] != production:
        raise ApiValueError("server_index beats host and leads to production: leave it out")
    if configuration.server_index not in (None, 0):
        raise ApiValueError("there is one server, so server_index can only be 0")
    _check_address(configuration.host)
    if configuration.retries is not None:
        raise ApiValueError("Configuration.retries has no effect here: give ApiClient(retry=RetryPolicy(...))")


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.query or parts.fragment)
    except (ValueError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise ApiValueError("the exchange's address has to be like https://api.binance.com; see Endpoints")


def _merged(headers: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """`headers` with those of the call on top: names compare without case, so that none is sent twice."""
    own = {_KEY_HEADER if name.lower() == _KEY_HEADER.lower() else name: value for name, value in own.items()}
    replaced = {name.lower() for name in own}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | own


def _check_call(call: Mapping[str, Any]) -> None:
    """What holds between arguments, which the generated check of each argument alone cannot see."""
    parameters = dict(call.get("query_params") or ())
    if parameters.get("isIsolated") and not parameters.get("symbol"):
        raise ApiValueError("an isolated margin account is one of a symbol: give symbol, such as BTCUSDT")
    auth = call.get("_request_auth")
    if auth and not ({"in", "type", "key", "value"} <= auth.keys() and auth["in"] == "header"):
        raise ApiValueError("_request_auth takes the four entries type, in, key and value, and in has to be 'header'")


def _check_headers(headers: Mapping[str, str]) -> None:
    key = headers.get(_KEY_HEADER)
    if key is None:
        raise ApiValueError(
            f"no API key: set {KEY_VARIABLE} and give ApiClient(auth=ApiKeyAuth.from_env()), or ApiKeyAuth(...)"
        )
    checked(key, f"the {_KEY_HEADER} header")
    for name, value in headers.items():
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise ApiValueError(f"the header {name!r} has to be printable ASCII")
