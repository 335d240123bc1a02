"""Public keys of API keys that sign with a key pair, as users register them with the exchange."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["PublicKey", "parse_public_key"]

_MAX_PEM_LENGTH = 10_000
_RSA_SIZES = (2048, 4096)
_EXPECTED = "public_key takes the public key of an Ed25519 or RSA key pair (2048 or 4096 bits) in PEM format"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key; `verify_bytes` returns whether a signature of a payload is valid."""

    kind: Literal["Ed25519", "RSA"]
    verify_bytes: Callable[[bytes, bytes], bool] = field(repr=False, compare=False)

    def verify(self, payload: bytes, signature: str) -> bool:
        """Whether a signature in base64 is valid for a payload."""
        try:
            return self.verify_bytes(base64.b64decode(signature, validate=True), payload)
        except (binascii.Error, ValueError):
            return False


def parse_public_key(pem: str) -> PublicKey:
    """Read a public key in PEM format.

    Raises:
        ValueError: it is no public key of these kinds; a private key is refused, too.
        ImportError: `cryptography` is missing.

    """
    if "PRIVATE KEY" in pem:
        raise ValueError("this is a private key, which stays with the client: register the public key of the pair")
    # Slow to import, and only needed by users with key pairs.
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError as missing:
        raise ImportError("public keys need cryptography: pip install 'binance-margin-stream[sandbox]'") from missing

    def build_verifier(verify: Callable[[bytes, bytes], None]) -> Callable[[bytes, bytes], bool]:
        def is_valid(signature: bytes, payload: bytes) -> bool:
            try:
                verify(signature, payload)
            except InvalidSignature:
                return False
            return True

        return is_valid

    try:
        key = load_pem_public_key(pem[:_MAX_PEM_LENGTH].encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(_EXPECTED) from None
    match key:
        case Ed25519PublicKey():
            return PublicKey("Ed25519", build_verifier(key.verify))
        case RSAPublicKey() if key.key_size in _RSA_SIZES:
            return PublicKey("RSA", build_verifier(lambda sent, data: key.verify(sent, data, PKCS1v15(), SHA256())))
        case _:
            raise ValueError(_EXPECTED)
