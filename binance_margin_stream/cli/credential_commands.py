"""The single calls: listen keys and listen tokens."""

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

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.cli import options
from binance_margin_stream.cli.credentials import load_api_key, load_listen_key
from binance_margin_stream.cli.errors import CommandError
from binance_margin_stream.cli.examples import format_examples
from binance_margin_stream.cli.exit_codes import ExitCode
from binance_margin_stream.cli.spinner import show_spinner
from binance_margin_stream.cli.target import Target, select_target

__all__ = ["key_commands", "token_commands"]

KeyKindChoice = Literal["v2", "risk", "cross", "isolated"]

key_commands = typer.Typer(no_args_is_help=True, help="Create a listen key, keep it alive, close it.")
token_commands = typer.Typer(no_args_is_help=True, help="Create a listen token.")

_API_METHODS: dict[KeyKindChoice, tuple[str, str]] = {
    "v2": ("MarginListenKeyApi", "sapi_v2_margin_listen_key"),
    "risk": ("RiskStreamApi", "sapi_v1_margin_listen_key"),
    "cross": ("MarginStreamApi", "sapi_v1_user_data_stream"),
    "isolated": ("IsolatedMarginStreamApi", "sapi_v1_user_data_stream_isolated"),
}
_REPLACEMENT_HINT = "use token create, or key create --kind v2"
_KINDS_CLOSED_WITHOUT_KEY = ("v2", "risk")

KindOption = Annotated[
    KeyKindChoice,
    typer.Option(
        "--kind",
        help="v2: orders and balances. risk: margin calls and liability changes. "
        "cross and isolated are retired: production has not had them since 2026-02-20.",
    ),
]
KeySymbolOption = Annotated[
    str | None, typer.Option("--isolated", "-i", metavar="SYMBOL", help="Of this isolated account; implies its kind.")
]
TokenSymbolOption = Annotated[
    str | None,
    typer.Option("--isolated", "-i", metavar="SYMBOL", help="Of this isolated account, not of the cross account."),
]
ShowOption = Annotated[
    bool, typer.Option("--show", metavar="", help="Print it in full, and on standard output nothing else.")
]
ListenKeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--listen-key-file",
        metavar="FILE",
        help="A file with the listen key, - for standard input. Without it: BINANCE_LISTEN_KEY.",
    ),
]


