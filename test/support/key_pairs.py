"""Key pairs of users that sign with Ed25519 or RSA."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


@dataclass(frozen=True)
class KeyPair:
    private_key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

    @property
    def public_pem(self) -> str:
        encoded = self.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return encoded.decode()

    @property
    def private_pem(self) -> str:
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign(self, payload: str) -> str:
        """The signature of a payload, in base64."""
        if isinstance(self.private_key, rsa.RSAPrivateKey):
            signature = self.private_key.sign(payload.encode(), padding.PKCS1v15(), SHA256())
        else:
            signature = self.private_key.sign(payload.encode())
        return base64.b64encode(signature).decode()


@functools.cache
def create_key_pair(kind: Literal["Ed25519", "RSA"], bits: int = 2048) -> KeyPair:
    """A key pair; the same one for every test, since RSA keys are slow to generate."""
    if kind == "RSA":
        return KeyPair(rsa.generate_private_key(65537, bits))
    return KeyPair(ed25519.Ed25519PrivateKey.generate())
