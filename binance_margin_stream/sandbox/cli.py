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

from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.control.client import DEFAULT_PORT, URL_VARIABLE, run_client
from binance_margin_stream.sandbox.control.script import read_script
from binance_margin_stream.sandbox.faults.random import RECOVERABLE_FAULTS
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS
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
        return run_client(given[1:], program)
    options = _create_parser(program).parse_args(given)
    try:
        if options.script is not None:
            read_script(options.script)
        sandbox = Sandbox(
            rules=ExchangeRules(retired_endpoints=options.retired_endpoints),
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
    with sandbox, _handle_signals() as end:
        messages = _start_faults(sandbox, options.faults, options.every, options.seed)
        print(_format_banner(sandbox, program), *messages, "Ctrl-C ends it.", sep="\n", flush=True)
        script_thread = threading.Thread(target=_run_script, args=(sandbox, options.script), name="sandbox-script")
        script_thread.start()
        end.wait()
        sandbox.close()
        script_thread.join()
    print("The sandbox is closed.", flush=True)
    return 0


def _run_script(sandbox: Sandbox, script: Path | None) -> None:
    if script is None:
        return
    try:
        sandbox.run_script(script)
    except (OSError, ValueError) as failure:
        print(f"error: {failure}", file=sys.stderr, flush=True)
    except RuntimeError:
        return  # it was closed while the script was playing
    else:
        print("The script is over; the sandbox goes on.", flush=True)


def _start_faults(
    sandbox: Sandbox, faults: Sequence[tuple[str, float | None]], every: float, seed: int | None
) -> list[str]:
    """Arm the faults that have a probability, let the others come at random, and say so."""
    messages = []
    for name, probability in faults:
        if probability is not None:
            sandbox.inject_fault(name, times=None, probability=probability)
            messages.append(f"Fault {name}, with probability {probability}.")
    at_random = [name for name, probability in faults if probability is None]
    if at_random:
        effective_seed = secrets.randbelow(2**32) if seed is None else seed
        sandbox.start_random_faults(effective_seed, every, at_random)
        messages.append(f"Random faults about every {every:g} s, from seed {effective_seed}: {', '.join(at_random)}.")
    return [*messages, ""] if messages else []


def _create_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="A sandbox for margin user data streams. It is not an exchange: no orders, no money.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=_parse_port, default=DEFAULT_PORT, help="0 lets the system choose one that is free (%(default)s)"
    )
    parser.add_argument(
        "--retired-endpoints",
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
    parser.add_argument("--start", type=_parse_start_time, metavar="HH:MM", help="time of day to start at, UTC (now)")
    parser.add_argument("--script", type=Path, metavar="FILE", help="play the steps of a YAML file")
    parser.add_argument(
        "--faults",
        type=_parse_faults,
        default=(),
        metavar="NAMES",
        help="let these come at random, or strike each call with a probability: NAME:0.1; all for every fault "
        f"that clients recover from: {', '.join(NAMED_FAULTS)}",
    )
    parser.add_argument(
        "--every", type=_parse_positive, default=60.0, help="seconds between random faults (%(default)s)"
    )
    parser.add_argument("--seed", type=int, help="makes keys, tokens and random faults the same every time")
    parser.add_argument("--tls", action="store_true", help="speak https and wss, with a certificate made at start")
    parser.add_argument(
        "--i-understand-that-this-listens-beyond-loopback",
        dest="beyond_loopback",
        action="store_true",
        help="allow a host that other machines can reach",
    )
    return parser


def _parse_port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _parse_positive(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("it takes a number above 0")
    return seconds


def _parse_start_time(text: str) -> int:
    """Milliseconds since 1970 of a time of day, today."""
    if not re.fullmatch(r"\d\d:\d\d(:\d\d)?", text):
        raise argparse.ArgumentTypeError("it takes a time of day such as 09:00")
    today = dt.datetime.now(dt.UTC).date()
    return int(dt.datetime.combine(today, dt.time.fromisoformat(text), dt.UTC).timestamp() * 1000)


def _parse_faults(text: str) -> tuple[tuple[str, float | None], ...]:
    """Names, each with its probability if it has one."""
    if text == "all":
        return tuple((name, None) for name in RECOVERABLE_FAULTS)
    return tuple(_parse_fault(each.strip()) for each in text.split(","))


def _parse_fault(text: str) -> tuple[str, float | None]:
    name, colon, probability = text.partition(":")
    if name not in NAMED_FAULTS:
        raise argparse.ArgumentTypeError(f"no fault is called {name!r}; there are all, {', '.join(NAMED_FAULTS)}")
    if not colon:
        return name, None
    try:
        likely = float(probability)
    except ValueError:
        likely = 0.0
    if not 0 < likely <= 1:
        raise argparse.ArgumentTypeError(f"the probability of {name} takes a number above 0, up to 1")
    return name, likely


def _format_banner(sandbox: Sandbox, program: str) -> str:
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
def _handle_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, in place of what they do otherwise."""
    end = threading.Event()

    def on_signal(_: int, __: object) -> None:
        end.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
