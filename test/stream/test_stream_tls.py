"""Client and stream over TLS: which certificates they trust, and how a wrong one is reported."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from stream_helpers import QUICK_SETTINGS, make_stream

from binance_margin_stream import (
    ApiClient,
    ApiKeyAuth,
    ApiValueError,
    ListenTokenApi,
    MarginStream,
    MarginStreamApi,
    TransportError,
)
from binance_margin_stream.sandbox import Sandbox, create_fault
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap


@pytest.fixture
def exchange():
    with Sandbox(tls=True) as exchange:
        yield exchange


def make_client(exchange, **settings):
    return ApiClient(auth=ApiKeyAuth(exchange.api_key), endpoints=exchange.endpoints, **settings)


def test_a_client_trusts_the_endpoints_certificate(exchange):
    with make_client(exchange) as client:
        assert ListenTokenApi(client).sapi_v1_user_listen_token_post().token


def test_a_stream_trusts_the_endpoints_certificate(exchange):
    with make_stream(exchange, risk=True) as stream:
        exchange.send_margin_call("1.2")
        assert next(stream).status == "MARGIN_CALL"
        exchange.change_balance("USDT", "5")
        assert next(stream).delta == 5


@pytest.mark.parametrize("how", ["unknown_ca", "wrong_host", "expired"])
def test_a_call_with_a_wrong_certificate_is_a_transport_error_without_a_secret(exchange, how, caplog):
    caplog.set_level(logging.DEBUG)
    exchange.inject_fault(create_fault("wrong-certificate", problem=how))
    with make_client(exchange) as client, pytest.raises(TransportError) as caught:
        ListenTokenApi(client).sapi_v1_user_listen_token_post()
    assert caught.value.kind == "tls"
    assert "check the certificate" in str(caught.value)
    assert exchange.api_key not in str(caught.value) + repr(caught.value) + caplog.text
    assert exchange.metrics.rest_calls == 0


@pytest.mark.parametrize("how", ["unknown_ca", "wrong_host", "expired"])
def test_a_stream_recovers_from_a_wrong_certificate_and_says_why(exchange, how, caplog):
    caplog.set_level(logging.DEBUG)
    changes = []
    with make_stream(exchange, on_change=changes.append) as stream:
        exchange.inject_fault(create_fault("wrong-certificate", problem=how), times=2)
        exchange.inject_fault("reset")
        exchange.change_balance("USDT", "1")
        assert isinstance(next(stream), StreamGap)
        exchange.change_balance("USDT", "2")
        event = next(stream)
    assert isinstance(event, BalanceUpdate)
    assert event.delta == 2
    assert any("TLS failed (SSLCertVerificationError)" in change.detail for change in changes)
    assert exchange.metrics.fault_counts["WrongCertificate"] == 2
    assert exchange.api_key not in caplog.text + repr(changes)


def test_a_stream_that_trusts_nobody_here_does_not_connect(exchange):
    endpoints = replace(exchange.endpoints, ca_file=None)
    changes = []

    def told(change):
        changes.append(change)
        if len(changes) > 3:
            stream.close()

    stream = MarginStream(ApiKeyAuth(exchange.api_key), endpoints=endpoints, settings=QUICK_SETTINGS, on_change=told)
    with pytest.raises(Exception, match="closed"):
        stream.__enter__()
    assert exchange.metrics.rest_calls == exchange.metrics.connections_opened == 0
    assert any("check the certificate" in change.detail for change in changes)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_certificates_is_reported_at_once(exchange, content, tmp_path):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    endpoints = replace(exchange.endpoints, ca_file=str(file))
    with pytest.raises(ApiValueError, match="ca_file"):
        MarginStream(ApiKeyAuth(exchange.api_key), endpoints=endpoints)
    with pytest.raises(ApiValueError, match="ca_file"):
        ApiClient(auth=ApiKeyAuth(exchange.api_key), endpoints=endpoints)


def test_the_old_api_class_takes_it_too(exchange):
    exchange.restore_endpoint("/sapi/v1/userDataStream")
    with make_client(exchange) as client:
        assert MarginStreamApi(client).sapi_v1_user_data_stream_post().listen_key
