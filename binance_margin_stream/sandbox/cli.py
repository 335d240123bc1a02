"""``python -m binance_margin_stream.sandbox``: a sandbox exchange in a terminal."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from binance_margin_stream.sandbox import cli_options as options
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.control.client import DEFAULT_PORT, URL_VARIABLE, create_client_app
from binance_margin_stream.sandbox.control.script import read_script
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS
from binance_margin_stream.sandbox.key_file import read_key_file
from binance_margin_stream.sandbox.request_log import RequestPrinter
from binance_margin_stream.sandbox.sandbox import OPERATIONS, Sandbox
from binance_margin_stream.sandbox.server.address import is_loopback
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


class RandomFaults(NamedTuple):
    """The faults to inject."""

    names: options.Faults
    """Each with a probability, or None for random times."""
    every: float
    """The average time between faults at random times, in seconds."""
    seed: int | None


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


_EPILOG = f"{format_examples(_EXAMPLES)}\n\n[bold]Faults[/bold]\n\n{', '.join(NAMED_FAULTS)}"


@app.callback(epilog=_EPILOG)
def run_sandbox(
    context: typer.Context,
    host: options.Host = "127.0.0.1",
    port: options.Port = DEFAULT_PORT,
    retired_endpoints: options.RetiredEndpoints = "gone",
    speed: options.Speed = 1.0,
    start: options.Start = None,
    script: options.Script = None,
    faults: options.FaultNames = None,
    every: options.Every = 60.0,
    seed: options.Seed = None,
    persist: options.Persist = None,
    candles: options.Candles = None,
    log: options.Log = False,
    api_key_file: options.ApiKeyFile = None,
    allow_host: options.AllowHost = None,
    tls: options.Tls = False,
    beyond_loopback: options.BeyondLoopback = False,
) -> None:
    """Run a sandbox for margin user data streams until Ctrl-C. It is not an exchange: no order reaches a market.

    It listens on loopback. A host that other machines can reach needs another option as well:
    --i-understand-that-this-listens-beyond-loopback
    """
    if context.invoked_subcommand is not None:
        return
    random_faults = RandomFaults(() if faults is None else options.parse_faults(faults), every, seed)
    options.check_positive(every)
    candle_files = options.parse_candles(candles or ())
    start_ms = None if start is None else options.parse_start_time(start)
    printer = RequestPrinter(sys.stdout)
    try:
        _check_arguments(host, beyond_loopback, script)
        api_key, api_secret = (None, None) if api_key_file is None else read_key_file(api_key_file)
        sandbox = Sandbox(
            rules=ExchangeRules(retired_endpoints=retired_endpoints),
            host=host,
            port=port,
            speed=speed,
            seed=seed,
            start_ms=start_ms,
            tls=tls,
            api_key=api_key,
            api_secret=api_secret,
            allowed_hosts=allow_host or [],
            on_request=printer.add if log else None,
            persist=persist,
            i_understand_that_this_listens_beyond_loopback=beyond_loopback,
        ).start()
    except (OSError, ValueError) as error:
        raise CommandError(str(error), _FAILURE) from error
    with printer, sandbox:
        _play_candles(sandbox, candle_files)
        banner = _format_banner(sandbox, context.command_path, api_key_file)
        _run_until_signal(sandbox, banner, random_faults, script)


def _play_candles(sandbox: Sandbox, files: Sequence[tuple[str, str]]) -> None:
    for symbol, path in files:
        try:
            sandbox.play_candles(path, symbol)
        except (OSError, ValueError) as error:
            raise CommandError(f"--candles {symbol}={path}: {error}", _FAILURE) from error


def _check_arguments(host: str, beyond_loopback: bool, script: Path | None) -> None:
    if script is not None:
        read_script(script, OPERATIONS)
    if not beyond_loopback and not is_loopback(host):
        raise ValueError(f"the sandbox listens on loopback only, not on {host}; {options.BEYOND_LOOPBACK} allows it")


def _run_until_signal(sandbox: Sandbox, banner: str, faults: RandomFaults, script: Path | None) -> None:
    with _handle_signals() as end:
        messages = _start_faults(sandbox, faults)
        print(banner, *messages, "Press Ctrl-C to stop.", sep="\n", flush=True)
        script_thread = threading.Thread(target=_run_script, args=(sandbox, script), name="sandbox-script")
        script_thread.start()
        end.wait()
        sandbox.close()
        script_thread.join()
    print("The sandbox is closed.", flush=True)


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


def _start_faults(sandbox: Sandbox, faults: RandomFaults) -> list[str]:
    """Inject the faults that have a probability, start the others at random; returns messages about both."""
    messages = []
    for name, probability in faults.names:
        if probability is not None:
            sandbox.inject_fault(name, times=None, probability=probability)
            messages.append(f"Fault {name}, with probability {probability}.")
    at_random = [name for name, probability in faults.names if probability is None]
    if at_random:
        seed = secrets.randbelow(2**32) if faults.seed is None else faults.seed
        sandbox.start_random_faults(seed, faults.every, at_random)
        messages.append(f"Random faults about every {faults.every:g} s, from seed {seed}: {', '.join(at_random)}.")
    return [*messages, ""] if messages else []


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
