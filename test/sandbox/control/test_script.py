"""Scripts: the time of each step, and the errors of invalid scripts."""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import localcontext
from pathlib import Path

import pytest
from sandbox_client import TIMEOUT_SECONDS, SandboxClient, read_json

from binance_margin_stream.sandbox import Sandbox
from binance_margin_stream.sandbox.control.script import ScriptError, read_script, schedule_steps
from binance_margin_stream.sandbox.sandbox import OPERATIONS

ROOT = Path(__file__).parents[3]
MIDNIGHT = 1_795_392_000_000
NINE = MIDNIGHT + 9 * 3_600_000


def list_runs(steps: list[Mapping[str, object]], start: int = NINE) -> list[tuple[str, str]]:
    """Every run: the time of day, and the operation."""
    return [
        (dt.datetime.fromtimestamp(due / 1000, dt.UTC).strftime("%d %H:%M:%S.%f")[:-3], step.operation.name)
        for due, step in schedule_steps(read_script(steps, OPERATIONS), start)
    ]


def test_the_day_begins_at_midnight() -> None:
    assert dt.datetime.fromtimestamp(MIDNIGHT / 1000, dt.UTC).strftime("%H:%M:%S.%f") == "00:00:00.000000"


def test_steps_come_at_a_time_of_day_or_after_the_one_before() -> None:
    assert list_runs(
        [
            {"at": "09:30", "place-order": {}},
            {"after": "5s", "fill-order": None},
            {"after": "1h30m", "clear-faults": {}},
            {"at": "09:00:00.250", "add-user": {}},
            {"after": "250ms", "add-user": {}},
        ]
    ) == [
        ("23 09:30:00.000", "place-order"),
        ("23 09:30:05.000", "fill-order"),
        ("23 11:00:05.000", "clear-faults"),
        ("24 09:00:00.250", "add-user"),
        ("24 09:00:00.500", "add-user"),
    ]


def test_the_present_time_of_day_runs_at_once() -> None:
    assert list_runs([{"at": "09:00", "add-user": {}}, {"at": "09:00", "clear-faults": {}}]) == [
        ("23 09:00:00.000", "add-user"),
        ("23 09:00:00.000", "clear-faults"),
    ]


