"""``python -m binance_margin_stream.sandbox``: a sandbox exchange in a terminal."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import re
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.control.client import DEFAULT_PORT, URL_VARIABLE, create_client_app
from binance_margin_stream.sandbox.control.script import read_script
from binance_margin_stream.sandbox.faults.random import RECOVERABLE_FAULTS
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS
from binance_margin_stream.sandbox.sandbox import OPERATIONS, Sandbox
from binance_margin_stream.terminal.help_pages import Group, format_examples
from binance_margin_stream.terminal.program import INTERNAL_ERROR, OUTPUT_ERROR, CommandError, run_program

__all__ = ["app", "main"]

_PROGRAM = "python -m binance_margin_stream.sandbox"
_FAILURE = 1

_EXAMPLES = (
    ("a day in 24 minutes", "sandbox --speed 60"),
    ("run the script of a day, starting at 09:00", "sandbox --script examples/day.yaml --start 09:00"),
    ("a random fault about every two minutes, reproducible", "sandbox --faults all --every 120 --seed 7"),
    ("10 % of all calls fail with 503, 5 % with 429", "sandbox --faults server-error:0.1,429:0.05"),
    ("from another terminal: show the state", "sandbox do state"),
    ("from another terminal: send an operation; see: do --help", "sandbox do place-order --symbol BTCUSDT"),
)

Faults = tuple[tuple[str, float | None], ...]

app = typer.Typer(
    cls=Group,
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.add_typer(create_client_app(OPERATIONS), name="do")


def main(arguments: Sequence[str] | None = None, program: str = _PROGRAM) -> int:
    """Run a sandbox until Ctrl-C or SIGTERM, or send an operation to a running one; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_program(app, given, program, _get_exit_code)


def _get_exit_code(error: BaseException) -> int:
    return OUTPUT_ERROR if isinstance(error, OSError) else INTERNAL_ERROR


def _check_positive(seconds: float) -> float:
    if not 0 < seconds < float("inf"):
        raise typer.BadParameter("it takes a number above 0", param_hint="'--every'")
    return seconds


def _parse_start_time(text: str) -> int:
    """Milliseconds since 1970 of a time of day, today, in UTC."""
    try:
        time_of_day = dt.time.fromisoformat(text) if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text) else None
    except ValueError:
        time_of_day = None
    if time_of_day is None:
        raise typer.BadParameter("it takes a time of day such as 09:00", param_hint="'--start'")
    today = dt.datetime.now(dt.UTC).date()
    return int(dt.datetime.combine(today, time_of_day, dt.UTC).timestamp() * 1000)


def _parse_faults(text: str) -> Faults:
    """Fault names, each with its probability or None."""
    if text == "all":
        return tuple((name, None) for name in RECOVERABLE_FAULTS)
    return tuple(_parse_fault(each.strip()) for each in text.split(","))


def _parse_fault(text: str) -> tuple[str, float | None]:
    name, colon, probability = text.partition(":")
    if name not in NAMED_FAULTS:
        names = ", ".join(NAMED_FAULTS)
        raise typer.BadParameter(f"no fault is called {name!r}; there are all, {names}", param_hint="'--faults'")
    if not colon:
        return name, None
    try:
        value = float(probability)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        message = f"the probability of {name} takes a number above 0, up to 1"
        raise typer.BadParameter(message, param_hint="'--faults'")
    return name, value


_EPILOG = f"{format_examples(_EXAMPLES)}\n\n[bold]Faults[/bold]\n\n{', '.join(NAMED_FAULTS)}"


@app.callback(epilog=_EPILOG)
def run_sandbox(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="HOST", help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="PORT", min=0, max=65_535, help="Port to listen on; 0 lets the system choose."),
    ] = DEFAULT_PORT,
    retired_endpoints: Annotated[
        Literal["gone", "served"],
        typer.Option(help="Whether the calls removed on 2026-02-20 respond 410 or work."),
    ] = "gone",
    speed: Annotated[
        float, typer.Option(metavar="FACTOR", help="Speed relative to real time; 0 is paused, see: do advance-time.")
    ] = 1.0,
    start: Annotated[str | None, typer.Option(metavar="HH:MM", help="Initial time of day, UTC. Default: now.")] = None,
    script: Annotated[Path | None, typer.Option(metavar="FILE", help="Run the steps of a YAML file.")] = None,
    faults: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Inject these faults at random, or into each call with a probability (NAME:0.1). all: every fault "
            "that clients can recover from.",
        ),
    ] = None,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="Average time between random faults.")] = 60.0,
    seed: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Makes keys, tokens and random faults reproducible.")
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Use https and wss, with a certificate created at the start.")
    ] = False,
    beyond_loopback: Annotated[
        bool,
        typer.Option(
            "--i-understand-that-this-listens-beyond-loopback",
            hidden=True,
            help="Allow a host that other machines can reach.",
        ),
    ] = False,
) -> None:
    """Run a sandbox for margin user data streams until Ctrl-C. It is not an exchange: no order reaches a market.

    It listens on loopback. A host that other machines can reach needs another option as well:
    --i-understand-that-this-listens-beyond-loopback
    """
    if context.invoked_subcommand is not None:
        return
    chosen_faults = () if faults is None else _parse_faults(faults)
    _check_positive(every)
    start_ms = None if start is None else _parse_start_time(start)
    try:
        if script is not None:
            read_script(script, OPERATIONS)
        sandbox = Sandbox(
            rules=ExchangeRules(retired_endpoints=retired_endpoints),
            host=host,
            port=port,
            speed=speed,
            seed=seed,
            start_ms=start_ms,
            tls=tls,
            i_understand_that_this_listens_beyond_loopback=beyond_loopback,
        ).start()
    except (OSError, ValueError) as error:
        raise CommandError(_describe_start_error(error, port), _FAILURE) from error
    with sandbox, _handle_signals() as end:
        messages = _start_faults(sandbox, chosen_faults, every, seed)
        program = context.command_path
        print(_format_banner(sandbox, program), *messages, "Press Ctrl-C to stop.", sep="\n", flush=True)
        script_thread = threading.Thread(target=_run_script, args=(sandbox, script), name="sandbox-script")
        script_thread.start()
        end.wait()
        sandbox.close()
        script_thread.join()
    print("The sandbox is closed.", flush=True)


def _describe_start_error(error: Exception, port: int) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: another sandbox may be running; pass another --port, or 0 for any free one"
    return str(error)


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


def _start_faults(sandbox: Sandbox, faults: Faults, every: float, seed: int | None) -> list[str]:
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


def _format_banner(sandbox: Sandbox, program: str) -> str:
    endpoints = sandbox.endpoints
    found = endpoints.rest == f"http://127.0.0.1:{DEFAULT_PORT}"
    where = "" if found else f"\n  export {URL_VARIABLE}={endpoints.rest}"
    trust = "" if sandbox.ca_file is None else f"\n  export SSL_CERT_FILE={sandbox.ca_file}"
    return f"""\
Sandbox for margin user data streams. This is not an exchange: no order reaches a market, no money moves.

  page            {endpoints.rest}/
  REST            {endpoints.rest}
  WebSocket API   {endpoints.websocket_api}
  streams         {endpoints.stream}
  risk stream     {endpoints.margin_stream}

The API key below is valid in this sandbox only. To use it in a shell:

  export BINANCE_API_KEY={sandbox.api_key}
  export BINANCE_API_SECRET={sandbox.api_secret}
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
