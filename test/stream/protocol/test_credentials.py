"""The expiry of credentials."""

from __future__ import annotations

import pytest
from fake_exchange import FakeExchange

from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.protocol.actions import RestRequest


@pytest.mark.parametrize("expires", [0, -(10**400), 10**400, 10**17, 1])
def test_an_impossible_expiry_is_ignored(expires):
    exchange = FakeExchange([CROSS])
    exchange.lifecycle.start(exchange.now)
    (request,) = [action for action in exchange.lifecycle.pop_actions() if isinstance(action, RestRequest)]
    exchange.lifecycle.on_credential(request.id, "a token", expires, exchange.now)
    credential = exchange.lifecycle.coordinator.feeds[0].credential
    assert credential.expires_at == exchange.now + exchange.settings.token_validity
