"""Check the settings of an `ApiClient`, and build the generated configuration from them."""

from __future__ import annotations

import copy
from urllib.parse import urlsplit

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.configuration import Configuration
from binance_margin_stream.endpoints import Endpoints, is_loopback
from binance_margin_stream.exceptions import ApiTypeError, ApiValueError
from binance_margin_stream.http.retry import RetryPolicy
from binance_margin_stream.http.transport import Timeout, create_ssl_context

__all__ = ["build_configuration", "check_types"]

_MAX_CONNECTIONS = 32


def check_types(configuration: object, **settings: object) -> None:
    """Raise `ApiTypeError` for a setting of the wrong type, and for two settings that exclude each other."""
    expected = {"auth": ApiKeyAuth, "endpoints": Endpoints, "timeout": Timeout, "retry": RetryPolicy}
    if not isinstance(configuration, Configuration | None):
        hint = "; pass ApiClient(auth=...)" if isinstance(configuration, ApiKeyAuth) else ""
        raise ApiTypeError(f"configuration must be a Configuration, not {type(configuration).__name__}{hint}")
    for name, value in settings.items():
        if value is not None and not isinstance(value, expected[name]):
            raise ApiTypeError(f"{name} must be of type {expected[name].__name__}, not {type(value).__name__}")
    if configuration is not None and settings["endpoints"] is not None:
        raise ApiTypeError("pass either configuration or endpoints, not both")


def build_configuration(configuration: Configuration | None, endpoints: Endpoints | None) -> Configuration:
    """Return a configuration of this client's own, with a checked address. Raises `ApiValueError`."""
    if configuration is None:
        endpoints = endpoints or Endpoints.production()
        _check_address(endpoints.rest)
        create_ssl_context(endpoints.ca_file)  # raises now, not in the first call
        built = Configuration(
            host=endpoints.rest, connection_pool_maxsize=_MAX_CONNECTIONS, ssl_ca_cert=endpoints.ca_file
        )
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
