"""The commands and their options. The code of a command is imported when it runs, so that help is fast."""

from __future__ import annotations

from typing import Annotated

import typer

from binance_margin_stream._version import __version__
from binance_margin_stream.cli.credential_commands import key_commands, token_commands
from binance_margin_stream.cli.examples import format_examples
from binance_margin_stream.cli.options import ConnectionOptions, Json, Verbose, with_connection_options, with_options
from binance_margin_stream.cli.relay.options import RelayCommandOptions
from binance_margin_stream.cli.runner import ExitCode
from binance_margin_stream.terminal.help_pages import Command, Group
from binance_margin_stream.terminal.program import require_extra, show_help

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.add_typer(key_commands, name="key")
app.add_typer(token_commands, name="token")


def _print_version(enabled: bool) -> None:
    if enabled:
        typer.echo(f"binance-margin-stream {__version__}")
        raise typer.Exit


@app.callback(epilog=format_examples(""))
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Follow the events of Binance margin accounts, and check an API key and its connection.

    API keys are read from the environment or from files, never from the command line.
    """
    show_help(context)


_EXIT_CODE_TABLE = "\n".join(f"  {code.value:>2}  {code.meaning:<59}{code.restart}" for code in ExitCode)


@app.command(
    cls=Command,
    epilog=f"{format_examples('listen')}\n\n[bold]Exit codes[/bold], and when to restart\n{_EXIT_CODE_TABLE}",
)
@with_connection_options
def listen(
    connection: ConnectionOptions,
    cross: Annotated[
        bool, typer.Option("--cross/--no-cross", show_default=False, help="Follow the cross account. Default: yes.")
    ] = True,
    isolated: Annotated[
        list[str] | None,
        typer.Option("--isolated", "-i", metavar="SYMBOL", help="Also follow this isolated account. Repeatable."),
    ] = None,
    risk: Annotated[
        bool, typer.Option("--risk", help="Margin calls and liability changes of the cross account.")
    ] = False,
    source: Annotated[
        str,
        typer.Option(
            metavar="SOURCE", help="Stream source: auto takes the first of token, listen-key-v2 that is not retired."
        ),
    ] = "auto",
    json: Json = False,
    exit_on_gap: Annotated[
        bool,
        typer.Option(
            "--exit-on-gap",
            help="Exit with code 80 after printing the first gap. Events since its 'since' may be missing: "
            "compare with a snapshot, then restart.",
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=1, help="End when the accounts were not live for this long. Default: never."
        ),
    ] = None,
    verbose: Verbose = False,
) -> int:
    """Follow accounts until interrupted: a live table, or one JSON object per line in a pipe.

    There is no default exchange, so that nobody follows the wrong one by mistake.

    Ctrl-C and SIGTERM end it within five seconds. Listen keys are left to expire, as other programs may use them.
    """
    target, auth = connection.select_target(), connection.load_api_key()
    from binance_margin_stream.cli.listen.command import ListenOptions, run_listen

    listen_options = ListenOptions(
        cross=cross,
        symbols=tuple(isolated or ()),
        risk=risk,
        source=source,
        json=json,
        exit_on_gap=exit_on_gap,
        timeout=timeout,
    )
    return run_listen(listen_options, auth, target)


@app.command(cls=Command, epilog=format_examples("doctor"))
@with_connection_options
def doctor(
    connection: ConnectionOptions,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="The longest wait for each response.")
    ] = 5.0,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Find out what is wrong and what to do: key, clock, DNS, TLS, proxy, blocks, sources, permissions, limits.

    It creates a listen token that is valid for a minute, and the account's listen keys, which are valid for an hour.
    It deletes nothing.

    Exit code 0: no problems found. 1: there is a problem to solve.
    """
    from binance_margin_stream.cli.doctor.command import run_doctor

    return run_doctor(connection, timeout=timeout, json=json)


@app.command(
    cls=Command, add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def sandbox(context: typer.Context) -> int:
    """Run a sandbox exchange on this machine until Ctrl-C. It prints how to connect."""
    with require_extra("cli,sandbox"):
        from binance_margin_stream.sandbox.cli import main
    return main(context.args, context.command_path)


@app.command(cls=Command, epilog=format_examples("relay"))
@with_options(ConnectionOptions, RelayCommandOptions)
def relay(connection: ConnectionOptions, options: RelayCommandOptions, verbose: Verbose = False) -> int:
    """Store the events of accounts in NATS JetStream, with other relays of the same accounts, until SIGTERM.

    Each event is stored once, whichever relay receives it. A time that no relay covered is stored as one gap.

    It serves /health and /metrics, and logs JSON lines to standard error. SIGTERM ends it when everything that it
    received is stored, within 25 seconds; what cannot be stored waits in the directory of --spool.
    """
    from binance_margin_stream.cli.relay.command import run_relay

    return run_relay(connection, options, verbose=verbose)


@app.command(cls=Command, epilog=format_examples("demo"))
def demo(verbose: Verbose = False) -> int:
    """Show everything in half a minute, against a sandbox inside this program."""
    from binance_margin_stream.demo import main

    return main()