@key_commands.command(epilog=format_examples("key create"))
def create(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.ApiKeyFile = None,
    api_secret_file: options.ApiSecretFile = None,
    kind: KindOption = "v2",
    isolated: KeySymbolOption = None,
    show: ShowOption = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Create a listen key, or get the one that the account has, for 60 minutes from now.

    Whoever holds it can read the account's events, from anywhere: it is masked unless --show.
    """
    target = select_target(production, sandbox, endpoint or ())
    auth = load_api_key(api_key_file, api_secret_file)
    response = _call_method(target, auth, "post", *_resolve_kind(kind, isolated))
    _print_secret({"listenKey": response.listen_key}, show, json)


@key_commands.command(epilog=format_examples("key keepalive"))
def keepalive(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.ApiKeyFile = None,
    api_secret_file: options.ApiSecretFile = None,
    kind: KindOption = "v2",
    isolated: KeySymbolOption = None,
    listen_key_file: ListenKeyFileOption = None,
    verbose: options.Verbose = False,
) -> None:
    """Let a listen key live for another 60 minutes from now; do so every 30 minutes."""
    target = select_target(production, sandbox, endpoint or ())
    auth = load_api_key(api_key_file, api_secret_file)
    key = load_listen_key(listen_key_file)
    _call_method(target, auth, "put", *_resolve_kind(kind, isolated), listen_key=key)
    typer.echo("alive for 60 minutes from now")


@key_commands.command(epilog=format_examples("key close"))
def close(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.ApiKeyFile = None,
    api_secret_file: options.ApiSecretFile = None,
    kind: KindOption = "v2",
    isolated: KeySymbolOption = None,
    listen_key_file: ListenKeyFileOption = None,
    verbose: options.Verbose = False,
) -> None:
    """End a listen key, for every client of the account: their streams fall silent without a word.

    The kinds v2 and risk need no listen key, as the account has but one. Closing the risk key weighs 3000.
    """
    target = select_target(production, sandbox, endpoint or ())
    auth = load_api_key(api_key_file, api_secret_file)
    kind, symbol = _resolve_kind(kind, isolated)
    arguments = {} if kind in _KINDS_CLOSED_WITHOUT_KEY else {"listen_key": load_listen_key(listen_key_file)}
    _call_method(target, auth, "delete", kind, symbol, **arguments)
    typer.echo("closed, for every client of the account")


@token_commands.command("create", epilog=format_examples("token create"))
def create_token(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.ApiKeyFile = None,
    api_secret_file: options.ApiSecretFile = None,
    isolated: TokenSymbolOption = None,
    validity: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1, max=86_400, help="How long it lives; 24 hours by default.")
    ] = None,
    show: ShowOption = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Create a listen token, to subscribe with on the WebSocket API.

    Whoever holds it can read the account's events, from anywhere: it is masked unless --show.
    """
    target = select_target(production, sandbox, endpoint or ())
    auth = load_api_key(api_key_file, api_secret_file)
    arguments: dict[str, object] = {} if isolated is None else {"is_isolated": True, "symbol": isolated}
    arguments |= {} if validity is None else {"validity": round(validity * 1000)}
    with _open_api(target, auth, "ListenTokenApi") as api:
        response = api.sapi_v1_user_listen_token_post(**arguments)
    ends = datetime.fromtimestamp(response.expiration_time / 1000, UTC)
    _print_secret({"token": response.token, "expirationTime": response.expiration_time}, show, json)
    _print_note(f"it ends at {ends:%Y-%m-%d %H:%M:%S} UTC")


def _resolve_kind(kind: KeyKindChoice, symbol: str | None) -> tuple[KeyKindChoice, str | None]:
    if symbol is not None and kind not in ("v2", "isolated"):
        raise CommandError(f"a listen key of kind {kind} has no symbol: leave out --isolated", ExitCode.USAGE)
    if symbol is None and kind == "isolated":
        raise CommandError("a listen key of kind isolated needs --isolated SYMBOL", ExitCode.USAGE)
    return ("isolated" if symbol is not None else kind), symbol


def _call_method(
    target: Target, auth: ApiKeyAuth, verb: str, kind: KeyKindChoice, symbol: str | None, **arguments: str
) -> Any:
    name, operation = _API_METHODS[kind]
    arguments = arguments if symbol is None else {"symbol": symbol, **arguments}
    with _open_api(target, auth, name) as api:
        call: Callable[..., Any] = getattr(api, f"{operation}_{verb}")
        return call(**arguments)


@contextmanager
def _open_api(target: Target, auth: ApiKeyAuth, name: str) -> Iterator[Any]:
    """The API class of that name. Of a retired call it says so, whether the exchange still serves it or not."""
    with show_spinner(f"Asking {target.name}"), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", DeprecationWarning)
        import binance_margin_stream as package

        with package.ApiClient(auth=auth, endpoints=target.endpoints) as client:
            try:
                yield getattr(package, name)(client)
            except package.EndpointRetiredError as error:
                message = f"{error.call}: the exchange has retired this call; {_REPLACEMENT_HINT} (HTTP {error.status})"
                raise CommandError(message, ExitCode.RETIRED) from error
    for warning in warned:
        _print_note(f"{warning.message} Production has retired it: {_REPLACEMENT_HINT}")


def _print_secret(fields: Mapping[str, str | int], show: bool, json: bool) -> None:
    """The secret is the first field; the others hold nothing that has to be hidden."""
    name, secret = next(iter(fields.items()))
    shown = secret if show else f"*** ({len(str(secret))} characters; --show prints it)"
    if json:
        typer.echo(json_text.dumps({**fields, name: secret if show else "***"}))
    else:
        typer.echo(shown if show else f"{name} {shown}")


def _print_note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
