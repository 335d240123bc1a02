"""The client against the sandbox, which was written independently, over real sockets."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from api_methods import API_METHODS, ApiMethod
from key_pairs import create_key_pair

import binance_margin_stream as sdk
from binance_margin_stream.sandbox import ExchangeRules, Sandbox

TOKEN = API_METHODS[6]
SERVED = ExchangeRules(retired_endpoints="served", listen_key_characters="base64")
RETIRED = [call for call in API_METHODS if "userDataStream" in call.path]
KEEP_ALIVE = [call for call in API_METHODS if call.http_method == "PUT"]


def make_client(exchange: Sandbox, **settings) -> sdk.ApiClient:
    settings = {"auth": sdk.ApiKeyAuth(exchange.api_key), "retry": sdk.NO_RETRIES} | settings
    return sdk.ApiClient(endpoints=exchange.endpoints, **settings)


def create_listen_key(call: ApiMethod, client: sdk.ApiClient) -> dict[str, str]:
    """Return the listen key of the same source as an argument; nothing for calls without one."""
    if "listen_key" not in call.arguments:
        return {}
    post = next(other for other in API_METHODS if other.path == call.path and other.http_method == "POST")
    return {"listen_key": post.bind(client)().listen_key}


@pytest.mark.parametrize("rules", [SERVED, replace(SERVED, empty_body="object")], ids=["nothing", "object"])
@pytest.mark.parametrize("call", API_METHODS, ids=str)
def test_every_call_works_and_its_weight_can_be_read(call, rules):
    with Sandbox(rules=rules) as exchange, make_client(exchange) as client:
        arguments = call.arguments | create_listen_key(call, client)
        response = getattr(getattr(sdk, call.api_class)(client), f"{call.name}_with_http_info")(**arguments)
        weights = [value for name, value in response.headers.items() if name.lower().startswith("x-sapi-used")]
    assert response.status_code == 200
    assert weights
    assert all(int(weight) >= 1 for weight in weights)


@pytest.mark.parametrize("call", RETIRED, ids=str)
def test_a_retired_call_is_gone_by_default(call):
    with Sandbox() as exchange, make_client(exchange) as client, pytest.raises(sdk.EndpointRetiredError) as caught:
        call.bind(client)()
    assert caught.value.status == 410
    assert "410 Gone" in str(caught.value)
    assert "sapi_v1_user_listen_token_post" in caught.value.successor


@pytest.mark.parametrize("call", [call for call in API_METHODS if call not in RETIRED], ids=str)
def test_the_next_retirement_is_told_too(call):
    with Sandbox() as exchange, make_client(exchange) as client:
        arguments = create_listen_key(call, client)
        exchange.retire_endpoint(call.path)
        with pytest.raises(sdk.EndpointRetiredError):
            call.bind(client)(**arguments)


@pytest.mark.parametrize("call", API_METHODS, ids=str)
def test_an_unknown_key_is_rejected(call):
    with Sandbox(rules=SERVED) as exchange, make_client(exchange, auth=sdk.ApiKeyAuth("x" * 64)) as client:
        with pytest.raises(sdk.KeyRejectedError) as caught:
            call.bind(client)()
    assert caught.value.code in (-2014, -2015)


def test_a_revoked_key_is_rejected_from_then_on():
    with Sandbox() as exchange, make_client(exchange) as client:
        TOKEN.bind(client)()
        exchange.revoke_api_key()
        with pytest.raises(sdk.KeyRejectedError, match="IP list"):
            TOKEN.bind(client)()


@pytest.mark.parametrize("call", KEEP_ALIVE, ids=str)
def test_an_unknown_listen_key_is_unknown(call):
    with Sandbox(rules=SERVED) as exchange, make_client(exchange) as client, pytest.raises(sdk.ListenKeyUnknownError):
        call.bind(client)()


@pytest.mark.parametrize("call", [*RETIRED[:1], API_METHODS[7], API_METHODS[10]], ids=str)
def test_an_account_with_a_live_key_gets_that_key_back(call):
    with Sandbox(rules=SERVED) as exchange, make_client(exchange) as client:
        first, second = (call.bind(client)().listen_key for _ in range(2))
        exchange.delete_listen_key(first)
        third = call.bind(client)().listen_key
    assert first == second != third


def test_a_missing_listen_key_is_a_bad_parameter():
    with Sandbox(rules=SERVED) as exchange, make_client(exchange) as client:
        with pytest.raises(sdk.BadParameterError) as caught:
            sdk.MarginStreamApi(client).sapi_v1_user_data_stream_put()
    assert caught.value.code in (-1102, -1105)


def test_a_bad_symbol_is_a_bad_parameter():
    with Sandbox() as exchange, make_client(exchange) as client, pytest.raises(sdk.BadParameterError) as caught:
        TOKEN.bind(client)(is_isolated=True, symbol="NOSUCHPAIR")
    assert caught.value.code == -1121


@pytest.mark.parametrize("validity", [None, 1, 60_000, 86_400_000])
def test_a_token_lives_as_long_as_asked_for(validity):
    with Sandbox() as exchange, make_client(exchange) as client:
        before = exchange.now
        token = TOKEN.bind(client)(validity=validity)
        after = exchange.now
    asked = validity or 86_400_000
    assert before + asked <= token.expiration_time <= after + asked


@pytest.mark.parametrize("signing", ["optional", "required"])
def test_a_signed_token_call_is_taken(signing):
    with Sandbox(rules=ExchangeRules(signature_policy=signing)) as exchange:
        auth = sdk.ApiKeyAuth(exchange.api_key, exchange.api_secret)
        with make_client(exchange, auth=auth) as client:
            assert TOKEN.bind(client)(is_isolated=True, symbol="BTCUSDT").token


@pytest.mark.parametrize("kind", ["Ed25519", "RSA"])
def test_a_token_call_that_a_private_key_signs_is_taken(kind):
    pair = create_key_pair(kind)
    with Sandbox(rules=ExchangeRules(signature_policy="required")) as exchange:
        auth = sdk.ApiKeyAuth(exchange.add_key(pair.public_pem), private_key=pair.private_pem)
        with make_client(exchange, auth=auth) as client:
            assert TOKEN.bind(client)(is_isolated=True, symbol="BTCUSDT").token


def test_a_token_call_without_a_secret_fails_where_signing_is_required():
    with Sandbox(rules=ExchangeRules(signature_policy="required")) as exchange, make_client(exchange) as client:
        with pytest.raises(sdk.BadParameterError, match=r"timestamp|signature"):
            TOKEN.bind(client)()


def test_a_wrong_secret_is_told_as_the_signature():
    with Sandbox() as exchange, make_client(exchange, auth=sdk.ApiKeyAuth(exchange.api_key, "wrong")) as client:
        with pytest.raises(sdk.KeyRejectedError, match="signature"):
            TOKEN.bind(client)()


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_is_hours_off_is_corrected(hours):
    start = round((time.time() + hours * 3600) * 1000)
    with Sandbox(start_ms=start) as exchange:
        auth = sdk.ApiKeyAuth(exchange.api_key, exchange.api_secret)
        with make_client(exchange, auth=auth) as client:
            assert [TOKEN.bind(client)().token != "" for _ in range(3)] == [True] * 3
        statuses = [call.status for call in exchange.rest_log if call.path == TOKEN.path]
        assert exchange.metrics.count_rest_calls("/api/v3/time") == 1
    assert statuses == [400, 200, 200, 200], "the clock is corrected after one refusal"


def test_a_rate_limit_and_then_a_ban_arrive_as_such():
    rules = ExchangeRules(uid_weight_limit=3, refusals_before_ban=2)
    with Sandbox(rules=rules) as exchange, make_client(exchange) as client:
        errors = []
        for _ in range(8):
            try:
                TOKEN.bind(client)()
            except sdk.ApiException as error:
                errors.append(error)
    assert [type(error) for error in errors[:1]] == [sdk.RateLimitError]
    assert type(errors[-1]) is sdk.BannedError
    assert 0 < errors[0].retry_after <= 60
    assert errors[-1].until is not None
