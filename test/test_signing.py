"""Signatures with a secret, an RSA key and an Ed25519 key."""

from __future__ import annotations

import base64
import sys
from urllib.parse import parse_qsl, urlsplit

import pytest
from api_methods import API_KEY, API_METHODS
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from raw_server import make_response

import binance_margin_stream as sdk
from binance_margin_stream import ApiKeyAuth

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ORDER = "side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
ASCII_SYMBOL = f"symbol=LTCBTC&{ORDER}"
OTHER_SYMBOL = f"symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&{ORDER}"
HMAC_VECTORS = {
    ASCII_SYMBOL: "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
    OTHER_SYMBOL: "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
}
"""The examples of the exchange's general information."""

RSA_KEY = rsa.generate_private_key(65537, 2048)
ED25519_KEY = ed25519.Ed25519PrivateKey.generate()
PASSWORD = "PLANTED-PASSWORD"


def make_pem(key, password: str | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    encoding = serialization.Encoding.PEM
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption).decode()


def verify(key, signature: str, payload: str) -> None:
    """Raise InvalidSignature unless `key` has made the Base64 `signature` of `payload`."""
    arguments = (base64.b64decode(signature, validate=True), payload.encode())
    if key is RSA_KEY:
        key.public_key().verify(*arguments, padding.PKCS1v15(), hashes.SHA256())
    else:
        key.public_key().verify(*arguments)


PRIVATE_KEYS = pytest.mark.parametrize("key", [RSA_KEY, ED25519_KEY], ids=["RSA", "Ed25519"])


@pytest.mark.parametrize(("payload", "signature"), HMAC_VECTORS.items())
def test_a_secret_signs_as_in_the_exchanges_examples(payload, signature):
    assert ApiKeyAuth(API_KEY, SECRET).sign(payload) == signature


@pytest.mark.parametrize(("payload", "signature"), HMAC_VECTORS.items())
def test_the_exchanges_examples_are_sent_as_they_are_signed(start_server, make_client, payload, signature):
    peer = start_server(make_response(200, "{}"))
    client = make_client(peer, auth=ApiKeyAuth(API_KEY, SECRET))
    client.call_api(
        *client.param_serialize(
            method="GET",
            resource_path="/sapi/v1/margin/order",
            query_params=parse_qsl(payload),
            auth_settings=["ApiKeyAuth", "Signature"],
        )
    )
    target = peer.requests[0].split(b" ", 2)[1].decode()
    assert target == f"/sapi/v1/margin/order?{payload}&signature={signature}"


def test_an_ed25519_key_signs_as_in_rfc_8032():
    key = ed25519.Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    expected = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    signature = ApiKeyAuth(API_KEY, private_key=make_pem(key)).sign("\x72")
    assert base64.b64decode(signature).hex() == expected


@PRIVATE_KEYS
@pytest.mark.parametrize("password", [None, PASSWORD], ids=["plain", "encrypted"])
def test_a_private_key_signs_from_every_place(tmp_path, key, password):
    pem = make_pem(key, password)
    file = tmp_path / "private.pem"
    file.write_text(pem)
    key_file = tmp_path / "key"
    key_file.write_text(API_KEY)
    environ = {"BINANCE_API_KEY": API_KEY} | ({"BINANCE_PRIVATE_KEY_PASSWORD": password} if password else {})
    for auth in (
        ApiKeyAuth(API_KEY, private_key=pem, private_key_password=password),
        ApiKeyAuth.from_file(key_file, private_key=file, private_key_password=password),
        ApiKeyAuth.from_env(environ | {"BINANCE_PRIVATE_KEY": pem}),
        ApiKeyAuth.from_env(environ | {"BINANCE_PRIVATE_KEY_FILE": str(file)}),
    ):
        assert auth.can_sign
        verify(key, auth.sign(ASCII_SYMBOL), ASCII_SYMBOL)
        assert PASSWORD not in repr(auth)


@PRIVATE_KEYS
def test_a_call_is_signed_with_the_private_key_as_it_is_sent(start_server, make_client, key):
    token = API_METHODS[6]
    peer = start_server(make_response(200, token.valid_body))
    token.bind(make_client(peer, auth=ApiKeyAuth(API_KEY, private_key=make_pem(key))))(is_isolated=True, symbol="A+B")
    payload, _, signature = urlsplit(peer.requests[0].split(b" ", 2)[1].decode()).query.rpartition("&signature=")
    assert payload.startswith("isIsolated=true&symbol=A%2BB&timestamp=")
    assert not set(signature) & set("+/=")
    verify(key, dict(parse_qsl(f"signature={signature}"))["signature"], payload)


@pytest.mark.parametrize(
    ("pem", "password", "says"),
    [
        ("planted", None, "is not a private key in PEM format"),
        ("", None, "is not a private key in PEM format"),
        (make_pem(ED25519_KEY)[:-40], None, "is damaged"),
        (make_pem(ED25519_KEY, PASSWORD), None, "is encrypted: pass its password"),
        (make_pem(ED25519_KEY), PASSWORD, "is not encrypted: remove the password"),
        (make_pem(ED25519_KEY, PASSWORD), "another", "the password is wrong"),
        (make_pem(ec.generate_private_key(ec.SECP256R1())), None, "must be an Ed25519 or RSA key"),
    ],
    ids=["no PEM", "empty", "cut off", "no password", "needless password", "wrong password", "elliptic curve"],
)
def test_a_private_key_that_cannot_be_used_is_refused_and_not_shown(pem, password, says):
    with pytest.raises(sdk.ApiValueError, match=says) as caught:
        ApiKeyAuth(API_KEY, private_key=pem, private_key_password=password)
    assert "BINANCE_PRIVATE_KEY" in str(caught.value)
    assert caught.value.__context__ is None
    for secret in ("planted", PASSWORD, *pem.splitlines()[1:-1]):
        assert secret not in str(caught.value)


@pytest.mark.parametrize("pem", [5, b"-----BEGIN %s-----" % b"PRIVATE KEY"])
def test_a_private_key_that_is_no_string_is_refused(pem):
    with pytest.raises(sdk.ApiTypeError, match="BINANCE_PRIVATE_KEY must be a string"):
        ApiKeyAuth(API_KEY, private_key=pem)


def test_a_secret_and_a_private_key_together_are_refused():
    with pytest.raises(sdk.ApiValueError, match="either a secret or a private key"):
        ApiKeyAuth(API_KEY, SECRET, private_key=make_pem(ED25519_KEY))


def test_a_private_key_without_the_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(sdk.ApiValueError, match=r"needs cryptography: pip install 'binance-margin-stream\[keys\]'"):
        ApiKeyAuth(API_KEY, private_key=make_pem(ED25519_KEY))
