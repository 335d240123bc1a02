"""`AsyncMarginStream` as a relay follows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from binance_margin_stream.account.items import AccountChanged
from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.relay.jobs.job import Job
from binance_margin_stream.relay.stream_view import SubscriptionView, TakenItem
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.settings import StreamSettings

__all__ = ["RelayedMarginStream", "make_margin_stream"]

_DEFAULT_SETTINGS = StreamSettings()


class RelayedMarginStream:
    """The stream of one key, with what a relay asks of it."""

    def __init__(self, stream: AsyncMarginStream) -> None:
        self._stream = stream

    async def __aenter__(self) -> Self:
        """Subscribe. Raises `StreamError` if that fails for good."""
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stream.close()

    async def take(self, timeout: float) -> TakenItem | None:
        """The next item, None when none came in time. Raises `StreamError` when the stream failed."""
        try:
            item = await self._stream.get(timeout=timeout)
        except TimeoutError:
            return None
        # Snapshots come only with recovery, which a relay does not use.
        return None if isinstance(item, AccountChanged) else TakenItem(item, item.subscription)

    @property
    def is_drained(self) -> bool:
        """Whether everything that was handed over is taken."""
        return self._stream.health.buffered == 0

    @property
    def is_live(self) -> bool:
        """Whether every account is subscribed at the moment."""
        return all(self._stream.health.accounts.values())

    @property
    def reconnects(self) -> int:
        """How often a connection was replaced after a failure."""
        return self._stream.health.reconnects

    def coverage(self) -> Sequence[SubscriptionView]:
        """The subscriptions, those that ended within ten minutes included."""
        return self._stream.coverage()

    @property
    def covered_until(self) -> Mapping[Account, int]:
        """Up to when everything was taken, or lies in a gap that was taken, by account; epoch milliseconds."""
        return self._stream.covered_until

    def send_pings(self) -> None:
        """Ask every connection for a proof that everything has arrived."""
        self._stream.send_pings()

    async def close(self) -> None:
        """Stop, within seconds."""
        await self._stream.close()


def make_margin_stream(
    job: Job, auth: ApiKeyAuth, endpoints: Endpoints, settings: StreamSettings = _DEFAULT_SETTINGS
) -> RelayedMarginStream:
    """The stream of a job, not entered yet. It enters for as long as it takes, and goes on without a lost account. Gaps are not recovered."""
    return RelayedMarginStream(
        AsyncMarginStream(
            auth,
            job.accounts,
            endpoints=endpoints,
            source=job.source,
            risk=job.risk,
            settings=settings,
            partial=True,
            enter_timeout=None,
            recover=None,
        )
    )