def test_repeated_steps_come_between_the_others_in_the_order_of_time() -> None:
    assert list_runs(
        [
            {"at": "10:00", "every": "1m", "times": 3, "place-order": {}},
            {"after": "30s", "every": "1m", "times": 2, "fill-order": {}},
            {"after": "30s", "clear-faults": {}},
        ]
    ) == [
        ("23 10:00:00.000", "place-order"),
        ("23 10:00:30.000", "fill-order"),
        ("23 10:01:00.000", "place-order"),
        ("23 10:01:00.000", "clear-faults"),
        ("23 10:01:30.000", "fill-order"),
        ("23 10:02:00.000", "place-order"),
    ]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("wait", "a step is a mapping"),
        ({"after": "5s"}, "a step has a time (at, after, every, times) and one operation, such as place-order"),
        ({"after": "5s", "place-order": {}, "fill-order": {}}, "a step has a time"),
        ({"place-order": {}}, "either at, a time of day, or after"),
        ({"at": "09:00", "after": "5s", "place-order": {}}, "either at, a time of day, or after"),
        ({"at": "24:00", "place-order": {}}, 'at takes a time of day in UTC, such as "09:30"'),
        ({"at": 930, "place-order": {}}, "at takes a time of day"),
        ({"after": 5, "place-order": {}}, "after takes a duration such as 5s"),
        ({"after": "5 s", "place-order": {}}, "after takes a duration such as 5s"),
        ({"after": "5s", "every": "1m", "place-order": {}}, "every and times require each other"),
        ({"after": "5s", "every": "1m", "times": 0, "place-order": {}}, "times takes a whole number from 1"),
        ({"after": "5s", "every": "1m", "times": True, "place-order": {}}, "times takes a whole number from 1"),
        ({"after": "5s", "deposit": {}}, "no such operation; there are place-order"),
        ({"after": "5s", "place-order": ["BUY"]}, "place-order takes its parameters by name"),
        ({"after": "5s", "borrow": {"amount": 1}}, "borrow: asset is missing"),
        ({"after": "5s", "borrow": {"asset": "BTC", "amount": "x"}}, "borrow: amount takes a number"),
    ],
)
def test_an_invalid_step_is_reported_before_any_step_runs(step: object, error: str) -> None:
    with Sandbox(speed=0) as exchange:
        with pytest.raises(ScriptError, match=r"^step 2: ") as caught:
            exchange.run_script([{"after": "1s", "place-order": {}}, step])  # type: ignore[list-item]  # an invalid step
        assert error in str(caught.value)
        assert exchange.open_orders() == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("- after: 5s\n  place-order:\n\n- after: 5s\n  deposit: {}\n", "line 4: no such operation"),
        ("- after: 5s\n  borrow: {asset: BTC, amount: [1]}\n", "line 1: borrow: amount takes a number"),
        ("- after: 5s\n  after: 6s\n  place-order:\n", "line 1: duplicate key"),
        ("- after: 5s\n  place-order: {a: 1\n- b", "line 3: "),
        (
            "- after: 5s\n  place-order: !!python/object/apply:os.getcwd []\n",
            "line 2: a tag that JSON has no equivalent of",
        ),
        ("- after: 1s\n  send-event:\n    event: " + "[" * 300 + "]" * 300, "line 3: more than 30 levels of nesting"),
        ("- after: 1s\n" + "- " * 5000, "line 2: more than 30 levels of nesting"),
        ("- after: 1s\n  advance-time:\n    seconds: " + "9" * 5000, "line 3: a number of more than 100 characters"),
        ("- after: 1s\n  send-event: {event: {x: 1.5e999}}", "line 2: a number that is out of range"),
        (
            "- after: 1s\n  every: 1s\n  times: 1000001\n  clear-faults: {}",
            "line 1: times takes a whole number from 1 to",
        ),
        ("- after: 40000d\n  clear-faults: {}", "line 1: after takes at most 36500d"),
        ("- after: " + "9" * 5000 + "s\n  clear-faults: {}", "line 1: after takes a duration"),
        ("- after: 1s\n  send-event: {event: !!set {a}}", "line 2: a tag that JSON has no equivalent of"),
        ("- after: 1s\n  send-event: {event: {x: !!timestamp abc}}", "line 2: a tag that JSON has no"),
        ("- after: 1s\n  send-event: {event: {x: !!int abc}}", "line 2: no int"),
        ("- after: 1s\n  send-event: {event: {x: !!bool abc}}", "line 2: no bool"),
        ("- after: 1s\n  send-event: {event: &a {x: *a}}", "line 2: an alias: repeat the value"),
        ("- after: 1s\n  send-event: {event: {? [1] : 2}}", "line 2: found unhashable key"),
        ("place-order: {}\n", "line 1: a script is a list of steps"),
        ("", "line 1: a script is a list of steps"),
        ("- a: \x01\n", "line 1: the file is not text"),
        ("- a: \udcff\n", "line 1: the file is not text"),
    ],
)
def test_an_error_in_a_file_is_reported_with_its_line(tmp_path: Path, text: str, error: str) -> None:
    file = tmp_path / "day.yaml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ScriptError) as caught:
        read_script(file, OPERATIONS)
    assert str(caught.value).startswith(error)


def test_durations_do_not_depend_on_the_callers_decimal_context() -> None:
    with localcontext(prec=3):
        (step,) = read_script([{"after": "12345678ms", "clear-faults": {}}], OPERATIONS)
    assert step.after_ms == 12_345_678


def test_scalars_of_a_file_are_read_as_json(tmp_path: Path) -> None:
    file = tmp_path / "day.yaml"
    file.write_text(
        "- at: 10:30\n  send-event:\n"
        "    event: {e: news, a: 010, b: 10, c: 1.5, d: NO, f: true, g: null, h: 1e3, i: 10:30}\n"
        "- after: 1s\n  place-order: {quantity: 0.30, price: 60000.10}\n"
    )
    emit, place = read_script(file, OPERATIONS)
    assert emit.at_ms == 37_800_000
    event = emit.arguments["event"]
    assert event == {
        "e": "news", "a": "010", "b": 10, "c": 1.5, "d": "NO", "f": True, "g": None, "h": "1e3", "i": "10:30"
    }  # fmt: skip
    assert {name: str(value) for name, value in place.arguments.items()} == {"quantity": "0.3", "price": "60000.1"}


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_script(str(tmp_path / "none.yaml"), OPERATIONS)


