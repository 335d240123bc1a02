"""The API key and, optionally, the secret that signs requests."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from binance_margin_stream.exceptions import ApiTypeError, ApiValueError

if TYPE_CHECKING:
    from binance_margin_stream.configuration import Configuration

__all__ = ["ApiKeyAuth", "validate_credential"]

API_KEY_VARIABLE = "BINANCE_API_KEY"
API_SECRET_VARIABLE = "BINANCE_API_SECRET"  # noqa: S105  # the name of a variable

Credential = str | Callable[[], str]


class ApiKeyAuth:
    """An API key for the ``X-MBX-APIKEY`` header and, optionally, the secret that signs requests.

    Each may be a callable without arguments. It is called for every request, so that a key can be rotated without a
    restart. Neither is ever shown.
    """

    def __init__(self, key: Credential, secret: Credential | None = None) -> None:
        """Raise `ApiTypeError` or `ApiValueError` for an invalid key or secret."""
        self._get_key = _make_provider(key, API_KEY_VARIABLE)
        self._get_secret = None if secret is None else _make_provider(secret, API_SECRET_VARIABLE)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> ApiKeyAuth:
        """Read ``BINANCE_API_KEY`` and, if set, ``BINANCE_API_SECRET`` from the environment.

        ``BINANCE_API_KEY_FILE`` and ``BINANCE_API_SECRET_FILE`` name files that contain the values, for container
        secrets. Raises `ApiValueError` if there is no key, or an invalid one.
        """
        key = _read_variable(environ, API_KEY_VARIABLE)
        if key is None:
            raise ApiValueError(
                f"no API key: set {API_KEY_VARIABLE}, or {API_KEY_VARIABLE}_FILE to a file that contains it"
            )
        return cls(key, _read_variable(environ, API_SECRET_VARIABLE))

    @classmethod
    def from_file(cls, key: str | os.PathLike[str], secret: str | os.PathLike[str] | None = None) -> ApiKeyAuth:
        """Read a file that contains only the key and, if given, one that contains only the secret.

        Raises `ApiValueError` for a file that cannot be read, or an invalid key.
        """
        return cls(_read_file(key), None if secret is None else _read_file(secret))

    @property
    def can_sign(self) -> bool:
        """Whether there is a secret to sign with."""
        return self._get_secret is not None

    def get_api_key(self) -> str:
        """Return the key for the next request."""
        return self._get_key()

    def sign(self, payload: str) -> str:
        """Return the HMAC-SHA256 of `payload` in hexadecimal. Raises `ApiValueError` if there is no secret."""
        if self._get_secret is None:
            raise ApiValueError(f"no API secret to sign with: set {API_SECRET_VARIABLE}")
        return hmac.new(self._get_secret().encode("ascii"), payload.encode("utf-8"), hashlib.sha256).hexdigest()

    def configure(self, configuration: Configuration) -> None:
        """Make the generated `configuration` send this key, read again for every request."""
        configuration.api_key = {"ApiKeyAuth": ""}
        configuration.api_key_prefix = {}
        setattr(configuration, "refresh_api_key_hook", self._refresh_api_key)  # noqa: B010  # its type says None

    def _refresh_api_key(self, configuration: Configuration) -> None:
        configuration.api_key["ApiKeyAuth"] = self._get_key()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key=***{', secret=***' if self.can_sign else ''})"

    def __deepcopy__(self, memo: object) -> ApiKeyAuth:
        return self


def validate_credential(value: object, name: str) -> str:
    """Return `value` if it can be a key in a header. Raises an error that contains `name` and never the value."""
    if not isinstance(value, str):
        raise ApiTypeError(f"{name} must be a string, not {type(value).__name__}")
    problem = _find_problem(value)
    if problem:
        raise ApiValueError(f"{name} {problem}; copy it again from the exchange's API management page")
    return value


def _find_problem(value: str) -> str:
    if not value:
        return "is empty"
    if "\n" in value or "\r" in value:
        return "contains a line break"
    if value.split() != [value]:
        return "contains a space"
    if not value.isascii():
        return "contains a character that is not ASCII"
    if not value.isprintable():
        return "contains a control character"
    return "is longer than 512 characters" if len(value) > 512 else ""


def _make_provider(credential: Credential, variable: str) -> Callable[[], str]:
    if not callable(credential):
        value = validate_credential(credential, variable)
        return lambda: value
    provide = credential

    def provide_validated() -> str:
        try:
            value = provide()
        except Exception as error:
            raise ApiValueError(f"the callable for {variable} raised {type(error).__name__}") from error
        return validate_credential(value, f"what the callable for {variable} returned")

    return provide_validated


def _read_variable(environ: Mapping[str, str], variable: str) -> str | None:
    path = environ.get(f"{variable}_FILE")
    if variable in environ:
        if path is not None:
            raise ApiValueError(f"both {variable} and {variable}_FILE are set: unset one")
        return environ[variable]
    if path == "":
        raise ApiValueError(f"{variable}_FILE is set, but names no file")
    return None if path is None else _read_file(path)


def _read_file(file: str | os.PathLike[str]) -> str:
    try:
        text = Path(file).read_bytes().decode("ascii")
    except OSError as error:
        problem = f"cannot read {file}: {error.strerror}"
    except UnicodeDecodeError:
        problem = f"{file} contains a character that is not ASCII"
    except (ValueError, TypeError):
        problem = f"{file!r} is not the path of a file"
    else:
        return text.removesuffix("\n").removesuffix("\r")
    raise ApiValueError(problem)
