"""Sign requests with an HMAC secret, an RSA key or an Ed25519 key.

Source: the exchange's general information of 2026-01-15. A signature covers the percent-encoded query as it is sent. An
HMAC is sent in hexadecimal, an RSA (PKCS#1 v1.5, SHA-256) or Ed25519 signature in Base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from binance_margin_stream.exceptions import ApiValueError
from binance_margin_stream.tracebacks import hide_frames

__all__ = ["PEM_MARK", "Signer", "create_hmac_signer", "load_private_key"]

Signer = Callable[[str], str]
"""Returns the signature of a text."""

PEM_MARK = "-----BEGIN "


def create_hmac_signer(get_secret: Callable[[], str]) -> Signer:
    """Return a signer with the secret that `get_secret` returns for each request."""

    def sign(payload: str) -> str:
        return hmac.new(get_secret().encode("ascii"), payload.encode("utf-8"), hashlib.sha256).hexdigest()

    return sign


@hide_frames
def load_private_key(pem: str, password: str | None, name: str) -> Signer:
    """Return a signer with the private key in `pem`: PKCS#8, RSA or Ed25519, encrypted if there is a password.

    `name` is the name of the setting, for messages. Raises `ApiValueError` for a key that cannot be used, and if the
    extra ``keys`` is not installed.
    """
    if PEM_MARK not in pem:
        raise ApiValueError(f"{name} is not a private key in PEM format, which starts with {PEM_MARK}PRIVATE KEY-----")
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
    except ModuleNotFoundError:
        raise ApiValueError(f"{name} needs cryptography: pip install 'binance-margin-stream[keys]'") from None
    try:
        key = serialization.load_pem_private_key(pem.encode(), None if password is None else password.encode())
    except TypeError:
        problem = "is encrypted: pass its password" if password is None else "is not encrypted: remove the password"
    except (ValueError, UnsupportedAlgorithm):
        problem = "is damaged" if password is None else "is damaged, or the password is wrong"
    else:
        return _create_key_signer(key, name)
    raise ApiValueError(f"{name} {problem}")


def _create_key_signer(key: Any, name: str) -> Signer:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if isinstance(key, Ed25519PrivateKey):
        return lambda payload: base64.b64encode(key.sign(payload.encode())).decode()
    if isinstance(key, RSAPrivateKey):
        return lambda payload: base64.b64encode(key.sign(payload.encode(), PKCS1v15(), hashes.SHA256())).decode()
    raise ApiValueError(f"{name} must be an Ed25519 or RSA key, not {type(key).__name__.removesuffix('PrivateKey')}")
