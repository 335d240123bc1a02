"""The commands for single REST calls: listen keys and listen tokens."""

from __future__ import annotations

import json as json_text
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from binance_margin_stream.cli.credentials import load_listen_key
from binance_margin_stream.cli.examples import format_examples
from binance_margin_stream.cli.options import ConnectionOptions, Json, Verbose, with_connection_options
from binance_margin_stream.cli.runner import CommandError, ExitCode
from binance_margin_stream.cli.spinner import show_spinner
from binance_margin_stream.terminal.help_pages import Command, Group
from binance_margin_stream.terminal.program import show_help

__all__ = ["key_commands", "token_commands"]

KeyKindChoice = Literal["v2", "uta", "risk", "cross", "isolated"]

key_commands = typer.Typer(
    cls=Group, callback=show_help, invoke_without_command=True, help="Create, keep alive and close a listen key."
)
token_commands = typer.Typer(cls=Group, callback=show_help, invoke_without_command=True, help="Create a listen token.")

_API_METHODS: dict[KeyKindChoice, tuple[str, str]] = {
    "v2": ("MarginListenKeyApi", "sapi_v2_margin_listen_key"),
    "uta": ("UtaListenKeyApi", "sapi_v2_margin_uta_listen_key"),
    "risk": ("RiskStreamApi", "sapi_v1_margin_listen_key"),
    "cross": ("MarginStreamApi", "sapi_v1_user_data_stream"),
    "isolated": ("IsolatedMarginStreamApi", "sapi_v1_user_data_stream_isolated"),
}
_REPLACEMENT_HINT = "use token create, or key create --kind v2"
_KINDS_CLOSED_WITHOUT_KEY = ("v2", "uta", "risk")

KindOption = Annotated[
    KeyKindChoice,
    typer.Option(
        "--kind",
        help="v2: orders and balances. uta: those of a unified account. risk: margin calls and liability changes. "
        "cross and isolated are retired: production removed them on 2026-02-20.",
    ),
]
KeySymbolOption = Annotated[
    str | None,
    typer.Option("--isolated", "-i", metavar="SYMBOL", help="For this isolated account; implies --kind isolated."),
]
TokenSymbolOption = Annotated[
    str | None,
    typer.Option("--isolated", "-i", metavar="SYMBOL", help="For this isolated account instead of the cross account."),
]
ShowOption = Annotated[bool, typer.Option("--show", help="Print it in full, and nothing else on standard output.")]
ListenKeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--listen-key-file",
        metavar="FILE",
        help="A file with the listen key, - for standard input. Default: BINANCE_LISTEN_KEY.",
    ),
]


