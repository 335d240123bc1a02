"""Render the live table of `listen`."""

from __future__ import annotations

from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from binance_margin_stream.cli.listen.dashboard import AccountStats, Dashboard, LogEntry
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.state import State

__all__ = ["render"]

_STATE_STYLES = {
    State.CONNECTING: "yellow",
    State.LIVE: "green",
    State.RECOVERING: "bold yellow",
    State.CLOSED: "dim",
    State.FAILED: "bold red",
}
_ENTRY_STYLES = {"event": "", "gap": "bold yellow", "stream": "dim"}
_RESERVED_LINES = 10
_MAX_LOG_LINES = 12
_MIN_LOG_LINES = 3


def render(target_name: str, health: Health, dashboard: Dashboard, now: float, console: Console) -> RenderableType:
    """Render the current state for the height of the terminal; `now` is on the monotonic clock of the dashboard."""
    free_lines = console.height - _RESERVED_LINES - len(health.accounts)
    recent = dashboard.get_recent(max(_MIN_LOG_LINES, min(_MAX_LOG_LINES, free_lines)))
    return Group(
        _render_title(target_name, health),
        _render_accounts(health, dashboard, now),
        *map(_render_log_entry, recent),
        Text(),
        *_render_footer(health),
    )


def _render_title(target_name: str, health: Health) -> Text:
    title = Text.assemble(
        ("Binance margin stream", "bold"), "  ", target_name, "  ", (health.state.value, _STATE_STYLES[health.state])
    )
    title.truncate(200)
    return title


def _render_accounts(health: Health, dashboard: Dashboard, now: float) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, header_style="bold")
    table.add_column("account", no_wrap=True)
    table.add_column("source", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("events", justify="right", no_wrap=True)
    table.add_column("gaps", justify="right", no_wrap=True)
    table.add_column("last event", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("age", justify="right", no_wrap=True)
    for account, live in health.accounts.items():
        table.add_row(*_render_row(account, live, health.sources[account], dashboard.get_stats(account), now))
    return table


def _render_row(account: Account, live: bool, source: str, stats: AccountStats, now: float) -> list[Text]:
    return [
        Text(str(account)),
        Text(source),
        Text("live", "green") if live else Text("not live", "yellow"),
        Text(str(stats.events)),
        Text(str(stats.gaps), "bold yellow" if stats.gaps else ""),
        Text(stats.last_event),
        Text("" if stats.last_event_at is None else format_duration(now - stats.last_event_at)),
    ]


def _render_log_entry(entry: LogEntry) -> Text:
    moment = datetime.fromtimestamp(entry.timestamp).astimezone().strftime("%H:%M:%S")
    parts = (f"{moment}  ", f"{entry.kind:<6}  ", f"{entry.account}: " if entry.account else "", entry.text)
    return Text("".join(parts), _ENTRY_STYLES[entry.kind], no_wrap=True, overflow="ellipsis")


def _render_footer(health: Health) -> list[Text]:
    counts = (
        (health.connections, "connection"),
        (health.reconnects, "reconnect"),
        (health.rotations, "rotation"),
        (health.renewals, "renewal"),
        (health.dropped, "dropped event"),
    )
    lines = [
        ", ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in counts),
        f"last frame {_format_age(health.frame_age)}, last ping {_format_age(health.ping_age)}",
    ]
    if health.next_action is not None and health.next_action_in is not None:
        lines.append(f"next: {health.next_action} in {format_duration(health.next_action_in)}")
    return [Text(line, "dim", no_wrap=True, overflow="ellipsis") for line in (*lines, "Press Ctrl-C to end")]


def _format_age(age: float | None) -> str:
    return "none yet" if age is None else f"{format_duration(age)} ago"


def format_duration(seconds: float) -> str:
    """Format a duration in at most two units, such as ``3 m 20 s``."""
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} m"
    return f"{minutes} m {whole % 60} s" if minutes else f"{whole} s"
