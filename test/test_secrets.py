"""Search for planted keys, secrets, listen keys and tokens in everything that a call shows, at DEBUG."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import io
import json
import logging
import pkgutil
import signal
import socket
import threading
import traceback
import warnings
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
import rich.console
import rich.traceback
import urllib3
import yaml
from api_methods import API_KEY, API_METHODS, API_SECRET, CALLER_LISTEN_KEY, LISTEN_KEY, PLANTED_SECRETS
from frame_locals import iterate_frames, show_frame_locals
from hypothesis import given
from hypothesis import strategies as st
from raw_server import make_html_page, make_response, never_respond, reset_connection, send_slowly

import binance_margin_stream as sdk
import binance_margin_stream.models
from binance_margin_stream.redaction import redact, truncate
from binance_margin_stream.sandbox import Sandbox

SPEC = Path(__file__).parent.parent / "openapi" / "margin-stream.yaml"


def secret_forms() -> list[str]:
    return [spelling for secret in PLANTED_SECRETS for spelling in (secret, quote(secret, safe=""), quote(secret))]


def find_leaks(text: str) -> list[str]:
    return [spelling for spelling in secret_forms() if spelling in text]


def collect_context(error: BaseException) -> list[str]:
    """Return what an error reporter finds in the contexts of an error."""
    found = []
    while (error := error.__context__) is not None:
        found += [repr(error), repr(vars(error)), str(getattr(error, "doc", ""))]
    return found


def find_client_frames(error: BaseException) -> list[str]:
    """Return the frames of HTTP clients, this package's own included, in the tracebacks of an error and its chain."""
    files = [Path(file) for file, _, _ in iterate_frames(error)]
    return [str(file) for file in files if "urllib3" in file.parts or "http" in file.parts]


EVERYTHING = (
    f"{API_KEY} {API_SECRET} {CALLER_LISTEN_KEY} {quote(CALLER_LISTEN_KEY, safe='')} listenKey={CALLER_LISTEN_KEY}&x"
)
ANSWERS = {
    "echo in HTML": make_html_page(403, EVERYTHING),
    "echo in HTML that should be JSON": make_html_page(200, EVERYTHING),
    "echo in a message": make_response(400, json.dumps({"code": -1102, "msg": EVERYTHING})),
    "echo in a message of the wrong type": make_response(400, json.dumps({"code": EVERYTHING, "msg": [EVERYTHING]})),
    "echo in plain text": make_response(502, EVERYTHING, content_type="text/plain"),
    "echo in a redirect": make_response(
        302, EVERYTHING, {"Location": f"https://elsewhere.invalid/{CALLER_LISTEN_KEY}?{API_KEY}"}
    ),
    "echo in a redirect's host": make_response(302, "", {"Location": f"https://{API_KEY}.elsewhere.invalid/"}),
    "unknown key with what it was": make_response(400, json.dumps({"code": -1125, "msg": f"no {CALLER_LISTEN_KEY}"})),
    "half a listen key": make_response(200, f'{{"listenKey": "{LISTEN_KEY}'),
    "listen key elsewhere": make_response(200, json.dumps({"data": {"listenKey": LISTEN_KEY}, "x": LISTEN_KEY})),
    "listen key in a list": make_response(200, json.dumps([LISTEN_KEY])),
    "bad header": b"HTTP/1.1 200 OK\r\n" + CALLER_LISTEN_KEY.encode() + b"\r\n\r\n",
    "reset": reset_connection,
    "slow": send_slowly(b"HTTP/1.1 200 OK\r\n", 0.05),
    "rate limit": make_response(429, EVERYTHING, {"Retry-After": "0"}),
}


@pytest.mark.parametrize("call", API_METHODS, ids=str)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_no_failing_call_leaves_a_secret_behind(start_server, make_client, caplog, capfd, call, answer):
    auth = sdk.ApiKeyAuth(API_KEY, API_SECRET)
    client = make_client(start_server(answer), auth=auth, timeout=sdk.Timeout(0.2, 0.2))
    left = [repr(client), repr(client.configuration), repr(auth)]
    frames = []
    with caplog.at_level(logging.DEBUG):
        try:
            value = call.bind(client)()
            left += [repr(value)] if not isinstance(value, dict) else []
        except sdk.OpenApiException as error:
            left += traceback.format_exception(error)
            left += collect_context(error)
            left += [variables for _, variables in show_frame_locals(error)]
            frames = find_client_frames(error)
            left += [repr(vars(error).get(name)) for name in ("msg", "reason", "body", "kind", "successor", "call")]
            left += [repr(error), *map(repr, error.args)]
    left += [record.getMessage() + str(record.exc_text) for record in caplog.records]
    left += capfd.readouterr()
    assert find_leaks("\n".join(left)) == []
    assert frames == []


