"""Planted keys, secrets, listen keys and tokens: searched for in all that a call leaves behind, at DEBUG."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from api_methods import API_KEY, API_SECRET, CALLS, GIVEN_KEY, LISTEN_KEY, PLANTED
from hypothesis import given
from hypothesis import strategies as st
from raw_server import dripping, html, http, reset

import binance_margin_stream as sdk
from binance_margin_stream.http.generated_patches import SECRET_FIELDS
from binance_margin_stream.redaction import redacted, shortened

SPEC = Path(__file__).parent.parent / "openapi" / "margin-stream.yaml"


def spellings() -> list[str]:
    return [spelling for secret in PLANTED for spelling in (secret, quote(secret, safe=""), quote(secret))]


def leaks(text: str) -> list[str]:
    return [spelling for spelling in spellings() if spelling in text]


def dragged_along(error: BaseException) -> list[str]:
    """What an error reporter finds behind an error: its context, and what that holds."""
    found = []
    while (error := error.__context__) is not None:
        found += [repr(error), repr(vars(error)), str(getattr(error, "doc", ""))]
    return found


EVERYTHING = f"{API_KEY} {API_SECRET} {GIVEN_KEY} {quote(GIVEN_KEY, safe='')} listenKey={GIVEN_KEY}&x"
ANSWERS = {
    "echo in HTML": html(403, EVERYTHING),
    "echo in HTML that should be JSON": html(200, EVERYTHING),
    "echo in a message": http(400, json.dumps({"code": -1102, "msg": EVERYTHING})),
    "echo in a message of the wrong type": http(400, json.dumps({"code": EVERYTHING, "msg": [EVERYTHING]})),
    "echo in plain text": http(502, EVERYTHING, content_type="text/plain"),
    "echo in a redirect": http(302, EVERYTHING, {"Location": f"https://elsewhere.invalid/{GIVEN_KEY}?{API_KEY}"}),
    "echo in a redirect's host": http(302, "", {"Location": f"https://{API_KEY}.elsewhere.invalid/"}),
    "unknown key with what it was": http(400, json.dumps({"code": -1125, "msg": f"no {GIVEN_KEY}"})),
    "half a listen key": http(200, f'{{"listenKey": "{LISTEN_KEY}'),
    "listen key elsewhere": http(200, json.dumps({"data": {"listenKey": LISTEN_KEY}, "x": LISTEN_KEY})),
    "listen key in a list": http(200, json.dumps([LISTEN_KEY])),
    "bad header": b"HTTP/1.1 200 OK\r\n" + GIVEN_KEY.encode() + b"\r\n\r\n",
    "reset": reset,
    "slow": dripping(b"HTTP/1.1 200 OK\r\n", 0.05),
    "rate limit": http(429, EVERYTHING, {"Retry-After": "0"}),
}


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_no_failing_call_leaves_a_secret_behind(answering, client_of, caplog, capfd, call, answer):
    auth = sdk.ApiKeyAuth(API_KEY, API_SECRET)
    client = client_of(answering(answer), auth=auth, timeout=sdk.Timeout(0.2, 0.2))
    left = [repr(client), repr(client.configuration), repr(auth)]
    with caplog.at_level(logging.DEBUG):
        try:
            value = call.on(client)()
            left += [repr(value)] if not isinstance(value, dict) else []
        except sdk.OpenApiException as error:
            left += traceback.format_exception(error)
            left += dragged_along(error)
            left += [repr(vars(error).get(name)) for name in ("msg", "reason", "body", "kind", "successor", "call")]
            left += [repr(error), *map(repr, error.args)]
    left += [record.getMessage() + str(record.exc_text) for record in caplog.records]
    left += capfd.readouterr()
    assert leaks("\n".join(left)) == []


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_no_succeeding_call_leaves_a_secret_behind(answering, client_of, caplog, call):
    with caplog.at_level(logging.DEBUG):
        client = client_of(answering(http(200, call.good_body)))
        method = getattr(getattr(sdk, call.api)(client), call.name + "_with_http_info")
        response = method(**call.arguments)
    left = [repr(response), str(response), repr(response.data), *(record.getMessage() for record in caplog.records)]
    assert caplog.records, "the network library logged nothing: then this test sees nothing"
    assert leaks("\n".join(left)) == []


def test_a_model_hides_its_secret_and_still_holds_it():
    model = sdk.ApiV3UserDataStreamPost200Response(listen_key=LISTEN_KEY)
    assert repr(model) == "ApiV3UserDataStreamPost200Response(listen_key='***')"
    assert (model.listen_key, model.to_dict()) == (LISTEN_KEY, {"listenKey": LISTEN_KEY})


def test_every_secret_of_the_spec_is_a_field_that_is_hidden():
    schemas = yaml.safe_load(SPEC.read_text())["components"]["schemas"]
    marked = {
        name
        for schema in schemas.values()
        for name, field in schema.get("properties", {}).items()
        if field.get("x-secret")
    }
    assert marked == {"listenKey", "token"}
    assert {"listen_key", "token"} == SECRET_FIELDS


@given(
    before=st.text(max_size=30),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=80),
    after=st.text(max_size=30),
)
def test_a_known_secret_never_survives_redaction(before, secret, after):
    for spelled in (secret, quote(secret, safe="")):
        shown = redacted(f"{before} {spelled} {after}", [secret])
        assert secret not in shown or secret in f"{before}  {after} ***"


@given(st.text(max_size=2000), st.integers(10, 300))
def test_shortened_text_is_one_line_of_at_most_that_length(text, length):
    line = shortened(text, length)
    assert len(line) <= length
    assert line.isprintable()
