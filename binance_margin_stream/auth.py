"""The API key and, optionally, the secret or private key that signs requests."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from binance_margin_stream.exceptions import ApiTypeError, ApiValueError
from binance_margin_stream.signing import PEM_MARK, Signer, create_hmac_signer, load_private_key
from binance_margin_stream.tracebacks import hide_frames

if TYPE_CHECKING:
    from binance_margin_stream.configuration import Configuration

__all__ = ["ApiKeyAuth", "read_credential_file", "validate_credential"]

API_KEY_VARIABLE = "BINANCE_API_KEY"
API_SECRET_VARIABLE = "BINANCE_API_SECRET"  # noqa: S105  # the name of a variable
PRIVATE_KEY_VARIABLE = "BINANCE_PRIVATE_KEY"
PASSWORD_VARIABLE = "BINANCE_PRIVATE_KEY_PASSWORD"  # noqa: S105  # the name of a variable

Credential = str | Callable[[], str]

_ASSIGNMENT = re.compile(r"(?:export\s+)?\w*(?:key|secret|token)\w*\s*=\s*[^=\s]", re.IGNORECASE | re.ASCII)
_KEY_IN_PATH = re.compile(r"[A-Za-z0-9]{32,}|^(?![/.~])[A-Za-z0-9+/=_-]{32,}$")
_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_QUOTES = ("'", '"', "`")


class ApiKeyAuth:
    """An API key for the ``X-MBX-APIKEY`` header and, optionally, what signs requests: a secret or a private key.

    Key and secret may be callables without arguments. They are called for every request, so that a key can be rotated
    without a restart. A private key is the text of a PEM file, RSA or Ed25519, and needs the extra ``keys``. Nothing of
    this is ever shown.
    """

    _signer: Signer | None = None

    @hide_frames
    def __init__(
        self,
        key: Credential,
        secret: Credential | None = None,
        *,
        private_key: str | None = None,
        private_key_password: str | None = None,
    ) -> None:
        """Raise `ApiTypeError` or `ApiValueError` for an invalid key, secret or private key."""
        self._get_key = _make_provider(key, API_KEY_VARIABLE)
        if secret is not None and private_key is not None:
            raise ApiValueError("pass either a secret or a private key, not both: an API key has only one of them")
        if secret is not None:
            self._signer = create_hmac_signer(_make_provider(secret, API_SECRET_VARIABLE))
        elif private_key is not None:
            _check_text(private_key, PRIVATE_KEY_VARIABLE)
            _check_text(private_key_password or "", PASSWORD_VARIABLE)
            self._signer = load_private_key(private_key, private_key_password, PRIVATE_KEY_VARIABLE)

    @classmethod
    @hide_frames
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> ApiKeyAuth:
        """Read the key and what signs from the environment.

        ``BINANCE_API_KEY`` and, if set, either ``BINANCE_API_SECRET`` or ``BINANCE_PRIVATE_KEY``, the latter with
        ``BINANCE_PRIVATE_KEY_PASSWORD`` if it is encrypted. The same names with ``_FILE`` name files that contain the
        values, for container secrets. Raises `ApiValueError` if there is no key, or an invalid one.
        """
        key = _read_variable(environ, API_KEY_VARIABLE)
        if key is None:
            raise ApiValueError(
                f"no API key: set {API_KEY_VARIABLE}, or {API_KEY_VARIABLE}_FILE to a file that contains it"
            )
        return cls(
            key,
            _read_variable(environ, API_SECRET_VARIABLE),
            private_key=_read_variable(environ, PRIVATE_KEY_VARIABLE),
            private_key_password=_read_variable(environ, PASSWORD_VARIABLE),
        )

    @classmethod
    @hide_frames
    def from_file(
        cls,
        key: str | os.PathLike[str],
        secret: str | os.PathLike[str] | None = None,
        *,
        private_key: str | os.PathLike[str] | None = None,
        private_key_password: str | None = None,
    ) -> ApiKeyAuth:
        """Read the key and what signs from files. Each file contains nothing else.

        `private_key` is a PEM file; its password is passed as text. Raises `ApiValueError` for a file that cannot be
        read, or an invalid key.
        """
        return cls(
            read_credential_file(key, "the key file"),
            None if secret is None else read_credential_file(secret, "the secret file"),
            private_key=None if private_key is None else read_credential_file(private_key, "the private key file"),
            private_key_password=private_key_password,
        )

    @property
    def can_sign(self) -> bool:
        """Whether there is a secret or a private key to sign with."""
        return self._signer is not None

    @hide_frames
    def get_api_key(self) -> str:
        """Return the key for the next request."""
        return self._get_key()

    @hide_frames
    def sign(self, payload: str) -> str:
        """Return the signature of `payload`. Raises `ApiValueError` if there is nothing to sign with."""
        if self._signer is None:
            raise ApiValueError(f"nothing to sign with: set {API_SECRET_VARIABLE} or {PRIVATE_KEY_VARIABLE}")
        return self._signer(payload)

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


@hide_frames
def validate_credential(value: object, name: str) -> str:
    """Return `value` if it can be a key in a header. Raises an error that contains `name` and never the value."""
    problem = _find_problem(_check_text(value, name))
    if problem:
        raise ApiValueError(f"{name} {problem}")
    return str(value)


def _check_text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ApiTypeError(f"{name} must be a string, not {type(value).__name__}")
    return value


_COPY_AGAIN = "copy it again from the exchange's API management page"


def _find_problem(value: str) -> str:
    """Return what is wrong with a key and what to do, empty if nothing."""
    if not value:
        return "is empty: set it, or remove it"
    if PEM_MARK in value:
        return f"is a private key in PEM format: set {PRIVATE_KEY_VARIABLE}, or pass it as private_key"
    if value.startswith("\ufeff"):
        return "starts with a byte order mark: save the file as plain ASCII or UTF-8 without it"
    if value[0] in _QUOTES and value[-1] == value[0]:
        return "has quotes around it: remove them"
    if _ASSIGNMENT.match(value):
        return "contains NAME=value: keep only the value"
    if "\n" in value or "\r" in value:
        return f"contains a line break; {_COPY_AGAIN}"
    if value.split() != [value]:
        return f"contains a space; {_COPY_AGAIN}"
    if not value.isascii():
        return f"contains a character that is not ASCII; {_COPY_AGAIN}"
    if not value.isprintable():
        return f"contains a control character; {_COPY_AGAIN}"
    return f"is longer than 512 characters; {_COPY_AGAIN}" if len(value) > 512 else ""


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
    return None if path is None else read_credential_file(path, f"the file in {variable}_FILE")


@hide_frames
def read_credential_file(file: str | os.PathLike[str], name: str) -> str:
    """Read a file that contains one value; `name` describes it. Does not show a path that may be the value itself."""
    shown = _describe_path(file, name)
    try:
        content = Path(file).read_bytes()
        if content.startswith(_BYTE_ORDER_MARKS):
            raise ApiValueError(f"{shown} starts with a byte order mark: save it as plain ASCII or UTF-8 without it")
        text = content.decode("ascii")
    except OSError as error:
        problem = f"cannot read {shown}: {error.strerror}"
    except UnicodeDecodeError:
        problem = f"{shown} contains a character that is not ASCII"
    except ApiValueError:
        raise
    except (ValueError, TypeError):
        problem = f"{shown} is not the path of a file"
    else:
        return text.removesuffix("\n").removesuffix("\r")
    raise ApiValueError(problem)


def _describe_path(file: str | os.PathLike[str], name: str) -> str:
    try:
        path = os.fspath(file)
    except TypeError:
        return name
    if PEM_MARK in path or (_KEY_IN_PATH.search(path) and not os.path.exists(path)):
        return f"{name} (its path is not shown, as it looks like a key)"
    return path
