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

from binance_margin_stream import api_client, models
from binance_margin_stream._version import __version__
from binance_margin_stream.api_response import ApiResponse
from binance_margin_stream.auth import API_KEY_VARIABLE, ApiKeyAuth, validate_credential
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
    HttpResponse,
    find_error_in_success,
    make_response_error,
    map_error,
    parse_http_date,
    parse_json,
)
from binance_margin_stream.http.retry import RetryPolicy
from binance_margin_stream.http.transport import RawResponse, Timeout, Transport, create_ssl_context
from binance_margin_stream.redaction import redact, truncate
from binance_margin_stream.rest import RESTResponse

__all__ = ["ApiClient"]

log = logging.getLogger("binance_margin_stream")
log.addHandler(logging.NullHandler())  # what is logged, and where, is for the program to say

_API_KEY_HEADER = "X-MBX-APIKEY"
_FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"
_FORM_METHODS = frozenset({"POST", "PUT", "DELETE"})
_SIGNED_PATHS = frozenset({"/sapi/v1/userListenToken"})
_SECRET_PARAMETERS = frozenset({"listenKey", "signature"})

FormParameters = tuple[tuple[str, str], ...]


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
        configuration = _build_configuration(configuration, endpoints)
        if auth is not None:
            auth.configure(configuration)
        try:
            super().__init__(configuration)
        except (urllib3.exceptions.HTTPError, AssertionError, ImportError, ValueError) as error:
            raise ApiValueError(f"the configuration's proxy cannot be used: {type(error).__name__}") from None
        self._transport = Transport(self.rest_client.pool_manager)
        self.user_agent = f"binance-margin-stream/{__version__}"
        self._auth = auth
        self._timeout = timeout or Timeout()
        self._retry_policy = retry or RetryPolicy()
        self._clock_offset = 0.0
        self._closed = threading.Event()
        self._process_id = os.getpid()

    def close(self) -> None:
        """End pauses, connections and the calls that wait on them; may be called twice."""
        self._closed.set()
        self._transport.close()

    def param_serialize(self, *args: Any, **kwargs: Any) -> Any:
        """Build the request of a generated method: parameters in the body, the headers of this call on top."""
        _check_arguments(kwargs)
        own_headers = kwargs.pop("header_params", None) or {}
        if kwargs["method"] in _FORM_METHODS:
            parameters = [(name, _encode_value(value)) for name, value in kwargs.pop("query_params", None) or ()]
        else:
            parameters = []
        method, url, headers, body, _ = super().param_serialize(*args, **kwargs)
        headers = _merge_headers(headers, own_headers)
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
        request = _HttpRequest(method, url, path, header_params or {}, tuple(post_params or ()), body)
        timeout = self._timeout.with_override(_request_timeout)
        clock_corrected = False
        attempt = 1
        while True:
            try:
                return self._send_once(request, timeout)
            except OpenApiException as error:
                self._check_usable()
                delay = self._retry_policy.compute_delay(error, attempt, random.random())
                if isinstance(error, TimestampError) and not clock_corrected and self._correct_clock(error):
                    clock_corrected, delay = True, 0.0
                if delay is None:
                    raise
                log.info("attempt %d failed: %s; again in %.2f s", attempt, error, delay)
            self._closed.wait(delay)
            attempt += 1

    def response_deserialize(self, response_data: Any, response_types_map: Any = None) -> ApiResponse[Any]:
        """Turn a 2xx answer into what the spec promises, or raise `ResponseError`."""
        response: HttpResponse = response_data.http_response
        expected_type = next((kind for status, kind in response_types_map.items() if status.startswith("2")), None)
        return _ApiResponse.from_fields(
            status_code=response.status,
            headers=response.headers,
            data=_deserialize(response, expected_type),
            raw_data=response.body,
        )

    def _send_once(self, request: _HttpRequest, timeout: Timeout) -> RESTResponse:
        self._check_usable()
        parameters = self._sign_parameters(request)
        raw_response = self._transport.send(
            request.method,
            request.url,
            headers={**request.headers, "Content-Type": _FORM_CONTENT_TYPE} if parameters else request.headers,
            body=request.encode_body(parameters),
            timeout=timeout,
        )
        secrets = request.collect_secrets(parameters)
        response = HttpResponse(
            raw_response.status, raw_response.headers, raw_response.body, request.method, request.path, secrets
        )
        if 200 <= response.status < 300:
            return _BufferedRestResponse(raw_response, response)
        if 300 <= response.status < 400:
            raise make_response_error(response, _describe_redirect(response))
        raise map_error(response)

    def _check_usable(self) -> None:
        if self._closed.is_set():
            raise TransportError("this client is closed: make a new one", kind="closed")
        if self._process_id != os.getpid():
            # A forked child must not read answers from connections that it shares with its parent.
            self._transport.reset_pools()
            self._process_id = os.getpid()

    def _sign_parameters(self, request: _HttpRequest) -> FormParameters:
        """The parameters as sent: with time and signature when there is a secret, made anew for each attempt."""
        given = dict(request.parameters)
        if not (self._auth and self._auth.can_sign and request.path in _SIGNED_PATHS) or "signature" in given:
            return request.parameters
        given.setdefault("timestamp", str(round((time.time() + self._clock_offset) * 1000)))
        return (*given.items(), ("signature", self._auth.sign(urlencode(given))))

    def _correct_clock(self, error: TimestampError) -> bool:
        """Take the exchange's clock from its answer; False when the answer does not tell it."""
        exchange_time = parse_http_date(error.headers.get("Date", ""))
        if exchange_time is None:
            return False
        self._clock_offset = (exchange_time - error.received_at).total_seconds()
        return True


