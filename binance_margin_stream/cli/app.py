"""The commands and their options. What a command does is imported when it runs, so that help is quick."""

from __future__ import annotations

from typing import Annotated

import typer

import binance_margin_stream
from binance_margin_stream.cli import options
from binance_margin_stream.cli.credential_commands import key_commands, token_commands
from binance_margin_stream.cli.credentials import load_api_key
from binance_margin_stream.cli.errors import require_extra
from binance_margin_stream.cli.examples import format_examples
from binance_margin_stream.cli.exit_codes import ExitCode
from binance_margin_stream.cli.target import select_target

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.add_typer(key_commands, name="key")
app.add_typer(token_commands, name="token")


def _print_version(enabled: bool) -> None:
    if enabled:
        typer.echo(f"binance-margin-stream {binance_margin_stream.__version__}")
        raise typer.Exit


@app.callback(epilog=format_examples(""))
def root(
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Follow the events of Binance margin accounts, and see what is wrong before money is at stake.

    Keys come from the environment or from files, never from the command line.
    """


_EXIT_CODE_TABLE = "\n".join(f"  {code.value:>2}  {code.meaning:<55}{code.restart}" for code in ExitCode)


@app.command(
    epilog=f"{format_examples('listen')}\n\n[bold]Exit codes[/bold], and when to start again\n{_EXIT_CODE_TABLE}"
)
def listen(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.ApiKeyFile = None,
    api_secret_file: options.ApiSecretFile = None,
    cross: Annotated[bool, typer.Option("--cross/--no-cross", metavar="", help="Follow the cross account.")] = True,
    isolated: Annotated[
        list[str] | None,
        typer.Option("--isolated", "-i", metavar="SYMBOL", help="Follow an isolated account, too. Repeatable."),
    ] = None,
    risk: Annotated[
        bool, typer.Option("--risk", metavar="", help="Margin calls and liability changes of the cross account.")
    ] = False,
    source: Annotated[
        str,
        typer.Option(
            metavar="WAY", help="The way in: auto takes the first that is not retired of token, listen-key-v2."
        ),
    ] = "auto",
    json: options.Json = False,
    exit_on_gap: Annotated[
        bool,
        typer.Option(
            "--exit-on-gap",
            metavar="",
            help="End with exit code 80 at the first gap, after printing it: events since its 'since' may be missing, "
            "so compare with a snapshot, and start again.",
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=1,
            help="End when the accounts could not be followed for so long. Without it, it tries for ever.",
        ),
    ] = None,
    verbose: options.Verbose = False,
) -> int:
    """Follow accounts until told to stop: a live table, or one JSON object a line when piped.

    There is no default exchange: nobody follows the real account by mistake, or only believes to.

    Ctrl-C and SIGTERM end it within five seconds. Listen keys are left to expire, as others may use them.
    """
    target = select_target(production, sandbox, endpoint or ())
    auth = load_api_key(api_key_file, api_secret_file)
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


@app.command(epilog=format_examples("doctor"))
def doctor(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.ApiKeyFile = None,
    api_secret_file: options.ApiSecretFile = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="The longest wait for each answer.")
    ] = 5.0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Say what is wrong, and what to do: key, clock, DNS, TLS, proxy, blocks, ways in, permissions, limits.

    It makes a token for a minute, and has the account's listen keys live for an hour. It deletes nothing.

    Exit code 0: all is well. 1: there is something to do.
    """
    target = select_target(production, sandbox, endpoint or ())
    from binance_margin_stream.cli.doctor.command import run_doctor

    return run_doctor(target, api_key_file, api_secret_file, timeout=timeout, json=json)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def sandbox(context: typer.Context) -> int:
    """Run an exchange of your own on this machine, until Ctrl-C. It prints what to paste."""
    with require_extra("sandbox"):
        from binance_margin_stream.sandbox.cli import main
    return main(context.args, context.command_path)


@app.command(epilog=format_examples("demo"))
def demo(verbose: options.Verbose = False) -> int:
    """See all of it work in half a minute, against a sandbox inside: what `make demo` runs."""
    from binance_margin_stream.demo import main

    return main()
