"""`listen` as a program: its output, and how and when it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from datetime import UTC, datetime

import pytest
from cli_program import Terminal, count_subscribers, run_cli, start_cli, wait_until

from binance_margin_stream import BalanceUpdate, ExecutionReport, State, StatusChange, StreamGap, StreamItem
from binance_margin_stream.cli.listen.liveness import LivenessTimeout
from binance_margin_stream.cli.runner import CommandError, ExitCode
from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults
from binance_margin_stream.stream.state import Severity, StatusChangeKind


def read_items(process: subprocess.Popen[str], count: int) -> list[StreamItem]:
    return [StreamItem.from_json(process.stdout.readline()) for _ in range(count)]


def wait_for_subscription(exchange: Sandbox) -> None:
    wait_until(lambda: count_subscribers(exchange) > 0, "a subscription")


def skip_probes(process: subprocess.Popen[str]) -> StreamItem:
    """Return the first item that is not an event of `count_subscribers`."""
    while (item := read_items(process, 1)[0].to_dict())["kind"] == "UnknownEvent":
        pass
    return StreamItem.from_dict(item)


def test_each_event_is_a_line_of_json_that_can_be_read_back():
    with Sandbox() as exchange, start_cli("listen", "-i", "ETHUSDT", exchange=exchange) as process:
        wait_until(lambda: exchange.send_event({"e": "unheardOf", "E": 1}, "ETHUSDT") > 0, "a subscription")
        exchange.change_balance("USDT", "12.50", account="ETHUSDT")
        event = skip_probes(process)
        assert isinstance(event, BalanceUpdate)
        assert (str(event.account), str(event.delta)) == ("isolated:ETHUSDT", "12.50000000")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    times, changes = zip(*(line.split(" ", 1) for line in errors.splitlines()), strict=True)
    assert {"live", "subscribed isolated:ETHUSDT (token)", "subscribed cross (token)"} <= set(changes)
    assert all(datetime.fromisoformat(moment).tzinfo is UTC for moment in times)
    assert list(times) == sorted(times)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_within_five_seconds(number):
    with Sandbox() as exchange, start_cli("listen", "--json", exchange=exchange) as process:
        wait_for_subscription(exchange)
        process.send_signal(number)
        began = time.monotonic()
        _, errors = process.communicate(timeout=10)
        assert time.monotonic() - began < 5
        wait_until(lambda: count_subscribers(exchange) == 0, "the connection's end")
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_signal_ends_it_while_it_still_connects():
    with Sandbox() as exchange:
        exchange.inject_fault(faults.NoResponse(), times=None)
        with start_cli("listen", "--json", exchange=exchange) as process:
            wait_until(lambda: len(exchange.rest_log) > 0, "a call")
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            _, errors = process.communicate(timeout=10)
            assert time.monotonic() - began < 5
    assert (process.returncode, "Traceback" in errors) == (0, False)


def test_a_signal_ends_it_while_nobody_reads_what_it_writes():
    with Sandbox() as exchange, start_cli("listen", exchange=exchange) as process:
        wait_for_subscription(exchange)
        for _ in range(3000):
            exchange.send_event({"e": "unheardOf", "E": 1, "padding": "x" * 100})
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=7) == 0


def test_it_ends_quietly_when_its_reader_goes():
    with Sandbox() as exchange, start_cli("listen", exchange=exchange) as process:
        wait_for_subscription(exchange)
        process.stdout.readline()
        process.stdout.close()
        wait_until(lambda: count_subscribers(exchange) == 0, "its end")
        assert process.wait(timeout=10) == 0
        assert not re.search("(?i)broken pipe|traceback|error", process.stderr.read())


def test_a_full_disk_is_one_line_and_code_74():
    with Sandbox() as exchange, open("/dev/full", "w") as full:
        with start_cli("listen", exchange=exchange, stdout=full.fileno()) as process:
            wait_until(lambda: count_subscribers(exchange) > 0 or process.poll() is not None, "a subscription")
            _, errors = process.communicate(timeout=10)
    assert process.returncode == ExitCode.OUTPUT_ERROR
    assert errors.splitlines()[-1] == "error: the output cannot be written: No space left on device"
    assert "Traceback" not in errors


def test_a_gap_ends_it_if_wanted_with_its_own_code_after_printing_it():
    with Sandbox() as exchange, start_cli("listen", "--exit-on-gap", exchange=exchange) as process:
        wait_for_subscription(exchange)
        exchange.inject_fault(faults.DropConnections("reset"))
        output, errors = process.communicate(timeout=20)
    assert process.returncode == ExitCode.GAP
    assert isinstance(StreamItem.from_json(output.splitlines()[-1]), StreamGap)
    assert "reconcile" in errors.splitlines()[-1]


def test_a_gap_does_not_end_it_otherwise():
    with Sandbox() as exchange, start_cli("listen", exchange=exchange) as process:
        wait_for_subscription(exchange)
        exchange.inject_fault(faults.DropConnections("reset"))
        assert isinstance(skip_probes(process), StreamGap)
        wait_for_subscription(exchange)
        exchange.fill_order(exchange.place_order().order_id)
        assert isinstance(skip_probes(process), ExecutionReport)


TIMEOUT = ["--timeout", "1"]
ENDS = {
    "wrong key": ([], lambda exchange: exchange.revoke_api_key(), ExitCode.KEY_REJECTED, "rejected"),
    "no such symbol": (["-i", "NOSUCHPAIR"], lambda exchange: None, ExitCode.BAD_PARAMETER, "isolated:NOSUCHPAIR"),
    "retired": (
        ["--source", "listen-key"],
        lambda exchange: None,
        ExitCode.RETIRED,
        "retired",
    ),
    "banned": (
        TIMEOUT,
        lambda exchange: exchange.inject_fault(faults.ip_banned(), times=None),
        ExitCode.BANNED,
        "banned",
    ),
    "limited": (
        TIMEOUT,
        lambda exchange: exchange.inject_fault(faults.too_many_requests(60), times=None),
        ExitCode.RATE_LIMITED,
        "too many requests",
    ),
    "blocked": (
        TIMEOUT,
        lambda exchange: exchange.inject_fault(faults.forbidden(), times=None),
        ExitCode.BLOCKED,
        "firewall",
    ),
    "country": (
        [],
        lambda exchange: exchange.inject_fault(faults.StaticResponse(451), times=None),
        ExitCode.BLOCKED,
        "country rule",
    ),
    "country, on the WebSocket": (
        [],
        lambda exchange: exchange.inject_fault(faults.RefuseHandshake(451), times=None),
        ExitCode.BLOCKED,
        "HTTP 451",
    ),
    "failing": (
        TIMEOUT,
        lambda exchange: exchange.inject_fault(faults.server_error(), times=None),
        ExitCode.UNREACHABLE,
        "the exchange failed",
    ),
    "unreachable": (TIMEOUT, lambda exchange: exchange.close(), ExitCode.UNREACHABLE, "not live for 1 s: "),
}


@pytest.mark.parametrize("name", ENDS)
def test_each_end_has_its_exit_code_and_says_why_in_its_last_line(name):
    more, arrange, code, said = ENDS[name]
    with Sandbox() as exchange:
        arrange(exchange)
        done = run_cli("listen", "--json", *more, exchange=exchange)
    assert done.returncode == code
    assert said in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_the_timeout_restarts_when_the_stream_was_live():
    liveness = LivenessTimeout(10)
    liveness.check(State.CONNECTING, 0)
    liveness.on_change(StatusChange(StatusChangeKind.BANNED, Severity.WARNING, detail="sending nothing for 120 s"))
    liveness.check(State.LIVE, 9)
    liveness.check(State.RECOVERING, 15)
    liveness.on_change(StatusChange(StatusChangeKind.CONNECTION_LOST, Severity.WARNING, detail="refused"))
    liveness.check(State.RECOVERING, 24.9)
    with pytest.raises(CommandError, match=r"not live for 10 s: refused") as caught:
        liveness.check(State.RECOVERING, 25)
    assert caught.value.code is ExitCode.UNREACHABLE


def test_without_a_timeout_it_never_ends():
    liveness = LivenessTimeout(None)
    for moment in range(0, 10**9, 10**8):
        liveness.check(State.RECOVERING, moment)


def test_the_risk_events_come_too():
    with Sandbox() as exchange, start_cli("listen", "--risk", exchange=exchange) as process:
        said = ""
        while not said.endswith(" live\n"):
            said += process.stderr.readline()
        exchange.send_margin_call("1.11")
        assert skip_probes(process).to_dict()["margin_level"] == "1.11"


def test_another_url_can_be_given_for_each_source():
    with Sandbox(rules=ExchangeRules(listen_key_v2_host="margin_stream")) as exchange:
        own = f"margin-stream={exchange.endpoints.margin_stream}"
        with start_cli("listen", "--source", "listen-key-v2", "--endpoint", own, exchange=exchange) as process:
            wait_for_subscription(exchange)
            exchange.change_balance("USDT", "1")
            assert isinstance(skip_probes(process), BalanceUpdate)


ENTER_ALTERNATE_SCREEN = "\x1b[?1049h"
LEAVE_ALTERNATE_SCREEN = "\x1b[?1049l"


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_a_table_that_fits(columns):
    with Sandbox() as exchange, Terminal("listen", "-i", "ETHUSDT", exchange=exchange, columns=columns) as terminal:
        terminal.wait_for("live")
        order = exchange.place_order(symbol="BTCUSDT", quantity="0.5", price="60000")
        exchange.fill_order(order.order_id)
        terminal.wait_for("FILLED 0.5/0.5")
        exchange.inject_fault(faults.DropConnections("reset"))
        terminal.wait_for("may be missing (disconnected)")
        wait_until(lambda: re.search(r"cross +token +live +\d+ +1 ", terminal.text) is not None, "the gap's count")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait_for_exit() == 0
        lines = terminal.text.splitlines()
        assert max(map(len, lines)) <= columns
        assert not [line for line in lines if line.startswith("{")]


def test_a_terminal_shows_the_end_of_a_stream_in_one_line():
    with Sandbox() as exchange, Terminal("listen", exchange=exchange) as terminal:
        terminal.wait_for("live")
        exchange.revoke_api_key()
        exchange.inject_fault(faults.ExpireCredentials())
        assert terminal.wait_for_exit() == ExitCode.KEY_REJECTED
        _, left, after = terminal.raw.partition(LEAVE_ALTERNATE_SCREEN)
        assert left
        assert len(re.findall("error: .*code -2015", after)) == 1
        assert "Traceback" not in terminal.text


def test_a_rejected_key_is_reported_once():
    with Sandbox() as exchange:
        exchange.revoke_api_key()
        done = run_cli("listen", "--json", exchange=exchange)
    assert (done.returncode, done.stdout) == (ExitCode.KEY_REJECTED, "")
    assert done.stderr.count("rejected") == 1
    assert done.stderr.count("-2015") == 1


def test_the_table_uses_the_alternate_screen_and_follows_the_size_of_the_terminal():
    with Sandbox() as exchange, Terminal("listen", "--risk", exchange=exchange, columns=120) as terminal:
        terminal.wait_for("next: ")
        assert ENTER_ALTERNATE_SCREEN in terminal.raw
        terminal.resize(60)
        terminal.clear()
        exchange.send_margin_call("1.18")
        terminal.wait_for("MARGIN_CALL")
        wait_until(
            lambda: re.search(r"cross \(risk\) +live +1 +0 +margin .*… +\d+ s", terminal.text) is not None,
            "the risk row",
        )
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait_for_exit() == 0
        assert max(map(len, terminal.text.splitlines())) <= 60
        assert LEAVE_ALTERNATE_SCREEN in terminal.raw
        assert re.search(r"sandbox http://127.0.0.1:\d+: 1 events?, 0 gaps", terminal.raw.rpartition("\x1b")[2])


def test_a_terminal_without_cursor_control_gets_lines():
    with Sandbox() as exchange, Terminal("listen", "--risk", exchange=exchange, TERM="dumb") as terminal:
        terminal.wait_for("live")
        exchange.send_margin_call("1.18")
        terminal.wait_for("MARGIN_CALL")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait_for_exit() == 0
        assert "\x1b" not in terminal.raw
        assert re.search(r"^\d\d:\d\d:\d\d  event   cross: margin level 1.18: MARGIN_CALL\r?$", terminal.raw, re.M)


def test_text_of_the_exchange_cannot_control_the_terminal():
    with Sandbox() as exchange, Terminal("listen", exchange=exchange) as terminal:
        wait_for_subscription(exchange)
        exchange.send_event({"e": "\x1b]0;owned\x07[red]x[/red]", "E": 1})
        terminal.wait_for("[red]x[/red]")
        assert "\x1b]0;" not in terminal.raw


def test_json_is_json_in_a_terminal_too():
    with Sandbox() as exchange, Terminal("listen", "--json", exchange=exchange, columns=500) as terminal:
        wait_for_subscription(exchange)
        exchange.change_balance("USDT", "1")
        terminal.wait_for('"kind":"BalanceUpdate"')
        (line,) = [line for line in terminal.text.splitlines() if "BalanceUpdate" in line]
        assert json.loads(line)["delta"] == "1.00000000"
        os.kill(terminal.process.pid, signal.SIGTERM)
        assert terminal.wait_for_exit() == 0