@dataclass(frozen=True, slots=True)
class _HttpRequest:
    method: str
    url: str
    path: str
    headers: dict[str, str] = field(repr=False)
    parameters: FormParameters = field(repr=False)
    body: object = field(repr=False)

    def encode_body(self, parameters: FormParameters) -> str | None:
        if self.body is not None:
            return json.dumps(self.body)
        return urlencode(parameters) if parameters else None

    def collect_secrets(self, parameters: FormParameters) -> tuple[str, ...]:
        values = [value for name, value in parameters if name in _SECRET_PARAMETERS]
        return (self.headers[_API_KEY_HEADER], *values)


class _BufferedRestResponse(RESTResponse):
    """An answer that was read whole; it becomes a urllib3 response only for those who ask for one."""

    def __init__(self, raw_response: RawResponse, http_response: HttpResponse) -> None:
        self._raw_response = raw_response
        self.http_response = http_response
        self.status = raw_response.status
        self.reason = raw_response.reason
        self.data = raw_response.body  # type: ignore[assignment]  # generated code knows only that it begins as None

    @property
    def response(self) -> urllib3.HTTPResponse:
        """The raw response that the ``_without_preload_content`` methods answer."""
        return self._raw_response.to_urllib3()


class _ApiResponse(ApiResponse[Any]):
    """Compares header names without case; its repr leaves out the raw body, which may hold a secret."""

    @classmethod
    def from_fields(cls, **fields: object) -> Self:
        """What `model_construct` makes of all fields, at a tenth of its cost, which every call would bear."""
        response = cls.__new__(cls)
        object.__setattr__(response, "__dict__", fields)
        object.__setattr__(response, "__pydantic_fields_set__", set(fields))
        object.__setattr__(response, "__pydantic_extra__", None)
        object.__setattr__(response, "__pydantic_private__", None)
        return response

    def __repr_name__(self) -> str:
        return "ApiResponse"

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("status_code", self.status_code), ("data", self.data)]


def _deserialize(response: HttpResponse, expected_type: str | None) -> object:
    """The value that the spec promises: None, a JSON object, or a model."""
    if expected_type is None and not response.body.strip():
        return None
    try:
        return _deserialize_json(response, expected_type)
    except ValueError as error:
        problem = str(error)
    raise make_response_error(response, problem)


def _deserialize_json(response: HttpResponse, expected_type: str | None) -> object:
    value = parse_json(response)
    error = find_error_in_success(response, value)
    if error is not None:
        raise error
    if not isinstance(value, dict):
        raise ValueError("the answer is JSON, but not an object")
    if expected_type in (None, "object"):
        return value if expected_type else None
    return getattr(models, expected_type).from_dict(value)


def _describe_redirect(response: HttpResponse) -> str:
    try:
        target = urlsplit(response.headers.get("Location", ""))
    except ValueError:
        target = urlsplit("")
    if not target.hostname:
        return "that is a redirect, and none is followed, so that the key goes nowhere else"
    secrets = [spelling for secret in response.secrets for spelling in (secret, secret.lower())]
    location = truncate(redact(f"{target.scheme}://{target.hostname}", secrets))
    return f"it redirects to {location}, and that is not followed, so that the key goes nowhere else"


def _encode_value(value: object) -> object:
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


def _build_configuration(configuration: Configuration | None, endpoints: Endpoints | None) -> Configuration:
    """A configuration that no other client shares, with an address that was looked at."""
    if configuration is None:
        endpoints = endpoints or Endpoints.production()
        _check_address(endpoints.rest)
        create_ssl_context(endpoints.ca_file)  # raises for what is no such file, before the first call does
        built = Configuration(host=endpoints.rest, connection_pool_maxsize=32, ssl_ca_cert=endpoints.ca_file)
    else:
        _check_configuration(configuration)
        built = copy.deepcopy(configuration)
    built.host = built.host.rstrip("/")
    if is_loopback(built.host):
        built.no_proxy = "*"  # the environment's proxy is for the network, not for a sandbox on this machine
    return built


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


def _merge_headers(headers: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """`headers` with those of the call on top: names compare without case, so that none is sent twice."""
    overrides = {
        _API_KEY_HEADER if name.lower() == _API_KEY_HEADER.lower() else name: value for name, value in overrides.items()
    }
    replaced = {name.lower() for name in overrides}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | overrides


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    """What holds between arguments, which the generated check of each argument alone cannot see."""
    parameters = dict(arguments.get("query_params") or ())
    if parameters.get("isIsolated") and not parameters.get("symbol"):
        raise ApiValueError("an isolated margin account is one of a symbol: give symbol, such as BTCUSDT")
    auth = arguments.get("_request_auth")
    if auth and not ({"in", "type", "key", "value"} <= auth.keys() and auth["in"] == "header"):
        raise ApiValueError("_request_auth takes the four entries type, in, key and value, and in has to be 'header'")


def _check_headers(headers: Mapping[str, str]) -> None:
    key = headers.get(_API_KEY_HEADER)
    if key is None:
        raise ApiValueError(
            f"no API key: set {API_KEY_VARIABLE} and give ApiClient(auth=ApiKeyAuth.from_env()), or ApiKeyAuth(...)"
        )
    validate_credential(key, f"the {_API_KEY_HEADER} header")
    for name, value in headers.items():
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise ApiValueError(f"the header {name!r} has to be printable ASCII")
