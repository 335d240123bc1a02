"""The API key: its sources, and invalid values, which are refused before anything is sent."""

from __future__ import annotations

import copy
import hashlib
import hmac

import pytest
from api_methods import API_KEY, API_METHODS, API_SECRET
from raw_server import make_response

import binance_margin_stream as sdk
from binance_margin_stream import ApiKeyAuth

PEM_LABEL = "PRIVATE KEY"
PEM_HEAD, PEM_TAIL = f"-----BEGIN {PEM_LABEL}-----", f"-----END {PEM_LABEL}-----"
BAD = {
    "": "is empty",
    "planted\nkey": "line break",
    "planted\rkey": "line break",
    "planted key": "a space",
    " planted": "a space",
    "planted\tkey": "a space",
    "plantéd": "not ASCII",
    "plant\x00ed": "control character",
    "planted" * 100: "longer than 512",
    '"planted"': "has quotes around it",
    "'planted'": "has quotes around it",
    "BINANCE_API_KEY=planted": "contains NAME=value",
    "export API_SECRET=planted": "contains NAME=value",
    "\ufeffplanted": "byte order mark",
    f"{PEM_HEAD}\nplanted\n{PEM_TAIL}": "is a private key in PEM format",
}


@pytest.mark.parametrize(("value", "says"), BAD.items())
@pytest.mark.parametrize("variable", ["BINANCE_API_KEY", "BINANCE_API_SECRET"])
def test_a_value_that_cannot_be_a_key_is_refused_at_once_and_not_shown(value, says, variable):
    arguments = (value,) if variable == "BINANCE_API_KEY" else (API_KEY, value)
    with pytest.raises(sdk.ApiValueError) as caught:
        ApiKeyAuth(*arguments)
    assert variable in str(caught.value)
    assert says in str(caught.value)
    assert "plant" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, b"planted", ["planted"]])
def test_a_key_that_is_no_string_is_refused(value):
    with pytest.raises(sdk.ApiTypeError, match=f"BINANCE_API_KEY .* not {type(value).__name__}"):
        ApiKeyAuth(value)


def test_the_environment_gives_key_and_secret():
    auth = ApiKeyAuth.from_env({"BINANCE_API_KEY": API_KEY, "BINANCE_API_SECRET": API_SECRET})
    assert (auth.get_api_key(), auth.can_sign) == (API_KEY, True)


def test_the_environment_may_give_the_key_alone():
    assert not ApiKeyAuth.from_env({"BINANCE_API_KEY": API_KEY}).can_sign


def test_an_environment_without_a_key_says_what_to_set():
    with pytest.raises(sdk.ApiValueError, match="set BINANCE_API_KEY, or BINANCE_API_KEY_FILE"):
        ApiKeyAuth.from_env({})


def test_an_empty_variable_is_refused():
    with pytest.raises(sdk.ApiValueError, match="BINANCE_API_KEY is empty"):
        ApiKeyAuth.from_env({"BINANCE_API_KEY": ""})


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_container_secret_is_read_from_its_file(tmp_path, ending):
    file = tmp_path / "key"
    file.write_bytes((API_KEY + ending).encode())
    assert ApiKeyAuth.from_env({"BINANCE_API_KEY_FILE": str(file)}).get_api_key() == API_KEY
    assert ApiKeyAuth.from_file(file, file).sign("") == ApiKeyAuth("k", API_KEY).sign("")


def test_a_file_with_two_lines_is_refused(tmp_path):
    file = tmp_path / "key"
    file.write_text("planted\nsecret\n")
    with pytest.raises(sdk.ApiValueError, match="line break") as caught:
        ApiKeyAuth.from_file(file)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "plantéd".encode()])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(sdk.ApiValueError, match=str(file)) as caught:
        ApiKeyAuth.from_env({"BINANCE_API_KEY_FILE": str(file)})
    assert "plant" not in str(caught.value).replace(str(file), "")


