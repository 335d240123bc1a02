"""Signatures by HMAC, RSA and Ed25519, and their timestamps."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import pytest
from exchange_harness import LISTEN_TOKEN_PATH, ExchangeHarness, sign_query
from key_pairs import KeyPair, create_key_pair

from binance_margin_stream.sandbox import Sandbox, User

KINDS = ("Ed25519", "RSA")


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


def add_key(harness: ExchangeHarness, pair: KeyPair) -> User:
    """The user with the API key of a key pair."""
    return User(harness.user.uid, harness.exchange.add_key(harness.user, pair.public_pem), "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_pair_signs(harness: ExchangeHarness, kind: Literal["Ed25519", "RSA"]) -> None:
    pair = create_key_pair(kind)
    owner = add_key(harness, pair)
    query, form = "symbol=%E5%B8%81USDT", f"timestamp={harness.now}"
    signature = quote(pair.sign(query + form), safe="")
    signed = harness.call_rest("POST", LISTEN_TOKEN_PATH, query, form=f"{form}&signature={signature}", user=owner)
    assert signed.status == 200
    other = quote(pair.sign(query + form + "0"), safe="")
    refused = harness.call_rest("POST", LISTEN_TOKEN_PATH, query, form=f"{form}&signature={other}", user=owner)
    assert refused.code == -1022


@pytest.mark.parametrize("signature", ["0" * 64, "AAAA", "A", "-_-_", "A" * 86 + "=="])
def test_what_is_no_signature_of_the_key_pair_is_refused(harness: ExchangeHarness, signature: str) -> None:
    owner = add_key(harness, create_key_pair("Ed25519"))
    query = f"timestamp={harness.now}&signature={signature}"
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, query, user=owner).code == -1022


def test_the_secret_of_the_user_does_not_sign_for_the_key_pair(harness: ExchangeHarness) -> None:
    owner = add_key(harness, create_key_pair("Ed25519"))
    query = f"timestamp={harness.now}"
    signed = f"{query}&signature={sign_query(query, harness.user.api_secret)}"
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, signed, user=owner).code == -1022
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, signed).status == 200


def test_a_key_pair_acts_for_its_user(harness: ExchangeHarness) -> None:
    owner = add_key(harness, create_key_pair("Ed25519"))
    key = harness.call_rest("POST", "/sapi/v2/margin/listen-key", user=owner).json["listenKey"]
    assert harness.call_rest("PUT", "/sapi/v2/margin/listen-key", {"listenKey": key}).status == 200
    harness.exchange.revoke_api_key(harness.user.api_key, harness.now)
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, user=owner).code == -2015


@pytest.mark.parametrize("pem", ["", "key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "é"])
def test_what_is_no_public_key_is_refused(harness: ExchangeHarness, pem: str) -> None:
    with pytest.raises(ValueError, match=r"^public_key takes the public key of an Ed25519 or RSA key pair"):
        harness.exchange.add_key(harness.user, pem)


def test_a_private_key_is_refused_without_being_shown(harness: ExchangeHarness) -> None:
    private = create_key_pair("Ed25519").private_pem
    with pytest.raises(ValueError, match="register the public key of the pair") as refused:
        harness.exchange.add_key(harness.user, private)
    assert private.splitlines()[1] not in str(refused.value)


def test_a_short_rsa_key_is_refused(harness: ExchangeHarness) -> None:
    with pytest.raises(ValueError, match="2048 or 4096 bits"):
        harness.exchange.add_key(harness.user, create_key_pair("RSA", 1024).public_pem)


def test_a_key_is_added_to_a_running_sandbox() -> None:
    with Sandbox() as exchange:
        added = exchange.add_key(create_key_pair("Ed25519").public_pem)
        assert added != exchange.api_key
        with pytest.raises(KeyError):
            exchange.add_key(create_key_pair("Ed25519").public_pem, api_key="nobodys")


@pytest.mark.parametrize(
    ("sent_at_us", "window", "code"),
    [
        (0, "5000", None),
        (-5_000_000, "5000", None),
        (-5_000_001, "5000", -1021),
        (-5_000_400, "5000.4", None),
        (-5_000_401, "5000.4", -1021),
        (999_999, "5000", None),
        (1_000_000, "5000", -1021),
        (0, "60000.001", -1130),
        (0, "0.999", -1130),
        (0, "5000.0001", -1100),
    ],
)
def test_a_timestamp_may_be_in_microseconds_and_the_window_have_decimals(
    harness: ExchangeHarness, sent_at_us: int, window: str, code: int | None
) -> None:
    query = f"timestamp={harness.now * 1000 + sent_at_us}&recvWindow={window}"
    signed = f"{query}&signature={sign_query(query, harness.user.api_secret)}"
    reply = harness.call_rest("POST", LISTEN_TOKEN_PATH, signed)
    assert (reply.status == 200) if code is None else (reply.code == code)
