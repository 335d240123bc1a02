"""One client over time: threads, delays, closing, forks."""

from __future__ import annotations

import dataclasses
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from api_methods import API_KEY, API_METHODS
from raw_server import RawServer, make_response, never_respond, read_request

import binance_margin_stream as sdk

PUT = API_METHODS[1]
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


def keep_responding(sock) -> None:
    """Respond to every request on this connection, and keep it open."""
    sock.sendall(KEPT)
    while read_request(sock):
        sock.sendall(KEPT)


def test_sixteen_threads_share_one_client(start_server, make_client, caplog):
    peer = start_server(keep_responding)
    client = make_client(peer)
    call = PUT.bind(client)
    with caplog.at_level("WARNING"), ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: call(), range(1600)))
    assert answers == [{}] * 1600
    assert len(peer.requests) <= 16, "one connection a thread at most"
    assert caplog.records == []


def test_closing_twice_is_fine_and_a_closed_client_says_so(start_server, make_client):
    client = make_client(start_server(make_response(200, "{}")))
    client.close()
    client.close()
    with pytest.raises(sdk.TransportError, match="closed") as caught:
        PUT.bind(client)()
    assert caught.value.kind == "closed"


@pytest.mark.parametrize(
    "answer", [make_response(429, headers={"Retry-After": "30"}), never_respond], ids=["a pause", "a wait"]
)
def test_closing_ends_a_call_that_waits(start_server, make_client, answer):
    peer = start_server(answer)
    client = make_client(peer, timeout=sdk.Timeout(30, 30))
    errors = []

    def call() -> None:
        try:
            PUT.bind(client)()
        except sdk.OpenApiException as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not peer.requests:
        time.sleep(0.001)
    started = time.monotonic()
    client.close()
    thread.join(5)
    assert time.monotonic() - started < 5
    assert [error.kind for error in errors] == ["closed"]


def fork_and_call(client: sdk.ApiClient, answers: multiprocessing.SimpleQueue) -> None:
    answers.put([PUT.bind(client)() for _ in range(3)])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(make_client):
    with RawServer(keep_responding) as peer:
        client = make_client(peer)
        PUT.bind(client)()
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        child = context.Process(target=fork_and_call, args=(client, answers))
        child.start()
        PUT.bind(client)()
        child.join(20)
        assert child.exitcode == 0
        assert answers.get() == [{}] * 3
        assert len(peer.requests) == 2, "one connection for the parent, one for the child"
        answers.close()


def test_a_default_client_stands_for_production():
    with sdk.ApiClient(auth=sdk.ApiKeyAuth(API_KEY)) as client:
        assert client.configuration.host == "https://api.binance.com"
        assert client.user_agent == f"binance-margin-stream/{sdk.__version__}"


def test_a_slash_behind_the_address_does_no_harm(start_server):
    peer = start_server(make_response(200, "{}"))
    endpoints = dataclasses.replace(peer.endpoints, rest=f"{peer.url}/")
    with sdk.ApiClient(auth=sdk.ApiKeyAuth(API_KEY), endpoints=endpoints) as client:
        PUT.bind(client)()
    assert peer.requests[0].startswith(b"PUT /sapi/v1/userDataStream?listenKey=")
