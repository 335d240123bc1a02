"""The sources fit the REST client and the hosts."""

from __future__ import annotations

import inspect
import json

import pytest

import binance_margin_stream.api as api
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.http.client import ApiClient
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.sources import (
    AUTO_SOURCES,
    LISTEN_KEY,
    LISTEN_KEY_UTA,
    LISTEN_KEY_V2,
    LISTEN_TOKEN,
    RISK_LISTEN_KEY,
    STREAM_HOST,
    WEBSOCKET_API,
    Credential,
    get_source,
    resolve_sources,
)

BTC = isolated("BTCUSDT")
SOURCES = [LISTEN_TOKEN, LISTEN_KEY_V2, LISTEN_KEY_UTA, RISK_LISTEN_KEY, LISTEN_KEY]
CASES = [(source, account) for source in SOURCES for account in (CROSS, BTC) if source.supports(account)]


@pytest.fixture
def client():
    with ApiClient(endpoints=Endpoints.production()) as client:
        yield client


def list_calls(source, account):
    yield source.build_create_call(account, 60.0)
    for ask in (source.build_keepalive_call, source.build_delete_call):
        if ask is not None:
            yield ask(account, "secret")


@pytest.mark.parametrize(("source", "account"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_every_call_exists_and_takes_its_arguments(source, account, client):
    for call in list_calls(source, account):
        operation = getattr(call.make_api(client), call.operation)
        inspect.signature(operation).bind(**call.arguments)


@pytest.mark.parametrize(("source", "account"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_no_call_shows_its_secret(source, account):
    assert not any("secret" in repr(call) for call in list_calls(source, account))


def test_the_token_of_an_isolated_account_names_its_symbol():
    arguments = LISTEN_TOKEN.build_create_call(BTC, 3600.0).arguments
    assert dict(arguments) == {"validity": 3_600_000, "is_isolated": True, "symbol": "BTCUSDT"}
    assert dict(LISTEN_TOKEN.build_create_call(CROSS, 3600.0).arguments) == {"validity": 3_600_000}


def test_the_first_listen_key_of_an_isolated_account_has_calls_of_its_own(client):
    assert {type(call.make_api(client)) for call in list_calls(LISTEN_KEY, BTC)} == {api.IsolatedMarginStreamApi}
    assert all(call.arguments["symbol"] == "BTCUSDT" for call in list_calls(LISTEN_KEY, BTC))


def test_only_tokens_and_first_listen_keys_have_isolated_accounts():
    assert [source.name for source in SOURCES if source.supports(BTC)] == ["token", "listen-key"]
    assert all(source.supports(CROSS) for source in SOURCES)


def test_the_risk_key_is_never_deleted_since_that_weighs_3000():
    assert RISK_LISTEN_KEY.build_delete_call is None


def test_each_connects_where_the_endpoints_say():
    endpoints = Endpoints(rest="r", websocket_api="wss://api/v3", stream="wss://old", margin_stream="wss://margin")
    assert [source.build_url(endpoints) for source in SOURCES] == [
        "wss://api/v3",
        "wss://margin/stream",
        "wss://margin/stream",
        "wss://margin/stream",
        "wss://old/stream",
    ]


def test_the_listen_key_of_a_unified_account_has_a_host_setting():
    assert LISTEN_KEY_UTA.build_url(Endpoints.production()) == "wss://fstream.binance.com/private/stream"
    endpoints = Endpoints("r", "wss://api/v3", "wss://old", "wss://margin", listen_key_uta="wss://uta/private")
    assert LISTEN_KEY_UTA.build_url(endpoints) == "wss://uta/private/stream"
    assert LISTEN_KEY_V2.build_url(endpoints) == "wss://margin/stream"


def test_auto_tries_what_is_documented_first_and_never_what_is_gone():
    assert resolve_sources("auto") == AUTO_SOURCES == (LISTEN_TOKEN, LISTEN_KEY_V2)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_each_can_be_chosen_by_name(source):
    assert resolve_sources(source.name) == (source,)


def test_a_name_that_is_none_lists_those_that_are():
    with pytest.raises(ValueError, match=r"'token'.*'listen-key-v2'"):
        get_source("testnet")


def test_the_websocket_api_is_spoken_to_as_documented():
    assert json.loads(WEBSOCKET_API.build_subscribe_message(7, ["t+/="])) == {
        "id": 7,
        "method": "userDataStream.subscribe.listenToken",
        "params": {"listenToken": "t+/="},
    }
    assert json.loads(WEBSOCKET_API.build_list_message(8)) == {"id": 8, "method": "session.subscriptions"}
    assert json.loads(WEBSOCKET_API.build_unsubscribe_message(9, 3)) == {
        "id": 9,
        "method": "userDataStream.unsubscribe",
        "params": {"subscriptionId": 3},
    }


def test_a_stream_host_gets_keys_in_messages_and_not_in_addresses():
    assert json.loads(STREAM_HOST.build_subscribe_message(1, ["a", "b"])) == {
        "method": "SUBSCRIBE",
        "params": ["a", "b"],
        "id": 1,
    }
    assert json.loads(STREAM_HOST.build_unsubscribe_message(2, "a")) == {
        "method": "UNSUBSCRIBE",
        "params": ["a"],
        "id": 2,
    }


def test_stream_hosts_are_spoken_to_at_half_of_what_they_allow():
    assert STREAM_HOST.message_rate <= 2.5
    assert not STREAM_HOST.shares_rate_limit


def test_a_credential_is_fresh_until_the_last_tenth_of_its_lifetime():
    credential = Credential("secret", 0.0, 100.0, 0.0)
    assert credential.is_fresh(89.0)
    assert not credential.is_fresh(91.0)
    assert "secret" not in repr(credential)
