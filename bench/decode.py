"""How long one execution report takes from bytes to a typed event, against `json.loads` and the exchange's own SDK.

    python bench/decode.py [--peer path/to/python] [--rounds 200]

The peer is an interpreter whose environment has `binance-sdk-margin-trading`; without one, that line is left out:

    python -m venv .venv-peers && .venv-peers/bin/pip install binance-sdk-margin-trading==8.8.0
    python bench/decode.py --peer .venv-peers/bin/python

All candidates take turns on the same frames within one run; a round's time is the mean over all frames, the figure
is the median over the rounds, and the ratio is taken of two neighbouring rounds, so that a busy machine cancels out.
Like `decode`, the peer starts from bytes: `json.loads`, then its `parse_user_event`, as in its own receive loop.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

FRAMES = 500
PEER = """
import json, statistics, sys
from time import perf_counter_ns
from binance_common.utils import parse_user_event
from binance_sdk_margin_trading.websocket_streams.models import TradeDataStreamEventsResponse as Response
frames = [line.encode() for line in sys.stdin.read().splitlines()]
whole = lambda frame: parse_user_event(json.loads(frame)["event"], Response)
payloads = [json.loads(frame)["event"] for frame in frames]
assert type(whole(frames[0]).actual_instance).__name__ == "ExecutionReport"
def timed(call, arguments):
    start = perf_counter_ns()
    for argument in arguments:
        call(argument)
    return (perf_counter_ns() - start) / len(arguments) / 1000
turns = [(json.loads, frames), (whole, frames), (lambda payload: parse_user_event(payload, Response), payloads)]
rows = [[timed(*turn) for turn in turns] for _ in range(int(sys.argv[1]))]
print(json.dumps([statistics.median(column) for column in zip(*rows)]))
"""


def report(number: int, dice: random.Random) -> dict[str, object]:
    """A fill as the exchange's documentation shows it; every number in it differs from frame to frame."""
    quantity = dice.randint(1, 500_000_000)
    price = dice.randint(1_000_000, 9_000_000_000_000)
    filled = dice.randint(1, quantity)
    quote = filled * price // 10**8
    at = 1_790_000_000_000 + 37 * number

    def money(units: int) -> str:
        return f"{units // 10**8}.{units % 10**8:08d}"

    return {
        "e": "executionReport", "E": at, "s": dice.choice(["BTCUSDT", "ETHUSDT", "SOLBTC"]),
        "c": f"web_{dice.getrandbits(96):024x}", "S": dice.choice(["BUY", "SELL"]), "o": "LIMIT", "f": "GTC",
        "q": money(quantity), "p": money(price), "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "",
        "x": "TRADE", "X": "PARTIALLY_FILLED", "r": "NONE", "i": 23_456_789_012 + number, "l": money(filled),
        "z": money(filled), "L": money(price), "n": money(filled // 1000), "N": "BNB", "T": at - 1,
        "t": 3_345_678_901 + number, "I": 59_876_543_210 + number, "w": False, "m": dice.random() < 0.5, "M": True,
        "O": at - 6000, "Z": money(quote), "Y": money(quote), "Q": "0.00000000", "W": at - 6000,
        "V": "EXPIRE_MAKER",
    }  # fmt: skip


def frames() -> list[bytes]:
    """Distinct frames, so that nothing gains from having seen the same bytes before."""
    dice = random.Random(20261122)
    return [
        json.dumps({"subscriptionId": 3, "event": report(number, dice)}, separators=(",", ":")).encode()
        for number in range(FRAMES)
    ]


def microseconds(call: Callable[[bytes], object], arguments: list[bytes]) -> float:
    """The mean time of one call."""
    start = perf_counter_ns()
    for argument in arguments:
        call(argument)
    return (perf_counter_ns() - start) / len(arguments) / 1000


def own_rows(rounds: int, arguments: list[bytes]) -> list[tuple[float, float]]:
    """Rounds of (`json.loads`, `decode`), taking turns."""
    from binance_margin_stream.stream.accounts import CROSS
    from binance_margin_stream.stream.decoder import decode

    ours = partial(decode, accounts={3: CROSS})
    microseconds(ours, arguments)
    return [(microseconds(json.loads, arguments), microseconds(ours, arguments)) for _ in range(rounds)]


def import_milliseconds() -> float:
    """Importing the decoder and decoding the first frame, with pydantic imported before."""
    code = (
        "import sys, pydantic, json; from time import perf_counter_ns as now; start = now()\n"
        "from binance_margin_stream.stream.decoder import decode; decode(sys.argv[1].encode())\n"
        "print((now() - start) / 1e6)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code, frames()[0].decode()], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    return min(float(run.stdout) for run in runs)


def main() -> int:
    """Prints the figures; fails when a goal is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--peer", help="an interpreter with binance-sdk-margin-trading")
    options.add_argument("--rounds", type=int, default=200)
    chosen = options.parse_args()
    arguments = frames()
    rows = own_rows(chosen.rounds, arguments)
    bare, ours = (statistics.median(column) for column in zip(*rows, strict=True))
    ratio = statistics.median(own / loads for loads, own in rows)
    print(f"frame                       {len(arguments[0])} bytes, {len(arguments)} different ones")
    print(f"json.loads                  {bare:7.2f} µs")
    print(f"decode                      {ours:7.2f} µs   {ratio:.2f} x json.loads (goal: at most 1.6)")
    print(f"import and first frame      {import_milliseconds():7.1f} ms")
    reached = ratio <= 1.6
    if chosen.peer:
        run = subprocess.run(
            [chosen.peer, "-c", PEER, str(max(3, chosen.rounds // 10))],
            input="\n".join(frame.decode() for frame in arguments),
            capture_output=True,
            text=True,
            check=True,
        )
        loads, whole, parse = json.loads(run.stdout)
        times, alone = (figure / loads / ratio for figure in (whole, parse))
        print(f"the exchange's SDK          {whole:7.2f} µs   {times:.1f} x decode (goal: at least 5)")
        print(f"  its parse_user_event only {parse:7.2f} µs   {alone:.1f} x decode")
        reached = reached and times >= 5
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