@pytest.mark.parametrize("content", ["planted".encode("utf-8-sig"), "planted".encode("utf-16")])
def test_a_file_with_a_byte_order_mark_is_refused(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(sdk.ApiValueError, match="starts with a byte order mark") as caught:
        ApiKeyAuth.from_file(file)
    assert "planted" not in str(caught.value)


PEM = f"{PEM_HEAD}\n{'planted/' * 600}\n{PEM_TAIL}"


@pytest.mark.parametrize("variable", ["BINANCE_API_KEY", "BINANCE_API_SECRET", "BINANCE_PRIVATE_KEY"])
@pytest.mark.parametrize("key", [API_KEY, f'"{API_KEY}"', f"./{API_KEY}", f"{API_KEY}\n", "planted/" * 600, PEM])
def test_a_file_variable_that_holds_the_key_itself_is_named_and_not_shown(variable, key):
    environ = {"BINANCE_API_KEY": API_KEY, f"{variable}_FILE": key}
    if variable == "BINANCE_API_KEY":
        del environ[variable]
    with pytest.raises(sdk.ApiValueError, match=f"{variable}_FILE .its path is not shown") as caught:
        ApiKeyAuth.from_env(environ)
    assert API_KEY not in str(caught.value)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("path", [None, 5, "a\0b"])
def test_an_invalid_path_is_refused(path):
    with pytest.raises(sdk.ApiValueError, match="not the path of a file"):
        ApiKeyAuth.from_file(path)


def test_an_empty_file_variable_is_named():
    with pytest.raises(sdk.ApiValueError, match="BINANCE_API_KEY_FILE is set, but names no file"):
        ApiKeyAuth.from_env({"BINANCE_API_KEY_FILE": ""})


def test_a_variable_and_its_file_together_are_refused(tmp_path):
    with pytest.raises(sdk.ApiValueError, match="unset one"):
        ApiKeyAuth.from_env({"BINANCE_API_KEY": API_KEY, "BINANCE_API_KEY_FILE": str(tmp_path)})


def test_a_callable_is_asked_for_every_request(start_server, make_client):
    keys = iter(["first-key", "second-key"])
    peer = start_server(make_response(200, "{}"))
    client = make_client(peer, auth=ApiKeyAuth(lambda: next(keys)))
    for _ in range(2):
        API_METHODS[1].bind(client)()
    assert [b"first-key" in peer.requests[0], b"second-key" in peer.requests[1]] == [True, True]


def test_an_invalid_value_of_a_callable_is_refused_without_showing_it(start_server, make_client):
    peer = start_server(make_response(200, "{}"))
    with pytest.raises(
        sdk.ApiValueError, match="callable for BINANCE_API_KEY returned contains a line break"
    ) as caught:
        API_METHODS[1].bind(make_client(peer, auth=ApiKeyAuth(lambda: "planted\nkey")))()
    assert "planted" not in str(caught.value)
    assert peer.requests == []


def test_a_callable_that_raises_is_the_cause(start_server, make_client):
    def read_secret() -> str:
        raise RuntimeError("sealed")

    with pytest.raises(sdk.ApiValueError, match="callable for BINANCE_API_KEY raised RuntimeError") as caught:
        API_METHODS[1].bind(make_client(start_server(make_response(200, "{}")), auth=ApiKeyAuth(read_secret)))()
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_signature_is_hmac_sha256_in_hexadecimal():
    expected = hmac.new(API_SECRET.encode(), b"a=1&b=2", hashlib.sha256).hexdigest()
    assert ApiKeyAuth(API_KEY, API_SECRET).sign("a=1&b=2") == expected


def test_without_a_secret_nothing_is_signed():
    with pytest.raises(sdk.ApiValueError, match="BINANCE_API_SECRET"):
        ApiKeyAuth(API_KEY).sign("a=1")


def test_neither_key_nor_secret_shows():
    auth = ApiKeyAuth(API_KEY, API_SECRET)
    assert repr(auth) == "ApiKeyAuth(key=***, secret=***)"
    assert repr(ApiKeyAuth(API_KEY)) == str(ApiKeyAuth(API_KEY)) == "ApiKeyAuth(key=***)"


def test_a_configuration_with_a_key_can_be_copied():
    configuration = sdk.Configuration()
    ApiKeyAuth(API_KEY).configure(configuration)
    assert copy.deepcopy(configuration).get_api_key_with_prefix("ApiKeyAuth") == API_KEY
