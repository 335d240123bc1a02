"""The figures of a relay, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from binance_margin_stream.relay.counters import RelayCounters
from binance_margin_stream.stream.accounts import Account

__all__ = ["METRICS_CONTENT_TYPE", "MetricsSource", "render_metrics"]

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "binance_margin_relay"

_COUNTERS = (
    ("received", "Events that came from the exchange"),
    ("stored", "Events that this relay stored"),
    ("duplicates", "Events that were stored already"),
    ("discarded", "Events for which there was no room while the broker was away"),
    ("publish_failures", "Publishes that failed and were sent again"),
    ("gaps", "Gaps that this relay wrote down"),
    ("frontier_conflicts", "Changes of an entry that another relay was faster with"),
    ("event_times_compared", "Copies of an event whose event time was compared"),
    ("event_times_differ", "Copies of an event whose event time differs"),
    ("accounts_lost", "Accounts that the exchange no longer serves"),
    ("stream_restarts", "Streams that failed and were made again"),
)


class MetricsSource(Protocol):
    """What a process shows."""

    @property
    def counters(self) -> RelayCounters:
        """Numbers since its start."""
        ...

    @property
    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """Name, description and value of each figure of this moment."""
        ...

    @property
    def coverage(self) -> Iterable[tuple[str, Account, str, float]]:
        """Key, account, content, and for how many seconds nothing is known to be stored."""
        ...

    @property
    def reconnects(self) -> Iterable[tuple[str, int]]:
        """Key, and reconnects of its stream."""
        ...


class _RelayCollector(Collector):
    def __init__(self, source: MetricsSource) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Every figure, as it is now."""
        for name, description in _COUNTERS:
            yield CounterMetricFamily(f"{_PREFIX}_{name}", description, getattr(self._source.counters, name))
        for name, description, value in self._source.gauges:
            yield GaugeMetricFamily(f"{_PREFIX}_{name}", description, value)
        age = GaugeMetricFamily(
            f"{_PREFIX}_frontier_age_seconds",
            "Time that is not known to be stored",
            labels=["name", "account", "content"],
        )
        for key, account, content, seconds in self._source.coverage:
            age.add_metric([key, str(account), content], seconds)
        yield age
        reconnects = CounterMetricFamily(f"{_PREFIX}_reconnects", "Reconnects of a key's stream", labels=["name"])
        for key, number in self._source.reconnects:
            reconnects.add_metric([key], number)
        yield reconnects


def render_metrics(source: MetricsSource) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_RelayCollector(source))
    return generate_latest(registry)
