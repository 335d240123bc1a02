"""The client that the generated API classes send their calls through.

It replaces what the stock generator output does wrong: timeouts, retries, redirects, errors, signing, and what may be
shown. Generated code is not edited.
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
from typing import Any
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
log.addHandler(logging.NullHandler())  # the program decides what is logged, and where

_API_KEY_HEADER = "X-MBX-APIKEY"
_FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"
_FORM_METHODS = frozenset({"POST", "PUT", "DELETE"})
_SIGNED_PATHS = frozenset({"/sapi/v1/userListenToken"})
_SECRET_PARAMETERS = frozenset({"listenKey", "signature"})

FormParameters = tuple[tuple[str, str], ...]


class ApiClient(api_client.ApiClient):
    """Sends the calls of the API classes. Safe to share between threads.

    ``ApiClient(auth=ApiKeyAuth.from_env())`` is enough for production. `timeout` applies to each attempt, `retry` says
    which failed calls are retried. Parameters are sent in the body, so that no URL contains a secret. Redirects are not
    followed, so that no other host receives the API key. Pass a generated `Configuration` instead of `endpoints` to
    set a proxy or your own certificates.

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
        """Raise `ApiTypeError` or `ApiValueError` for invalid settings."""
        _check_types(configuration, auth=auth, endpoints=endpoints, timeout=timeout, retry=retry)
        configuration = _build_configuration(configuration, endpoints)
        if auth is not None:
            auth.configure(configuration)
        try:
            super().__init__(configuration)
        except (urllib3.exceptions.HTTPError, AssertionError, ImportError, ValueError) as error:
            raise ApiValueError(f"invalid proxy in the configuration: {type(error).__name__}") from None
        self._transport = Transport(self.rest_client.pool_manager)
        self.user_agent = f"binance-margin-stream/{__version__}"
        self._auth = auth
        self._timeout = timeout or Timeout()
        self._retry_policy = retry or RetryPolicy()
        self._clock_offset = 0.0
        self._closed = threading.Event()
        self._process_id = os.getpid()

    @staticmethod
    def check_instance(client: object, api_class: str) -> None:
        """Raise `ApiTypeError` unless `client` can be passed to an API class; `api_class` is its name."""
        if not isinstance(client, api_client.ApiClient):
            raise ApiTypeError(f"{api_class} takes an ApiClient, not {type(client).__name__}")

    def close(self) -> None:
        """Close all connections. A call under way fails at once, also one that waits for a retry. May be repeated."""
        self._closed.set()
        self._transport.close()

    def param_serialize(self, *args: Any, **kwargs: Any) -> Any:
        """Build the request of a generated method. The headers of the call replace those of the client."""
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
        """Send the request, with retries, and return a 2xx response with its body. Raises for any other response."""
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
                log.info("attempt %d failed: %s; retrying in %.2f s", attempt, error, delay)
            self._closed.wait(delay)
            attempt += 1

    def response_deserialize(self, response_data: Any, response_types_map: Any = None) -> ApiResponse[Any]:
        """Deserialize a 2xx response as the spec says. Raises `ResponseError` if it is something else."""
        response: HttpResponse = response_data.http_response
        expected_type = next((kind for status, kind in response_types_map.items() if status.startswith("2")), None)
        return _ApiResponse.model_construct(
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
            raise TransportError("this client is closed: create a new one", kind="closed")
        if self._process_id != os.getpid():
            # A forked child must not read responses from connections that it shares with its parent.
            self._transport.reset_pools()
            self._process_id = os.getpid()

    def _sign_parameters(self, request: _HttpRequest) -> FormParameters:
        """Return the parameters to send. Adds timestamp and signature, new for each attempt, if there is a secret."""
        given = dict(request.parameters)
        if not (self._auth and self._auth.can_sign and request.path in _SIGNED_PATHS) or "signature" in given:
            return request.parameters
        given.setdefault("timestamp", str(round((time.time() + self._clock_offset) * 1000)))
        return (*given.items(), ("signature", self._auth.sign(urlencode(given))))

    def _correct_clock(self, error: TimestampError) -> bool:
        """Take the exchange's time from the response. Returns False if it has none."""
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
    """A complete response, as the generated code expects it."""

    def __init__(self, raw_response: RawResponse, http_response: HttpResponse) -> None:
        self._raw_response = raw_response
        self.http_response = http_response
        self.status = raw_response.status
        self.reason = raw_response.reason
        self.data = raw_response.body  # type: ignore[assignment]  # the generated code only declares None

    @property
    def response(self) -> urllib3.HTTPResponse:
        """The raw response that the ``_without_preload_content`` methods return."""
        return self._raw_response.to_urllib3()


class _ApiResponse(ApiResponse[Any]):
    """A response whose headers ignore case. The repr leaves out the raw body, which may contain a secret."""

    def __repr_name__(self) -> str:
        return "ApiResponse"

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("status_code", self.status_code), ("data", self.data)]


