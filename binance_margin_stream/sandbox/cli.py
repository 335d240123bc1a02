"""``python -m binance_margin_stream.sandbox``: a sandbox exchange in a terminal."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import re
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.control.client import DEFAULT_PORT, URL_VARIABLE, drive
from binance_margin_stream.sandbox.control.script import read_script
from binance_margin_stream.sandbox.faults.random import RECOVERABLE
from binance_margin_stream.sandbox.faults.registry import NAMED
from binance_margin_stream.sandbox.sandbox import Sandbox

__all__ = ["main"]

_PROGRAM = "python -m binance_margin_stream.sandbox"

_EXAMPLES = """\
examples:
  --speed 60                                  a day in 24 minutes
  --script examples/day.yaml --start 09:00    play a day, from nine in the morning
  --faults all --every 120 --seed 7           something goes wrong every two minutes, the same each time
  --faults server-error:0.1,429:0.05          a tenth of all calls fails, a twentieth is too many
  do state                                    from another terminal: look at it
  do place-order --symbol BTCUSDT             from another terminal: drive it; see: do --help
"""


def main(arguments: Sequence[str] | None = None, program: str = _PROGRAM) -> int:
    """Run a sandbox until Ctrl-C or SIGTERM, or with ``do`` drive one that runs; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["do"]:
        return drive(given[1:], program)
    options = _parser(program).parse_args(given)
    try:
        if options.script is not None:
            read_script(options.script)
        sandbox = Sandbox(
            rules=Rules(retired_calls=options.retired_calls),
            host=options.host,
            port=options.port,
            speed=options.speed,
            seed=options.seed,
            start_ms=options.start,
            tls=options.tls,
            i_understand_that_this_listens_beyond_loopback=options.beyond_loopback,
        ).start()
    except (OSError, ValueError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    with sandbox, _told_to_end() as end:
        said = _let_loose(sandbox, options.faults, options.every, options.seed)
        print(_introduction(sandbox, program), *said, "Ctrl-C ends it.", sep="\n", flush=True)
        player = threading.Thread(target=_play, args=(sandbox, options.script), name="sandbox-script")
        player.start()
        end.wait()
        sandbox.close()
        player.join()
    print("The sandbox is closed.", flush=True)
    return 0


def _play(sandbox: Sandbox, script: Path | None) -> None:
    if script is None:
        return
    try:
        sandbox.play(script)
    except (OSError, ValueError) as failure:
        print(f"error: {failure}", file=sys.stderr, flush=True)
    except RuntimeError:
        return  # it was closed while the script was playing
    else:
        print("The script is over; the sandbox goes on.", flush=True)


def _let_loose(
    sandbox: Sandbox, faults: Sequence[tuple[str, float | None]], every: float, seed: int | None
) -> list[str]:
    """Arm the faults that have a probability, let the others come at random, and say so."""
    said = []
    for name, probability in faults:
        if probability is not None:
            sandbox.fail(name, times=None, probability=probability)
            said.append(f"Fault {name}, with probability {probability}.")
    at_random = [name for name, probability in faults if probability is None]
    if at_random:
        chosen = secrets.randbelow(2**32) if seed is None else seed
        sandbox.trouble(chosen, every, at_random)
        said.append(f"Random faults about every {every:g} s, from seed {chosen}: {', '.join(at_random)}.")
    return [*said, ""] if said else []


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="A sandbox for margin user data streams. It is not an exchange: no orders, no money.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="0 lets the system choose one that is free (%(default)s)"
    )
    parser.add_argument(
        "--retired-calls",
        choices=("gone", "served"),
        default="gone",
        help="whether the calls removed on 2026-02-20 answer 410 or work (%(default)s)",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="how much faster than real time it runs; 0 stands still until it is stepped (%(default)s)",
    )
    parser.add_argument("--start", type=_start, metavar="HH:MM", help="time of day to start at, UTC (now)")
    parser.add_argument("--script", type=Path, metavar="FILE", help="play the steps of a YAML file")
    parser.add_argument(
        "--faults",
        type=_faults,
        default=(),
        metavar="NAMES",
        help="let these come at random, or strike each call with a probability: NAME:0.1; all for every fault "
        f"that clients recover from: {', '.join(NAMED)}",
    )
    parser.add_argument("--every", type=_above_zero, default=60.0, help="seconds between random faults (%(default)s)")
    parser.add_argument("--seed", type=int, help="makes keys, tokens and random faults the same every time")
    parser.add_argument("--tls", action="store_true", help="speak https and wss, with a certificate made at start")
    parser.add_argument(
        "--i-understand-that-this-listens-beyond-loopback",
        dest="beyond_loopback",
        action="store_true",
        help="allow a host that other machines can reach",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _above_zero(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("it takes a number above 0")
    return seconds


def _start(text: str) -> int:
    """Milliseconds since 1970 of a time of day, today."""
    if not re.fullmatch(r"\d\d:\d\d(:\d\d)?", text):
        raise argparse.ArgumentTypeError("it takes a time of day such as 09:00")
    today = dt.datetime.now(dt.UTC).date()
    return int(dt.datetime.combine(today, dt.time.fromisoformat(text), dt.UTC).timestamp() * 1000)


def _faults(text: str) -> tuple[tuple[str, float | None], ...]:
    """Names, each with its probability if it has one."""
    if text == "all":
        return tuple((name, None) for name in RECOVERABLE)
    return tuple(_fault(each.strip()) for each in text.split(","))


def _fault(text: str) -> tuple[str, float | None]:
    name, colon, probability = text.partition(":")
    if name not in NAMED:
        raise argparse.ArgumentTypeError(f"no fault is called {name!r}; there are all, {', '.join(NAMED)}")
    if not colon:
        return name, None
    try:
        likely = float(probability)
    except ValueError:
        likely = 0.0
    if not 0 < likely <= 1:
        raise argparse.ArgumentTypeError(f"the probability of {name} takes a number above 0, up to 1")
    return name, likely


def _introduction(sandbox: Sandbox, program: str) -> str:
    endpoints = sandbox.endpoints
    found = endpoints.rest == f"http://127.0.0.1:{DEFAULT_PORT}"
    where = "" if found else f"\n  export {URL_VARIABLE}={endpoints.rest}"
    trust = "" if sandbox.ca_file is None else f"\n  export SSL_CERT_FILE={sandbox.ca_file}"
    return f"""\
Sandbox for margin user data streams. This is not an exchange: no orders, no money, nothing leaves here.

  page            {endpoints.rest}/
  REST            {endpoints.rest}
  WebSocket API   {endpoints.websocket_api}
  streams         {endpoints.stream}
  risk stream     {endpoints.margin_stream}

The key below works here and nowhere else. To use it in a shell:

  export BINANCE_API_KEY={sandbox.api_key}
  export BINANCE_API_SECRET={sandbox.api_secret}
  export BINANCE_MARGIN_STREAM_EXCHANGE={endpoints.rest}{trust}
  curl -X POST -H "X-MBX-APIKEY: $BINANCE_API_KEY" {endpoints.rest}/sapi/v1/userListenToken

To make something happen, from another terminal:
{where}
  {program} do place-order --symbol BTCUSDT
  {program} do --help
"""


@contextlib.contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, in place of what they do otherwise."""
    end = threading.Event()

    def told(_: int, __: object) -> None:
        end.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
