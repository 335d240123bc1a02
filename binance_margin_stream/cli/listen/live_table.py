"""The live table of `listen`."""

from __future__ import annotations

from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from binance_margin_stream.cli.listen.dashboard import Board, Entry, Row
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.protocol.actions import State

__all__ = ["screen"]

_STATE_STYLES = {
    State.CONNECTING: "yellow",
    State.LIVE: "green",
    State.RECOVERING: "bold yellow",
    State.CLOSED: "dim",
    State.FAILED: "bold red",
}
_ENTRY_STYLES = {"event": "", "gap": "bold yellow", "stream": "dim"}
_LINES_AROUND = 10
_MOST_RECENT = 12
_LEAST_RECENT = 3


def screen(exchange: str, health: Health, board: Board, now: float, console: Console) -> RenderableType:
    """Everything at one moment, in as many lines as the terminal has; `now` is on the board's clock."""
    room = console.height - _LINES_AROUND - len(health.accounts)
    recent = board.recent(max(_LEAST_RECENT, min(_MOST_RECENT, room)))
    return Group(_title(exchange, health), _accounts(health, board, now), *map(_line, recent), Text(), *_footer(health))


def _title(exchange: str, health: Health) -> Text:
    title = Text.assemble(
        ("Binance margin stream", "bold"), "  ", exchange, "  ", (health.state.value, _STATE_STYLES[health.state])
    )
    title.truncate(200)
    return title


def _accounts(health: Health, board: Board, now: float) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, header_style="bold")
    table.add_column("account", no_wrap=True)
    table.add_column("way in", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("events", justify="right", no_wrap=True)
    table.add_column("gaps", justify="right", no_wrap=True)
    table.add_column("last event", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("age", justify="right", no_wrap=True)
    for account, live in health.accounts.items():
        table.add_row(*_cells(account, live, health.sources[account], board.row(account), now))
    return table


def _cells(account: Account, live: bool, source: str, row: Row, now: float) -> list[Text]:
    return [
        Text(str(account)),
        Text(source),
        Text("live", "green") if live else Text("waiting", "yellow"),
        Text(str(row.events)),
        Text(str(row.gaps), "bold yellow" if row.gaps else ""),
        Text(row.last),
        Text("" if row.at is None else duration(now - row.at)),
    ]


def _line(entry: Entry) -> Text:
    moment = datetime.fromtimestamp(entry.at).astimezone().strftime("%H:%M:%S")
    parts = (f"{moment}  ", f"{entry.kind:<6}  ", f"{entry.account}: " if entry.account else "", entry.text)
    return Text("".join(parts), _ENTRY_STYLES[entry.kind], no_wrap=True, overflow="ellipsis")


def _footer(health: Health) -> list[Text]:
    counts = (
        (health.connections, "connection"),
        (health.reconnects, "reconnect"),
        (health.rotations, "rotation"),
        (health.renewals, "renewal"),
        (health.dropped, "dropped event"),
    )
    lines = [
        ", ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in counts),
        f"last frame {_ago(health.frame_age)}, last ping {_ago(health.ping_age)}",
    ]
    if health.next_action is not None and health.next_action_in is not None:
        lines.append(f"next: {health.next_action} in {duration(health.next_action_in)}")
    return [Text(line, "dim", no_wrap=True, overflow="ellipsis") for line in (*lines, "Ctrl-C ends it")]


def _ago(age: float | None) -> str:
    return "none yet" if age is None else f"{duration(age)} ago"


def duration(seconds: float) -> str:
    """A length of time in its two largest units at most, such as ``3 m 20 s``."""
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} m"
    return f"{minutes} m {whole % 60} s" if minutes else f"{whole} s"