def _deserialize(response: HttpResponse, expected_type: str | None) -> object:
    """Return what the spec declares: None, a JSON object, or a model."""
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
        raise ValueError("the response is JSON, but not an object")
    if expected_type in (None, "object"):
        return value if expected_type else None
    return getattr(models, expected_type).from_dict(value)


def _describe_redirect(response: HttpResponse) -> str:
    try:
        target = urlsplit(response.headers.get("Location", ""))
    except ValueError:
        target = urlsplit("")
    if not target.hostname:
        return "it is a redirect, which is not followed: no other host may receive the API key"
    secrets = [spelling for secret in response.secrets for spelling in (secret, secret.lower())]
    location = truncate(redact(f"{target.scheme}://{target.hostname}", secrets))
    return f"it redirects to {location}, which is not followed: no other host may receive the API key"


def _encode_value(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _check_types(configuration: object, **settings: object) -> None:
    expected = {"auth": ApiKeyAuth, "endpoints": Endpoints, "timeout": Timeout, "retry": RetryPolicy}
    if not isinstance(configuration, Configuration | None):
        hint = "; pass ApiClient(auth=...)" if isinstance(configuration, ApiKeyAuth) else ""
        raise ApiTypeError(f"configuration must be a Configuration, not {type(configuration).__name__}{hint}")
    for name, value in settings.items():
        if value is not None and not isinstance(value, expected[name]):
            raise ApiTypeError(f"{name} must be of type {expected[name].__name__}, not {type(value).__name__}")
    if configuration is not None and settings["endpoints"] is not None:
        raise ApiTypeError("pass either configuration or endpoints, not both")


def _build_configuration(configuration: Configuration | None, endpoints: Endpoints | None) -> Configuration:
    """Return a configuration of this client's own, with a checked address."""
    if configuration is None:
        endpoints = endpoints or Endpoints.production()
        _check_address(endpoints.rest)
        create_ssl_context(endpoints.ca_file)  # raises now, not in the first call
        built = Configuration(host=endpoints.rest, connection_pool_maxsize=32, ssl_ca_cert=endpoints.ca_file)
    else:
        _check_configuration(configuration)
        built = copy.deepcopy(configuration)
    built.host = built.host.rstrip("/")
    if is_loopback(built.host):
        built.no_proxy = "*"  # a proxy of the environment must not be used for a sandbox on this machine
    return built


def _check_configuration(configuration: Configuration) -> None:
    production = configuration.get_host_settings()[0]["url"]
    if configuration.server_index is not None and vars(configuration)["_base_path"] != production:
        raise ApiValueError("server_index overrides host and leads to production: remove it")
    if configuration.server_index not in (None, 0):
        raise ApiValueError("server_index must be 0: there is one server")
    _check_address(configuration.host)
    if configuration.retries is not None:
        raise ApiValueError("Configuration.retries has no effect: pass ApiClient(retry=RetryPolicy(...))")


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.query or parts.fragment)
    except (ValueError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise ApiValueError("the address of the exchange must be like https://api.binance.com: see Endpoints")


def _merge_headers(headers: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """Return `headers`, replaced by `overrides`. Names ignore case, so that no header is sent twice."""
    overrides = {
        _API_KEY_HEADER if name.lower() == _API_KEY_HEADER.lower() else name: value for name, value in overrides.items()
    }
    replaced = {name.lower() for name in overrides}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | overrides


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check what depends on several arguments. The generated code checks each argument alone."""
    parameters = dict(arguments.get("query_params") or ())
    if parameters.get("isIsolated") and not parameters.get("symbol"):
        raise ApiValueError("an isolated margin account needs a symbol: pass symbol, such as BTCUSDT")
    auth = arguments.get("_request_auth")
    if auth and not ({"in", "type", "key", "value"} <= auth.keys() and auth["in"] == "header"):
        raise ApiValueError("_request_auth needs the entries type, in, key and value, and in must be 'header'")


def _check_headers(headers: Mapping[str, str]) -> None:
    key = headers.get(_API_KEY_HEADER)
    if key is None:
        raise ApiValueError(
            f"no API key: set {API_KEY_VARIABLE} and pass ApiClient(auth=ApiKeyAuth.from_env()), or ApiKeyAuth(...)"
        )
    validate_credential(key, f"the {_API_KEY_HEADER} header")
    for name, value in headers.items():
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise ApiValueError(f"the header {name!r} must be printable ASCII")
