"""Generation of API keys, secrets, listen keys and listen tokens."""

from __future__ import annotations

import random
import string

from binance_margin_stream.sandbox.config import ExchangeRules

__all__ = ["API_KEY_LENGTH", "CredentialGenerator"]

API_KEY_LENGTH = 64
_LISTEN_KEY_LENGTH = 60
_LISTEN_TOKEN_LENGTH = 88
_ALPHANUMERIC = string.ascii_letters + string.digits


class CredentialGenerator:
    """Generates credentials; the same state of the random generator gives the same values."""

    def __init__(self, rules: ExchangeRules, rng: random.Random) -> None:
        self._rng = rng
        self._special_characters = rules.listen_key_characters == "base64"

    def api_key(self) -> str:
        """A new API key."""
        return self.generate(API_KEY_LENGTH, prefix="SandboxKeyNotARealOne")

    def api_secret(self) -> str:
        """A new API secret."""
        return self.generate(API_KEY_LENGTH, prefix="SandboxSecretNotARealOne")

    def listen_key(self) -> str:
        """A new listen key."""
        return self.generate(_LISTEN_KEY_LENGTH, special_characters=self._special_characters)

    def listen_token(self) -> str:
        """A new listen token."""
        return self.generate(_LISTEN_TOKEN_LENGTH, special_characters=True)

    def generate(self, length: int, *, prefix: str = "", special_characters: bool = False) -> str:
        """A random string; special characters are a `+` and a `/`, which clients have to percent-encode in a URL."""
        plain = "".join(self._rng.choice(_ALPHANUMERIC) for _ in range(length - len(prefix)))
        if not special_characters:
            return prefix + plain
        third = length // 3
        return f"{plain[:third]}+{plain[third + 1 : 2 * third]}/{plain[2 * third + 1 :]}"