@key_commands.command(cls=Command, epilog=format_examples("key create"))
@with_connection_options
def create(
    connection: ConnectionOptions,
    kind: KindOption = "v2",
    isolated: KeySymbolOption = None,
    show: ShowOption = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Create a listen key, or get the account's existing one, valid for 60 minutes from now.

    Anyone who has it can read the events of the account. It is masked without --show.
    """
    response = _call_method(connection, "post", *_resolve_kind(kind, isolated))
    _print_secret({"listenKey": response.listen_key}, show, json)


@key_commands.command(cls=Command, epilog=format_examples("key keepalive"))
@with_connection_options
def keepalive(
    connection: ConnectionOptions,
    kind: KindOption = "v2",
    isolated: KeySymbolOption = None,
    listen_key_file: ListenKeyFileOption = None,
    verbose: Verbose = False,
) -> None:
    """Extend a listen key to 60 minutes from now. Repeat this every 30 minutes."""
    key = load_listen_key(listen_key_file)
    _call_method(connection, "put", *_resolve_kind(kind, isolated), listen_key=key)
    typer.echo("valid for 60 minutes from now")


@key_commands.command(cls=Command, epilog=format_examples("key close"))
@with_connection_options
def close(
    connection: ConnectionOptions,
    kind: KindOption = "v2",
    isolated: KeySymbolOption = None,
    listen_key_file: ListenKeyFileOption = None,
    verbose: Verbose = False,
) -> None:
    """Close a listen key for all clients of the account. Their streams stop without a notice.

    The kinds v2, uta and risk need no listen key: an account has only one. Closing the risk key has a weight of 3000.
    """
    kind, symbol = _resolve_kind(kind, isolated)
    arguments = {} if kind in _KINDS_CLOSED_WITHOUT_KEY else {"listen_key": load_listen_key(listen_key_file)}
    _call_method(connection, "delete", kind, symbol, **arguments)
    typer.echo("closed for all clients of the account")


@token_commands.command("create", cls=Command, epilog=format_examples("token create"))
@with_connection_options
def create_token(
    connection: ConnectionOptions,
    isolated: TokenSymbolOption = None,
    validity: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1, max=86_400, help="How long it is valid. Default: 24 hours."),
    ] = None,
    show: ShowOption = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Create a listen token, for a subscription on the WebSocket API.

    Anyone who has it can read the events of the account. It is masked without --show.
    """
    arguments: dict[str, object] = {} if isolated is None else {"is_isolated": True, "symbol": isolated}
    arguments |= {} if validity is None else {"validity": round(validity * 1000)}
    with _open_api(connection, "ListenTokenApi") as api:
        response = api.sapi_v1_user_listen_token_post(**arguments)
    ends = datetime.fromtimestamp(response.expiration_time / 1000, UTC)
    _print_secret({"token": response.token, "expirationTime": response.expiration_time}, show, json)
    _print_note(f"valid until {ends:%Y-%m-%d %H:%M:%S} UTC")


def _resolve_kind(kind: KeyKindChoice, symbol: str | None) -> tuple[KeyKindChoice, str | None]:
    if symbol is not None and kind not in ("v2", "isolated"):
        raise CommandError(f"a listen key of kind {kind} has no symbol: remove --isolated", ExitCode.USAGE)
    if symbol is None and kind == "isolated":
        raise CommandError("a listen key of kind isolated needs --isolated SYMBOL", ExitCode.USAGE)
    return ("isolated" if symbol is not None else kind), symbol


def _call_method(
    connection: ConnectionOptions, verb: str, kind: KeyKindChoice, symbol: str | None, **arguments: str
) -> Any:
    name, operation = _API_METHODS[kind]
    arguments = arguments if symbol is None else {"symbol": symbol, **arguments}
    with _open_api(connection, name) as api:
        call: Callable[..., Any] = getattr(api, f"{operation}_{verb}")
        return call(**arguments)


@contextmanager
def _open_api(connection: ConnectionOptions, name: str) -> Iterator[Any]:
    """Open the API class of that name. Reports a retired call, also if the exchange still serves it."""
    target, auth = connection.select_target(), connection.load_api_key()
    with show_spinner(f"Requesting {target.name}"), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", DeprecationWarning)
        from binance_margin_stream import api
        from binance_margin_stream.cli.proxies import check_proxies, describe_proxies
        from binance_margin_stream.exceptions import EndpointRetiredError, TransportError
        from binance_margin_stream.http.client import ApiClient

        proxies = check_proxies(target.endpoints)
        with ApiClient(auth=auth, endpoints=target.endpoints) as client:
            try:
                yield getattr(api, name)(client)
            except EndpointRetiredError as error:
                message = f"{error.call}: the exchange has retired this call; {_REPLACEMENT_HINT} (HTTP {error.status})"
                raise CommandError(message, ExitCode.RETIRED) from error
            except TransportError as error:
                if error.kind != "proxy" or not proxies:
                    raise
                message = f"{error}; it is the proxy {describe_proxies(proxies)}: see doctor"
                raise CommandError(message, ExitCode.UNREACHABLE) from error
    for warning in warned:
        _print_note(f"{warning.message} Production has retired it: {_REPLACEMENT_HINT}")


def _print_secret(fields: Mapping[str, str | int], show: bool, json: bool) -> None:
    """Print a response. Its first field is the secret, the others may be shown."""
    name, secret = next(iter(fields.items()))
    shown = secret if show else f"*** ({len(str(secret))} characters; --show prints it)"
    if json:
        typer.echo(json_text.dumps({**fields, name: secret if show else "***"}))
    else:
        typer.echo(shown if show else f"{name} {shown}")


def _print_note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
