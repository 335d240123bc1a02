"""``python -m binance_margin_stream.sandbox``: a sandbox exchange in a terminal."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import re
import secrets
import shlex
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
from binance_margin_stream.sandbox.key_file import read_key_file
from binance_margin_stream.sandbox.request_log import RequestPrinter
from binance_margin_stream.sandbox.sandbox import OPERATIONS, Sandbox
from binance_margin_stream.sandbox.server.address import is_loopback

__all__ = ["main"]

_BEYOND_LOOPBACK = "--i-understand-that-this-listens-beyond-loopback"
_PROGRAM = "python -m binance_margin_stream.sandbox"

_EXAMPLES = """\
examples:
  --speed 60                                  a day in 24 minutes
  --script examples/day.yaml --start 09:00    run the script of a day, starting at 09:00
  --faults all --every 120 --seed 7           a random fault about every two minutes, reproducible
  --faults server-error:0.1,429:0.05          10 % of all calls fail with 503, 5 % with 429
  do state                                    from another terminal: show the state
  do place-order --symbol BTCUSDT             from another terminal: send an operation; see: do --help
"""


def main(arguments: Sequence[str] | None = None, program: str = _PROGRAM) -> int:
    """Run a sandbox until Ctrl-C or SIGTERM, or send an operation to a running one; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["do"]:
        return run_client(given[1:], program, OPERATIONS)
    options = _create_parser(program).parse_args(given)
    printer = RequestPrinter(sys.stdout)
    try:
        if options.script is not None:
            read_script(options.script, OPERATIONS)
        if not options.beyond_loopback and not is_loopback(options.host):
            raise ValueError(
                f"the sandbox listens on loopback only, not on {options.host}; {_BEYOND_LOOPBACK} allows it"
            )
        api_key, api_secret = (None, None) if options.api_key_file is None else read_key_file(options.api_key_file)
        sandbox = Sandbox(
            rules=ExchangeRules(retired_endpoints=options.retired_endpoints),
            host=options.host,
            port=options.port,
            speed=options.speed,
            seed=options.seed,
            start_ms=options.start,
            tls=options.tls,
            api_key=api_key,
            api_secret=api_secret,
            allowed_hosts=options.allow_host,
            on_request=printer.add if options.log else None,
            i_understand_that_this_listens_beyond_loopback=options.beyond_loopback,
        ).start()
    except (OSError, ValueError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    with printer, sandbox, _handle_signals() as end:
        messages = _start_faults(sandbox, options.faults, options.every, options.seed)
        print(
            _format_banner(sandbox, program, options.api_key_file),
            *messages,
            "Press Ctrl-C to stop.",
            sep="\n",
            flush=True,
        )
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
        return  # it was closed while the script was running
    else:
        print("The script has ended; the sandbox keeps running.", flush=True)


def _start_faults(
    sandbox: Sandbox, faults: Sequence[tuple[str, float | None]], every: float, seed: int | None
) -> list[str]:
    """Inject the faults that have a probability, start the others at random; returns messages about both."""
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
        description="A sandbox for margin user data streams. It is not an exchange: no order reaches a market.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (%(default)s)")
    parser.add_argument(
        "--port",
        type=_parse_port,
        default=DEFAULT_PORT,
        help="port to listen on; 0 lets the system choose (%(default)s)",
    )
    parser.add_argument(
        "--retired-endpoints",
        choices=("gone", "served"),
        default="gone",
        help="whether the calls removed on 2026-02-20 respond 410 or work (%(default)s)",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="speed relative to real time; 0 is paused, see: do advance-time (%(default)s)",
    )
    parser.add_argument("--start", type=_parse_start_time, metavar="HH:MM", help="initial time of day, UTC (now)")
    parser.add_argument("--script", type=Path, metavar="FILE", help="run the steps of a YAML file")
    parser.add_argument(
        "--faults",
        type=_parse_faults,
        default=(),
        metavar="NAMES",
        help="inject these faults at random, or into each call with a probability (NAME:0.1); all: every fault "
        f"that clients can recover from; names: {', '.join(NAMED_FAULTS)}",
    )
    parser.add_argument(
        "--every", type=_parse_positive, default=60.0, help="average seconds between random faults (%(default)s)"
    )
    parser.add_argument("--seed", type=int, help="makes keys, tokens and random faults reproducible")
    _add_access_options(parser)
    return parser


def _add_access_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", action="store_true", help="print every request, without parameters and credentials")
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="file with a fixed API key (64 letters and digits), and the API secret on a second line",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name by which clients address this host, such as that of a container; may be repeated",
    )
    parser.add_argument("--tls", action="store_true", help="use https and wss, with a certificate created at the start")
    parser.add_argument(
        _BEYOND_LOOPBACK,
        dest="beyond_loopback",
        action="store_true",
        help="allow a host that other machines can reach",
    )


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
    """Milliseconds since 1970 of a time of day, today, in UTC."""
    if not re.fullmatch(r"\d\d:\d\d(:\d\d)?", text):
        raise argparse.ArgumentTypeError("it takes a time of day such as 09:00")
    today = dt.datetime.now(dt.UTC).date()
    return int(dt.datetime.combine(today, dt.time.fromisoformat(text), dt.UTC).timestamp() * 1000)


def _parse_faults(text: str) -> tuple[tuple[str, float | None], ...]:
    """Fault names, each with its probability or None."""
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


def _format_banner(sandbox: Sandbox, program: str, key_file: Path | None) -> str:
    endpoints = sandbox.endpoints
    found = endpoints.rest == f"http://127.0.0.1:{DEFAULT_PORT}"
    where = "" if found else f"\n  export {URL_VARIABLE}={endpoints.rest}"
    # What is in a file of the user's is not printed.
    key_source = f'"$(sed -n {{}}p {shlex.quote(str(key_file))})"'
    trust = "" if sandbox.ca_file is None else f"\n  export SSL_CERT_FILE={sandbox.ca_file}"
    return f"""\
Sandbox for margin user data streams. This is not an exchange: no order reaches a market, no money moves.

  page            {endpoints.rest}/
  REST            {endpoints.rest}
  WebSocket API   {endpoints.websocket_api}
  streams         {endpoints.stream}
  risk stream     {endpoints.margin_stream}

The API key below is valid in this sandbox only. To use it in a shell:

  export BINANCE_API_KEY={sandbox.api_key if key_file is None else key_source.format(1)}
  export BINANCE_API_SECRET={sandbox.api_secret if key_file is None else key_source.format(2)}
  export BINANCE_MARGIN_STREAM_EXCHANGE={endpoints.rest}{trust}
  curl -X POST -H "X-MBX-APIKEY: $BINANCE_API_KEY" {endpoints.rest}/sapi/v1/userListenToken

To send operations from another terminal:
{where}
  {program} do place-order --symbol BTCUSDT
  {program} do --help
"""


@contextlib.contextmanager
def _handle_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, instead of their default effect."""
    end = threading.Event()

    def on_signal(_: int, __: object) -> None:
        end.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
