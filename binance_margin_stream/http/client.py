"""The client that the generated API classes send their calls through.

It replaces what the stock generator output does wrong: timeouts, retries, redirects, errors, signing, and what may be
shown. Generated code is not edited.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3

from binance_margin_stream import api_client, models
from binance_margin_stream._version import __version__
from binance_margin_stream.api_response import ApiResponse
from binance_margin_stream.auth import API_KEY_VARIABLE, ApiKeyAuth, validate_credential
from binance_margin_stream.configuration import Configuration
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import (
    ApiTypeError,
    ApiValueError,
    OpenApiException,
    TimestampError,
    TransportError,
)
from binance_margin_stream.http.client_settings import build_configuration, check_types
from binance_margin_stream.http.request import (
    API_KEY_HEADER,
    API_KEY_SCHEME,
    HttpRequest,
    Query,
    get_signing_policy,
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
from binance_margin_stream.http.transport import RawResponse, Timeout, Transport
from binance_margin_stream.redaction import redact, truncate
from binance_margin_stream.rest import RESTResponse
from binance_margin_stream.tracebacks import hide_frames

__all__ = ["ApiClient"]

log = logging.getLogger("binance_margin_stream")
log.addHandler(logging.NullHandler())  # the program decides what is logged, and where

_TIME_PATH = "/api/v3/time"
_LIST_TYPE = re.compile(r"List\[(\w+)\]")
"""How the generated code names the type of a list."""


class ApiClient(api_client.ApiClient):
    """Sends the calls of the API classes. Safe to share between threads.

    ``ApiClient(auth=ApiKeyAuth.from_env())`` is enough for production. `timeout` applies to each attempt, `retry` says
    which failed calls are retried. Parameters are sent in the query, as the exchange documents it, and masked in logs
    and errors. Redirects are not followed, so that no other host receives the API key. Pass a generated `Configuration`
    instead of `endpoints` to set a proxy or your own certificates.

    Close it, or use it in a ``with`` block.
    """

    @hide_frames
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
        check_types(configuration, auth=auth, endpoints=endpoints, timeout=timeout, retry=retry)
        configuration = build_configuration(configuration, endpoints)
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
        schemes = kwargs.get("auth_settings") or []
        parameters = tuple((name, _encode_value(value)) for name, value in kwargs.get("query_params") or ())
        own_headers = kwargs.pop("header_params", None) or {}
        needs_key = API_KEY_SCHEME in schemes
        kwargs |= {"query_params": [], "auth_settings": [API_KEY_SCHEME] if needs_key else []}
        method, url, headers, body, _ = super().param_serialize(*args, **kwargs)
        headers = _merge_headers(headers, own_headers)
        _check_headers(headers, needs_key)
        return method, url, headers, body, Query(parameters, get_signing_policy(schemes))

    @hide_frames
    def call_api(
        self,
        method: str,
        url: str,
        header_params: Any = None,
        body: Any = None,
        post_params: Any = None,
        _request_timeout: Any = None,
    ) -> RESTResponse:
        """Send the request, with retries, and return a 2xx response with its body. Raises for any other response.

        `post_params` is the `Query` that `param_serialize` returns.
        """
        path = url.removeprefix(self.configuration.host).partition("?")[0]
        request = HttpRequest(method, url, path, header_params or {}, post_params or Query(), body)
        timeout = self._timeout.with_override(_request_timeout)
        clock_corrected = False
        attempt = 1
        while True:
            try:
                return self._send_once(request, timeout)
            except OpenApiException as error:
                self._check_usable()
                delay = self._retry_policy.compute_delay(error, attempt, random.random())
                if isinstance(error, TimestampError) and not clock_corrected and self._correct_clock(error, timeout):
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

    def _send_once(self, request: HttpRequest, timeout: Timeout) -> RESTResponse:
        self._check_usable()
        request = request.sign(self._auth, round((time.time() + self._clock_offset) * 1000))
        raw_response = self._transport.send(
            request.method, request.target, headers=request.headers, body=request.content, timeout=timeout
        )
        decoded = raw_response.decompress()
        response = HttpResponse(
            status=decoded.status,
            headers=decoded.headers,
            body=decoded.body,
            method=request.method,
            path=request.path,
            secrets=request.secrets,
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

    def _correct_clock(self, error: TimestampError, timeout: Timeout) -> bool:
        """Take the time from the exchange's time call or from the header of the error. Returns False if both fail."""
        offset = self._measure_clock_offset(timeout)
        if offset is None:
            exchange_time = parse_http_date(error.headers.get("Date", ""))
            offset = (exchange_time - error.received_at).total_seconds() if exchange_time else None
        if offset is None:
            return False
        self._clock_offset = offset
        return True

    def _measure_clock_offset(self, timeout: Timeout) -> float | None:
        """Return how many seconds the exchange's clock is ahead; None if the exchange does not say."""
        url = f"{self.configuration.host}{_TIME_PATH}"
        sent_at = time.time()
        try:
            response = self._transport.send("GET", url, headers=self.default_headers, body=None, timeout=timeout)
            exchange_time = json.loads(response.body)["serverTime"]
            return float(exchange_time) / 1000 - (sent_at + time.time()) / 2
        except (TransportError, ValueError, TypeError, KeyError, RecursionError):
            return None


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
        return [(name, getattr(self, name, None)) for name in ("status_code", "data")]


def _deserialize(response: HttpResponse, expected_type: str | None) -> object:
    """Return what the spec declares: None, a JSON object, a model, or a list of models."""
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
    row_type = _LIST_TYPE.fullmatch(expected_type or "")
    if row_type is not None:
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise ValueError("the response is JSON, but not a list of objects")
        return [getattr(models, row_type[1]).from_dict(row) for row in value]
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


def _encode_value(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_encode_value, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _merge_headers(headers: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """Return `headers`, replaced by `overrides`. Names ignore case, so that no header is sent twice."""
    overrides = {
        API_KEY_HEADER if name.lower() == API_KEY_HEADER.lower() else name: value for name, value in overrides.items()
    }
    replaced = {name.lower() for name in overrides}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | overrides


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check what depends on several arguments. The generated code checks each argument alone."""
    parameters = dict(arguments.get("query_params") or ())
    if str(parameters.get("isIsolated")).lower() == "true" and not parameters.get("symbol"):
        raise ApiValueError("an isolated margin account needs a symbol: pass symbol, such as BTCUSDT")
    auth = arguments.get("_request_auth")
    if auth and not ({"in", "type", "key", "value"} <= auth.keys() and auth["in"] == "header"):
        raise ApiValueError("_request_auth needs the entries type, in, key and value, and in must be 'header'")


def _check_headers(headers: Mapping[str, str], needs_key: bool) -> None:
    key = headers.get(API_KEY_HEADER)
    if key is None and needs_key:
        raise ApiValueError(
            f"no API key: set {API_KEY_VARIABLE} and pass ApiClient(auth=ApiKeyAuth.from_env()), or ApiKeyAuth(...)"
        )
    if key is not None:
        validate_credential(key, f"the {API_KEY_HEADER} header")
    for name, value in headers.items():
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise ApiValueError(f"the header {name!r} must be printable ASCII")
