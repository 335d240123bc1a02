"""The options for a ccxt client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from binance_margin_stream.sandbox import Sandbox


def collect_addresses(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from collect_addresses(each)
    else:
        yield str(value)


def test_every_address_is_that_of_the_sandbox() -> None:
    with Sandbox() as exchange:
        options = exchange.ccxt_options()
        host = exchange.url.partition("://")[2]
        addresses = list(collect_addresses(options["urls"]))
        assert len(addresses) > 30
        assert all(address.partition("://")[2].startswith(host) for address in addresses)
        assert (options["apiKey"], options["secret"]) == (exchange.api_key, exchange.api_secret)
