"""The live table: its columns for any width, and its height."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from binance_margin_stream import CROSS, Health, State, StreamItem, isolated
from binance_margin_stream.cli.listen.dashboard import Dashboard
from binance_margin_stream.cli.listen.live_table import render
from binance_margin_stream.stream.state import Severity, StatusChange, StatusChangeKind

HEALTH = Health(
    state=State.LIVE,
    accounts={CROSS: True, isolated("BTCUSDT"): False},
    sources={CROSS: "listen-key-v2", isolated("BTCUSDT"): "token"},
    lost_accounts={},
    connections=2,
    connection_age=1.0,
    frame_age=3.0,
    ping_age=None,
    events={},
    gaps=0,
    reconnects=0,
    rotations=0,
    renewals=0,
    failures=0,
    malformed_frames=0,
    rest_calls=2,
    dropped=0,
    buffered=0,
    next_action=None,
    next_action_in=None,
)
BALANCE = StreamItem.from_dict(
    {"kind": "BalanceUpdate", "account": "cross", "event_time": 1, "asset": "USDT", "delta": "1", "clear_time": 1}
)


def make_dashboard(*, risk: bool = True) -> Dashboard:
    dashboard = Dashboard(risk=risk)
    dashboard.add_item(BALANCE, 0.0, 0.0)
    for number in range(40):
        dashboard.add_change(StatusChange(StatusChangeKind.CONNECTED, Severity.INFO, None, f"connection {number}"), 0.0)
    return dashboard


def draw(width: int, height: int = 24, health: Health | None = HEALTH, *, risk: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(render("sandbox http://127.0.0.1:8650", health, make_dashboard(risk=risk), 200.0, console))
    return console.file.getvalue().splitlines()


def get_header(lines: list[str]) -> list[str]:
    (header,) = [line for line in lines if "account" in line]
    return header.replace("last event", "last-event").split()


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (120, ["account", "source", "state", "events", "gaps", "last-event", "age"]),
        (76, ["account", "state", "events", "gaps", "last-event", "age"]),
        (60, ["account", "state", "events", "gaps", "age"]),
        (50, ["account", "state", "events", "age"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns_with_all_their_text(width, columns):
    lines = draw(width)
    assert get_header(lines) == columns
    assert [line for line in lines if "not live" in line]
    assert [line for line in lines if "3 m 20 s" in line]
    assert [line for line in lines if "isolated:BTCUSDT" in line]


def test_risk_events_have_a_row_of_their_own_if_they_are_followed():
    assert [line for line in draw(100) if "cross (risk)" in line]
    assert not [line for line in draw(100, risk=False) if "risk" in line]


def test_before_the_first_response_the_table_says_that_it_connects():
    lines = draw(80, health=None)
    assert lines[0].endswith("connecting")
    assert lines[-1] == "Press Ctrl-C to end"


@given(width=st.integers(40, 200), height=st.integers(16, 60))
def test_the_picture_never_leaves_the_terminal(width, height):
    lines = draw(width, height, replace(HEALTH, next_action_in=5.0))
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert lines[-1].strip() == "Press Ctrl-C to end"
