"""Render the live table of `listen`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from binance_margin_stream.cli.listen.dashboard import AccountStats, Dashboard, LogEntry
from binance_margin_stream.stream.accounts import CROSS
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
_MAX_LOG_LINES = 50
_MIN_TEXT_WIDTH = 12
_COLUMN_GAP = 3
_TABLE_EDGES = 2


def render(
    target_name: str, health: Health | None, dashboard: Dashboard, now: float, console: Console
) -> RenderableType:
    """Render the current state for the size of the terminal; `now` is on the monotonic clock of the dashboard.

    `health` is None before the stream has one.
    """
    top: list[RenderableType] = [_render_title(target_name, health)]
    bottom: list[RenderableType] = [Text()]
    if health is not None:
        top.append(_render_accounts(health, dashboard, now, console.width))
        bottom += _render_footer(health)
    bottom.append(Text("Press Ctrl-C to end", "dim"))
    used = sum(len(console.render_lines(part, pad=False)) for part in (*top, *bottom))
    recent = dashboard.get_recent(min(_MAX_LOG_LINES, console.height - used))
    return Group(*top, *map(_render_log_entry, recent), *bottom)


def _render_title(target_name: str, health: Health | None) -> Text:
    state = State.CONNECTING if health is None else health.state
    title = Text.assemble(
        ("Binance margin stream", "bold"), "  ", target_name, "  ", (state.value, _STATE_STYLES[state])
    )
    title.truncate(200)
    return title


def _render_accounts(health: Health, dashboard: Dashboard, now: float, width: int) -> Table:
    rows = [
        _make_row(str(account), health.sources[account], live, dashboard.get_stats(account), now)
        for account, live in health.accounts.items()
    ]
    if dashboard.risk:
        rows.append(_make_row("cross (risk)", "risk", health.accounts[CROSS], dashboard.get_risk_stats(), now))
    table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, header_style="bold")
    for name in _select_columns(rows, width):
        if name == "last event":
            table.add_column(name, ratio=1, no_wrap=True, overflow="ellipsis")
        elif name == "account":
            table.add_column(name, no_wrap=True, overflow="ellipsis")
        else:
            longest = max(map(len, (name, *(row[name].plain for row in rows))))
            right = "right" if name in ("events", "gaps", "age") else "left"
            table.add_column(name, justify=right, no_wrap=True, min_width=longest)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(row[str(column.header)] for column in table.columns))
    return table


def _make_row(account: str, source: str, live: bool, stats: AccountStats, now: float) -> dict[str, Text]:
    return {
        "account": Text(account),
        "source": Text(source),
        "state": Text("live", "green") if live else Text("not live", "yellow"),
        "events": Text(str(stats.events)),
        "gaps": Text(str(stats.gaps), "bold yellow" if stats.gaps else ""),
        "last event": Text(stats.last_event),
        "age": Text("" if stats.last_event_at is None else format_duration(now - stats.last_event_at)),
    }


def _select_columns(rows: Sequence[Mapping[str, Text]], width: int) -> list[str]:
    """Return the columns that fit with all their text; the last event may be cut, but not to next to nothing."""
    names = list(rows[0])
    widths = {name: max(map(len, (name, *(row[name].plain for row in rows)))) for name in names}
    widths["last event"] = _MIN_TEXT_WIDTH
    for omitted in (None, "source", "last event", "gaps"):
        names = [name for name in names if name != omitted]
        gaps = _COLUMN_GAP * (len(names) - 1) + _TABLE_EDGES
        if sum(widths[name] for name in names) + gaps <= width:
            break
    return names


def _render_log_entry(entry: LogEntry) -> Text:
    return Text(entry.format(), _ENTRY_STYLES[entry.kind], no_wrap=True, overflow="ellipsis")


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
    return [Text(line, "dim") for line in lines]


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
