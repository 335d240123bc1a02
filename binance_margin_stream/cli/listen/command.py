"""The command `listen`: follow accounts until interrupted, in a live table or as lines."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.cli.listen.liveness import LivenessTimeout
from binance_margin_stream.cli.listen.worker import Interrupted, StreamWorker, handle_signals
from binance_margin_stream.cli.proxies import check_proxies, describe_proxies
from binance_margin_stream.cli.runner import CommandError, ExitCode
from binance_margin_stream.cli.target import Target
from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.redaction import truncate
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.models import StreamGap, StreamItem
from binance_margin_stream.stream.state import Severity, StatusChange, StatusChangeKind
from binance_margin_stream.stream.sync_stream import MarginStream
from binance_margin_stream.terminal.streams import print_line, print_status

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from binance_margin_stream.cli.listen.dashboard import Dashboard

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
    """Shows a stream. The stream's threads call `on_item` and `on_change`, the main thread the others."""

    def on_note(self, text: str) -> None:
        """Show a note about how the stream connects."""

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
    from rich.console import Console

    console = Console()
    if console.is_dumb_terminal:
        return _run_stream(options, auth, target, _TextLines())
    return _run_in_table(options, auth, target, console)


def _run_in_table(options: ListenOptions, auth: ApiKeyAuth, target: Target, console: Console) -> ExitCode:
    from rich.live import Live

    from binance_margin_stream.cli.listen.dashboard import Dashboard

    dashboard = Dashboard(risk=options.risk)
    try:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            return _run_stream(options, auth, target, _LiveTable(target.name, live, dashboard))
    finally:
        events, gaps = dashboard.get_total()
        print(f"{target.name}: {events} events, {gaps} gaps")


def _run_stream(options: ListenOptions, auth: ApiKeyAuth, target: Target, output: Output) -> ExitCode:
    liveness_timeout = LivenessTimeout(options.timeout)

    def on_change(change: StatusChange) -> None:
        liveness_timeout.on_change(change)
        output.on_change(change)

    def on_item(item: StreamItem) -> None:
        output.on_item(item)
        if options.exit_on_gap and isinstance(item, StreamGap):
            raise CommandError(str(item), ExitCode.GAP)

    accounts = [*([CROSS] if options.cross else []), *map(isolated, options.symbols)]
    stream = MarginStream(
        auth, accounts, endpoints=target.endpoints, source=options.source, risk=options.risk, on_change=on_change
    )
    if proxies := check_proxies(target.endpoints):
        output.on_note(f"connections use the proxy {describe_proxies(proxies)}")
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


_REPORTED_AS_ERROR = (StatusChangeKind.FAILED, StatusChangeKind.STOPPED)
"""The changes that repeat what the error of the stream says."""


def _is_shown(change: StatusChange) -> bool:
    return change.severity >= Severity.INFO and change.kind not in _REPORTED_AS_ERROR


class _JsonLines:
    """One JSON object per line on standard output, changes of the stream on standard error."""

    def on_note(self, text: str) -> None:
        print_status(text)

    def on_item(self, item: StreamItem) -> None:
        print_line(item.to_json())

    def on_change(self, change: StatusChange) -> None:
        if _is_shown(change):
            account = f" {change.account}" if change.account is not None else ""
            detail = f" ({change.detail})" if change.detail else ""
            print_status(truncate(f"{change.kind}{account}{detail}"))

    def refresh(self, stream: MarginStream) -> None:
        """Do nothing: lines do not change."""


class _TextLines:
    """Lines for a terminal without cursor control, such as ``TERM=dumb``."""

    def __init__(self) -> None:
        from binance_margin_stream.cli.listen.dashboard import Dashboard

        self._dashboard = Dashboard()
        self._lock = threading.Lock()

    def on_note(self, text: str) -> None:
        self._dashboard.add_note(text, time.time())
        self._print_last()

    def on_item(self, item: StreamItem) -> None:
        with self._lock:
            self._dashboard.add_item(item, time.monotonic(), time.time())
            self._print_last()

    def on_change(self, change: StatusChange) -> None:
        if _is_shown(change) and change.kind is not StatusChangeKind.GAP:
            with self._lock:
                self._dashboard.add_change(change, time.time())
                self._print_last()

    def refresh(self, stream: MarginStream) -> None:
        """Do nothing: lines do not change."""

    def _print_last(self) -> None:
        (entry,) = self._dashboard.get_recent(1)
        print(entry.format(), flush=True)


class _LiveTable:
    """The live table."""

    def __init__(self, target_name: str, live: Live, dashboard: Dashboard) -> None:
        self._target_name = target_name
        self._live = live
        self._dashboard = dashboard

    def on_note(self, text: str) -> None:
        self._dashboard.add_note(text, time.time())

    def on_item(self, item: StreamItem) -> None:
        self._dashboard.add_item(item, time.monotonic(), time.time())

    def on_change(self, change: StatusChange) -> None:
        if _is_shown(change):
            self._dashboard.add_change(change, time.time())

    def refresh(self, stream: MarginStream) -> None:
        from binance_margin_stream.cli.listen.live_table import render

        health = None
        with suppress(StreamError):  # not entered yet, or closed a moment ago
            health = stream.health
        table = render(self._target_name, health, self._dashboard, time.monotonic(), self._live.console)
        self._live.update(table, refresh=True)