def test_a_traceback_with_local_variables_shows_no_secret(start_server, make_client):
    client = make_client(start_server(make_response(503, EVERYTHING)), auth=sdk.ApiKeyAuth(API_KEY, API_SECRET))
    with pytest.raises(sdk.ServerError) as caught:
        sdk.MarginStreamApi(client).sapi_v1_user_data_stream_put(listen_key=CALLER_LISTEN_KEY)
    console = rich.console.Console(file=io.StringIO(), width=200)
    error = caught.value
    console.print(rich.traceback.Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
    shown = console.file.getvalue()
    assert "locals" in shown
    assert "client = <binance_margin_stream" in shown
    assert find_leaks(shown) == []
    assert find_client_frames(error) == []


def test_an_interrupt_leaves_a_call_without_the_frames_inside_it(start_server, make_client):
    def interrupt(connection: socket.socket) -> None:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        never_respond(connection)

    client = make_client(start_server(interrupt))
    with pytest.raises(KeyboardInterrupt) as caught:
        API_METHODS[1].bind(client)()
    assert find_client_frames(caught.value) == []


def test_a_warning_that_is_an_error_leaves_a_call_without_the_frames_inside_it(start_server, make_client):
    client = make_client(start_server(make_response(200, "{}")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning) as caught:
            sdk.MarginStreamApi(client).sapi_v1_user_data_stream_put(listen_key=CALLER_LISTEN_KEY)
    assert find_leaks("".join(variables for _, variables in show_frame_locals(caught.value))) == []


def find_classes_with_a_repr() -> list[type]:
    """Return the classes whose objects are shown by a method of this package.

    Without dataclasses and tuples: their constructors set all fields before they can fail.
    """
    found = []
    for module in pkgutil.walk_packages(sdk.__path__, f"{sdk.__name__}."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if not inspect.isclass(value) or dataclasses.is_dataclass(value) or issubclass(value, tuple):
                continue
            if value.__module__ == module.name:
                methods = (getattr(value, name, None) for name in ("__repr__", "__repr_args__"))
                sources = [getattr(getattr(method, "__code__", None), "co_filename", "") for method in methods]
                found += [value] if any(str(Path(*sdk.__path__)) in source for source in sources) else []
    return found


REPR_CLASSES = find_classes_with_a_repr()


def test_classes_with_a_repr_are_found():
    assert {sdk.ApiKeyAuth, sdk.AsyncMarginStream, sdk.MarginStream, sdk.BalanceUpdate, Sandbox} <= {*REPR_CLASSES}


@pytest.mark.parametrize("kind", REPR_CLASSES, ids=lambda kind: kind.__name__)
def test_an_object_that_its_constructor_has_not_completed_has_a_repr(kind):
    if issubclass(kind, msgspec.Struct):
        with pytest.raises(TypeError, match="not safe"):  # a record exists only when it is complete
            kind.__new__(kind)
    else:
        assert kind.__name__.lstrip("_") in repr(kind.__new__(kind))


@pytest.mark.parametrize("call", API_METHODS, ids=str)
def test_no_succeeding_call_leaves_a_secret_behind(start_server, make_client, caplog, call):
    with caplog.at_level(logging.DEBUG):
        client = make_client(start_server(make_response(200, call.valid_body)))
        method = getattr(getattr(sdk, call.api_class)(client), call.name + "_with_http_info")
        response = method(**call.arguments)
    left = [repr(response), str(response), repr(response.data), *(record.getMessage() for record in caplog.records)]
    assert caplog.records, "the network library logged nothing: then this test sees nothing"
    assert find_leaks("\n".join(left)) == []


def test_only_the_queries_of_this_package_are_masked_in_the_log(start_server, make_client, caplog):
    peer = start_server(make_response(200, "{}"))
    with caplog.at_level(logging.DEBUG, logger="urllib3"):
        sdk.MarginStreamApi(make_client(peer)).sapi_v1_user_data_stream_put(listen_key=CALLER_LISTEN_KEY)
        with urllib3.PoolManager() as other_program:
            other_program.request("GET", f"{peer.url}/other?page=5")
    requests = [record.getMessage() for record in caplog.records if "HTTP/1.1" in record.getMessage()]
    assert [text[text.index('"') :] for text in requests] == [
        '"PUT /sapi/v1/userDataStream?*** HTTP/1.1" 200 2',
        '"GET /other?page=5 HTTP/1.1" 200 0',
    ]


def test_a_model_hides_its_secret_and_still_holds_it():
    model = sdk.ApiV3UserDataStreamPost200Response(listen_key=LISTEN_KEY)
    assert repr(model) == "ApiV3UserDataStreamPost200Response(listen_key='***')"
    assert (model.listen_key, model.to_dict()) == (LISTEN_KEY, {"listenKey": LISTEN_KEY})


def test_a_model_hides_the_fields_that_the_spec_marks_and_no_other():
    masked = set()
    for name, schema in yaml.safe_load(SPEC.read_text())["components"]["schemas"].items():
        fields = schema.get("properties", {})
        if not all("example" in field for field in fields.values()):
            assert not any(field.get("x-secret") for field in fields.values())
            continue
        if not fields:
            continue
        shown = repr(getattr(sdk.models, name).from_dict({field: fields[field]["example"] for field in fields}))
        for field, description in fields.items():
            assert (repr(description["example"]) in shown) is not description.get("x-secret", False)
            masked |= {field} if description.get("x-secret") else set()
    assert masked == {"listenKey", "token"}


@given(
    before=st.text(max_size=30),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=80),
    after=st.text(max_size=30),
)
def test_a_known_secret_never_survives_redaction(before, secret, after):
    for spelled in (secret, quote(secret, safe="")):
        shown = redact(f"{before} {spelled} {after}", [secret])
        assert secret not in shown or secret in f"{before}  {after} ***"


@given(st.text(max_size=2000), st.integers(10, 300))
def test_shortened_text_is_one_line_of_at_most_that_length(text, length):
    line = truncate(text, length)
    assert len(line) <= length
    assert line.isprintable()
