"""`listen`: follows accounts until it is told to stop, in a table or in lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from binance_margin_stream import CROSS, ApiKeyAuth, Change, Event, MarginStream, StreamError, StreamGap, isolated
from binance_margin_stream.cli.errors import CommandError
from binance_margin_stream.cli.exit_codes import ExitCode
from binance_margin_stream.cli.listen.liveness import Patience
from binance_margin_stream.cli.listen.worker import EndedOnRequest, Following, ending_on_signals
from binance_margin_stream.cli.output import write_line
from binance_margin_stream.cli.target import Exchange
from binance_margin_stream.redaction import shortened
from binance_margin_stream.stream.events.formatting import words
from binance_margin_stream.stream.protocol.actions import Level

if TYPE_CHECKING:
    from rich.live import Live

__all__ = ["Wish", "follow"]

_TICK = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to follow, and when to end."""

    cross: bool = True
    symbols: Sequence[str] = ()
    risk: bool = False
    source: str = "auto"
    json: bool = False
    since_gap_exit: bool = False
    give_up_after: float | None = None
    """Seconds without all accounts being live, None to try for ever."""


class View(Protocol):
    """Where it is shown. `take` and `changed` are called in the stream's threads, `refresh` in the main one."""

    def take(self, item: Event | StreamGap) -> None:
        """Show an item."""

    def changed(self, change: Change) -> None:
        """Show that the stream itself changed."""

    def refresh(self, stream: MarginStream) -> None:
        """A moment has passed."""


def follow(wish: Wish, auth: ApiKeyAuth, exchange: Exchange) -> ExitCode:
    """Follow the accounts; answers why it ended. Raises what a stream raises, `OSError`, and `CommandError`."""
    if wish.json or not sys.stdout.isatty():
        return _followed(wish, auth, exchange, _Lines())
    with _live() as live:
        return _followed(wish, auth, exchange, _Screen(exchange.name, live))


def _followed(wish: Wish, auth: ApiKeyAuth, exchange: Exchange, view: View) -> ExitCode:
    patience = Patience(wish.give_up_after)

    def changed(change: Change) -> None:
        patience.changed(change)
        view.changed(change)

    def take(item: Event | StreamGap) -> None:
        view.take(item)
        if wish.since_gap_exit and isinstance(item, StreamGap):
            raise CommandError(f"{item.account}: {words(item)}", ExitCode.GAP)

    accounts = [*([CROSS] if wish.cross else []), *map(isolated, wish.symbols)]
    stream = MarginStream(
        auth, accounts, endpoints=exchange.endpoints, source=wish.source, risk=wish.risk, on_change=changed
    )
    following = Following(stream, take)
    with ending_on_signals():
        try:
            following.start()
            while not following.wait(_TICK):
                view.refresh(stream)
                patience.look(stream.state, time.monotonic())
        except (EndedOnRequest, BrokenPipeError):
            pass
        finally:
            following.close()
    return ExitCode.ENDED


class _Lines:
    """One JSON object a line on standard output, and the stream's own changes on standard error."""

    def take(self, item: Event | StreamGap) -> None:
        write_line(item.to_json())

    def changed(self, change: Change) -> None:
        if change.level.value >= Level.INFO.value:
            account = f" {change.account}" if change.account is not None else ""
            detail = f" ({change.detail})" if change.detail else ""
            print(shortened(f"{change.name}{account}{detail}"), file=sys.stderr, flush=True)

    def refresh(self, stream: MarginStream) -> None:
        """Nothing: lines stay as they are."""


class _Screen:
    """The live table."""

    def __init__(self, exchange: str, live: Live) -> None:
        from binance_margin_stream.cli.listen.dashboard import Board

        self._exchange = exchange
        self._live = live
        self._board = Board()

    def take(self, item: Event | StreamGap) -> None:
        self._board.take(item, time.monotonic(), time.time())

    def changed(self, change: Change) -> None:
        if change.level.value >= Level.INFO.value:
            self._board.changed(change, time.time())

    def refresh(self, stream: MarginStream) -> None:
        from binance_margin_stream.cli.listen.live_table import screen

        with suppress(StreamError):  # not entered yet, or closed a moment ago
            health, console = stream.health, self._live.console
            self._live.update(screen(self._exchange, health, self._board, time.monotonic(), console), refresh=True)


def _live() -> Live:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(), auto_refresh=False)