def test_paused_time_is_advanced_from_step_to_step(paused_client: SandboxClient) -> None:
    start = paused_client.exchange.now
    with paused_client.open_subscribed() as websocket:
        paused_client.exchange.run_script(
            [
                {"after": "1h", "place-order": {"symbol": "ETHUSDT"}},
                {"after": "0.5s", "every": "1s", "times": 2, "change-balance": {"asset": "BTC", "delta": 1}},
            ]
        )
        events = [read_json(websocket)["event"] for _ in range(6)]
    assert [event["e"] for event in events[::2]] == ["executionReport", "balanceUpdate", "balanceUpdate"]
    assert [event["E"] - start for event in events[::2]] == [3_600_000, 3_600_500, 3_601_500]
    assert paused_client.exchange.now == start + 3_601_500


def test_running_time_is_waited_for() -> None:
    with Sandbox(speed=100) as exchange:
        start, began = exchange.now, time.monotonic()
        exchange.run_script([{"after": "20s", "place-order": {}}])
        assert time.monotonic() - began >= 0.2
        (order,) = exchange.open_orders()
        assert order.created_at >= start + 20_000


def test_an_advance_during_a_script_is_noticed() -> None:
    with Sandbox() as exchange:
        steps = [{"after": "0s", "place-order": {}}, {"after": "1h", "place-order": {}}]
        player = threading.Thread(target=exchange.run_script, args=(steps,))
        player.start()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not exchange.open_orders():
            assert time.monotonic() < deadline
        time.sleep(0.05)  # normally enough for it to wait for the second step; without that, the test checks less
        exchange.advance_time(3601)
        player.join(TIMEOUT_SECONDS)
        assert not player.is_alive()
        assert len(exchange.open_orders()) == 2


def test_closing_ends_a_script() -> None:
    exchange = Sandbox().start()
    failures: list[BaseException] = []

    def run_script() -> None:
        try:
            exchange.run_script([{"after": "1h", "place-order": {}}])
        except RuntimeError as failure:
            failures.append(failure)

    player = threading.Thread(target=run_script)
    player.start()
    exchange.close()
    player.join(TIMEOUT_SECONDS)
    assert not player.is_alive()
    assert len(failures) == 1


def test_a_failed_step_ends_the_script(paused_client: SandboxClient) -> None:
    with pytest.raises(ScriptError, match=r"^step 1: fill-order: no order is open$"):
        paused_client.exchange.run_script([{"after": "1s", "fill-order": {}}, {"after": "1s", "place-order": {}}])
    assert paused_client.exchange.open_orders() == []


def test_the_example_script_runs_a_day() -> None:
    with Sandbox(speed=0, start_ms=NINE) as exchange, SandboxClient(exchange).open_subscribed() as websocket:
        with ThreadPoolExecutor() as threads:
            playing = threads.submit(exchange.run_script, ROOT / "examples" / "day.yaml")
            events = [json.loads(frame)["event"] for frame in websocket]
            playing.result(TIMEOUT_SECONDS)
        assert websocket.protocol.close_code == 1001
        assert exchange.now == MIDNIGHT + 17 * 3_600_000
        assert exchange.open_orders() == []
        struck = exchange.metrics.fault_counts
        held = exchange.balances()
    reports = [event for event in events if event["e"] == "executionReport"]
    assert [(report["x"], report["X"]) for report in reports[:3]] == [
        ("NEW", "NEW"),
        ("TRADE", "PARTIALLY_FILLED"),
        ("TRADE", "FILLED"),
    ]
    assert reports[0]["E"] == MIDNIGHT + 9.5 * 3_600_000
    sold = [report["E"] for report in reports if (report["o"], report["X"]) == ("MARKET", "FILLED")]
    assert [(at - MIDNIGHT) / 3_600_000 for at in sold] == [10, 11, 12, 13, 14]
    assert [report["X"] for report in reports if report["s"] == "ETHUSDT"] == ["NEW", "CANCELED"]
    assert struck["DropConnections"] == 1
    assert held["BTC"].debt == 0
    assert held["USDT"].free < 1_000_000


def test_the_script_of_the_guide_is_valid(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
    (script,) = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    file = tmp_path / "day.yaml"
    file.write_text(script)
    assert [step.operation.name for step in read_script(file, OPERATIONS)] == [
        "place-order",
        "fill-order",
        "change-balance",
        "inject-fault",
    ]
