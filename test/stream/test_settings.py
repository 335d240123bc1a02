"""Settings, and how they scale with the exchange's time."""

from __future__ import annotations

import pytest
from fake_exchange import FakeExchange

from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.protocol.actions import RestRequest
from binance_margin_stream.stream.settings import StreamSettings, get_limits, with_limits


def test_scaled_settings_shorten_times_and_raise_rates():
    rules = StreamSettings().scaled(10)
    assert (rules.idle_timeout, rules.rest_rate, get_limits(rules).renewal_fraction) == (4.5, 250.0, 0.5)
    assert rules.buffer_size == StreamSettings().buffer_size


def test_scaled_settings_leave_machine_and_network_the_time_that_they_need():
    rules = with_limits(StreamSettings(), overlap_window=0.5).scaled(1440)
    assert (rules.idle_timeout, rules.request_timeout, get_limits(rules).overlap_window) == (2.0, 2.0, 0.5)
    assert get_limits(rules.scaled(1 / 1440)).exchange_speed == pytest.approx(1)


def test_a_token_has_the_same_lifetime_in_the_time_of_a_faster_exchange():
    rules = StreamSettings().scaled(1440)
    exchange = FakeExchange([CROSS], settings=rules)
    exchange.lifecycle.start(exchange.now)
    (request,) = [action for action in exchange.lifecycle.pop_actions() if isinstance(action, RestRequest)]
    assert request.call.arguments["validity"] == 86_400_000
    assert rules.token_validity == 60


def test_the_defaults_stay_below_the_exchanges_limits():
    rules = StreamSettings()
    assert rules.connect_limit < 300
    assert rules.connect_window == 300
    assert rules.connection_max_age < 86_400
    assert rules.accounts_per_connection <= 1000
    assert get_limits(rules).subscriptions_per_connection < 65_535
    assert rules.rest_rate * 60 < 12_000 / 4
    assert rules.token_validity <= 86_400
