"""Checks that work under ``python -O``, and the secrets that no output may contain."""

from __future__ import annotations

import corpus

API_KEY = "PLANTED-API-KEY-" + "k" * 48
API_SECRET = "PLANTED-API-SECRET-" + "s" * 45
GIVEN_KEY = "PLANTED-LISTEN-KEY+/of-the-caller=="
SECRETS = (API_KEY, API_SECRET, GIVEN_KEY, corpus.LISTEN_KEY, corpus.LISTEN_TOKEN)


def check(condition: object, message: str) -> None:
    """Raise `AssertionError` if a condition does not hold."""
    if not condition:
        raise AssertionError(message)


def check_no_secret(text: str) -> None:
    """Raise if a text that a user may see contains a planted secret."""
    check(not any(secret in text for secret in SECRETS), "a secret is in the text")
