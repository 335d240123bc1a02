"""The command `listen`: follow accounts until interrupted, in a live table or as lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.cli.listen.liveness import LivenessTimeout
from binance_margin_stream.cli.listen.worker import Interrupted, StreamWorker, handle_signals
from binance_margin_stream.cli.output import print_line
from binance_margin_stream.cli.runner import CommandError, ExitCode
from binance_margin_stream.cli.target import Target
from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.redaction import truncate
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.formatting import describe
from binance_margin_stream.stream.events.models import StreamGap, StreamItem
from binance_margin_stream.stream.state import Severity, StatusChange
from binance_margin_stream.stream.sync_stream import MarginStream

if TYPE_CHECKING:
    from rich.live import Live

__all__ = ["ListenOptions", "run_listen"]

_REFRESH_INTERVAL = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """What to follow, and when to end."""

    cross: bool = True
    symbols: Sequence[str] = ()
    risk: bool = False
    source: str = "auto"
    json: bool = False
    exit_on_gap: bool = False
    timeout: float | None = None
    """End after so many seconds without all accounts being live; None: never."""


class Output(Protocol):
    """Shows a stream. `on_item` and `on_change` are called in the stream's threads, `refresh` in the main thread."""

    def on_item(self, item: StreamItem) -> None:
        """Show an item."""

    def on_change(self, change: StatusChange) -> None:
        """Show a change of the stream itself."""

    def refresh(self, stream: MarginStream) -> None:
        """Update what changes with time. Called several times a second."""


def run_listen(options: ListenOptions, auth: ApiKeyAuth, target: Target) -> ExitCode:
    """Follow the accounts until interrupted. Raises what a stream raises, `OSError` and `CommandError`."""
    if options.json or not sys.stdout.isatty():
        return _run_stream(options, auth, target, _JsonLines())
    with _create_live() as live:
        return _run_stream(options, auth, target, _LiveTable(target.name, live))


def _run_stream(options: ListenOptions, auth: ApiKeyAuth, target: Target, output: Output) -> ExitCode:
    liveness_timeout = LivenessTimeout(options.timeout)

    def on_change(change: StatusChange) -> None:
        liveness_timeout.on_change(change)
        output.on_change(change)

    def on_item(item: StreamItem) -> None:
        output.on_item(item)
        if options.exit_on_gap and isinstance(item, StreamGap):
            raise CommandError(f"{item.account}: {describe(item)}", ExitCode.GAP)

    accounts = [*([CROSS] if options.cross else []), *map(isolated, options.symbols)]
    stream = MarginStream(
        auth, accounts, endpoints=target.endpoints, source=options.source, risk=options.risk, on_change=on_change
    )
    worker = StreamWorker(stream, on_item)
    with handle_signals():
        try:
            worker.start()
            while not worker.wait(_REFRESH_INTERVAL):
                output.refresh(stream)
                liveness_timeout.check(stream.state, time.monotonic())
        except (Interrupted, BrokenPipeError):
            pass
        finally:
            worker.close()
    return ExitCode.SUCCESS


class _JsonLines:
    """One JSON object per line on standard output, changes of the stream on standard error."""

    def on_item(self, item: StreamItem) -> None:
        print_line(item.to_json())

    def on_change(self, change: StatusChange) -> None:
        if change.severity >= Severity.INFO:
            account = f" {change.account}" if change.account is not None else ""
            detail = f" ({change.detail})" if change.detail else ""
            print(truncate(f"{change.kind}{account}{detail}"), file=sys.stderr, flush=True)

    def refresh(self, stream: MarginStream) -> None:
        """Do nothing: lines do not change."""


class _LiveTable:
    """The live table."""

    def __init__(self, target_name: str, live: Live) -> None:
        from binance_margin_stream.cli.listen.dashboard import Dashboard

        self._target_name = target_name
        self._live = live
        self._dashboard = Dashboard()

    def on_item(self, item: StreamItem) -> None:
        self._dashboard.add_item(item, time.monotonic(), time.time())

    def on_change(self, change: StatusChange) -> None:
        if change.severity >= Severity.INFO:
            self._dashboard.add_change(change, time.time())

    def refresh(self, stream: MarginStream) -> None:
        from binance_margin_stream.cli.listen.live_table import render

        with suppress(StreamError):  # not entered yet, or closed a moment ago
            health, console = stream.health, self._live.console
            self._live.update(
                render(self._target_name, health, self._dashboard, time.monotonic(), console), refresh=True
            )


def _create_live() -> Live:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(), auto_refresh=False)
