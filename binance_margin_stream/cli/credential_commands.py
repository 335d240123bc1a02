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
from binance_margin_stream.cli.credentials import api_key, listen_key
from binance_margin_stream.cli.errors import CommandError
from binance_margin_stream.cli.examples import examples_of
from binance_margin_stream.cli.exit_codes import ExitCode
from binance_margin_stream.cli.spinner import busy
from binance_margin_stream.cli.target import Exchange, chosen

__all__ = ["keys", "tokens"]

Kind = Literal["v2", "risk", "cross", "isolated"]

keys = typer.Typer(no_args_is_help=True, help="Create a listen key, keep it alive, close it.")
tokens = typer.Typer(no_args_is_help=True, help="Create a listen token.")

_OPERATIONS: dict[Kind, tuple[str, str]] = {
    "v2": ("MarginListenKeyApi", "sapi_v2_margin_listen_key"),
    "risk": ("RiskStreamApi", "sapi_v1_margin_listen_key"),
    "cross": ("MarginStreamApi", "sapi_v1_user_data_stream"),
    "isolated": ("IsolatedMarginStreamApi", "sapi_v1_user_data_stream_isolated"),
}
_INSTEAD = "use token create, or key create --kind v2"
_CLOSED_UNNAMED = ("v2", "risk")

KindOption = Annotated[
    Kind,
    typer.Option(
        "--kind",
        help="v2: orders and balances. risk: margin calls and liability changes. "
        "cross and isolated are retired: production has not had them since 2026-02-20.",
    ),
]
KeySymbol = Annotated[
    str | None, typer.Option("--isolated", "-i", metavar="SYMBOL", help="Of this isolated account; implies its kind.")
]
TokenSymbol = Annotated[
    str | None,
    typer.Option("--isolated", "-i", metavar="SYMBOL", help="Of this isolated account, not of the cross account."),
]
Show = Annotated[
    bool, typer.Option("--show", metavar="", help="Print it in full, and on standard output nothing else.")
]
ListenKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--listen-key-file",
        metavar="FILE",
        help="A file with the listen key, - for standard input. Without it: BINANCE_LISTEN_KEY.",
    ),
]


@keys.command(epilog=examples_of("key create"))
def create(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.KeyFile = None,
    api_secret_file: options.SecretFile = None,
    kind: KindOption = "v2",
    isolated: KeySymbol = None,
    show: Show = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Create a listen key, or get the one that the account has, for 60 minutes from now.

    Whoever holds it can read the account's events, from anywhere: it is masked unless --show.
    """
    exchange = chosen(production, sandbox, endpoint or ())
    auth = api_key(api_key_file, api_secret_file)
    answer = _called(exchange, auth, "post", *_kind_and_symbol(kind, isolated))
    _print_secret({"listenKey": answer.listen_key}, show, json)


@keys.command(epilog=examples_of("key keepalive"))
def keepalive(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.KeyFile = None,
    api_secret_file: options.SecretFile = None,
    kind: KindOption = "v2",
    isolated: KeySymbol = None,
    listen_key_file: ListenKeyFile = None,
    verbose: options.Verbose = False,
) -> None:
    """Let a listen key live for another 60 minutes from now; do so every 30 minutes."""
    exchange = chosen(production, sandbox, endpoint or ())
    auth = api_key(api_key_file, api_secret_file)
    key = listen_key(listen_key_file)
    _called(exchange, auth, "put", *_kind_and_symbol(kind, isolated), listen_key=key)
    typer.echo("alive for 60 minutes from now")


@keys.command(epilog=examples_of("key close"))
def close(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.KeyFile = None,
    api_secret_file: options.SecretFile = None,
    kind: KindOption = "v2",
    isolated: KeySymbol = None,
    listen_key_file: ListenKeyFile = None,
    verbose: options.Verbose = False,
) -> None:
    """End a listen key, for every client of the account: their streams fall silent without a word.

    The kinds v2 and risk need no listen key, as the account has but one. Closing the risk key weighs 3000.
    """
    exchange = chosen(production, sandbox, endpoint or ())
    auth = api_key(api_key_file, api_secret_file)
    kind, symbol = _kind_and_symbol(kind, isolated)
    named = {} if kind in _CLOSED_UNNAMED else {"listen_key": listen_key(listen_key_file)}
    _called(exchange, auth, "delete", kind, symbol, **named)
    typer.echo("closed, for every client of the account")


@tokens.command("create", epilog=examples_of("token create"))
def create_token(
    production: options.Production = False,
    sandbox: options.SandboxUrl = None,
    endpoint: options.EndpointUrls = None,
    api_key_file: options.KeyFile = None,
    api_secret_file: options.SecretFile = None,
    isolated: TokenSymbol = None,
    validity: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1, max=86_400, help="How long it lives; 24 hours by default.")
    ] = None,
    show: Show = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Create a listen token, to subscribe with on the WebSocket API.

    Whoever holds it can read the account's events, from anywhere: it is masked unless --show.
    """
    exchange = chosen(production, sandbox, endpoint or ())
    auth = api_key(api_key_file, api_secret_file)
    wanted: dict[str, object] = {} if isolated is None else {"is_isolated": True, "symbol": isolated}
    wanted |= {} if validity is None else {"validity": round(validity * 1000)}
    with _api(exchange, auth, "ListenTokenApi") as api:
        answer = api.sapi_v1_user_listen_token_post(**wanted)
    ends = datetime.fromtimestamp(answer.expiration_time / 1000, UTC)
    _print_secret({"token": answer.token, "expirationTime": answer.expiration_time}, show, json)
    _note(f"it ends at {ends:%Y-%m-%d %H:%M:%S} UTC")


def _kind_and_symbol(kind: Kind, symbol: str | None) -> tuple[Kind, str | None]:
    if symbol is not None and kind not in ("v2", "isolated"):
        raise CommandError(f"a listen key of kind {kind} has no symbol: leave out --isolated", ExitCode.USAGE)
    if symbol is None and kind == "isolated":
        raise CommandError("a listen key of kind isolated needs --isolated SYMBOL", ExitCode.USAGE)
    return ("isolated" if symbol is not None else kind), symbol


def _called(exchange: Exchange, auth: ApiKeyAuth, verb: str, kind: Kind, symbol: str | None, **more: str) -> Any:
    name, operation = _OPERATIONS[kind]
    arguments = more if symbol is None else {"symbol": symbol, **more}
    with _api(exchange, auth, name) as api:
        call: Callable[..., Any] = getattr(api, f"{operation}_{verb}")
        return call(**arguments)


@contextmanager
def _api(exchange: Exchange, auth: ApiKeyAuth, name: str) -> Iterator[Any]:
    """The API class of that name. Of a retired call it says so, whether the exchange still serves it or not."""
    with busy(f"Asking {exchange.name}"), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", DeprecationWarning)
        import binance_margin_stream as package

        with package.ApiClient(auth=auth, endpoints=exchange.endpoints) as client:
            try:
                yield getattr(package, name)(client)
            except package.EndpointRetiredError as error:
                said = f"{error.call}: the exchange has retired this call; {_INSTEAD} (HTTP {error.status})"
                raise CommandError(said, ExitCode.RETIRED) from error
    for warning in warned:
        _note(f"{warning.message} Production has retired it: {_INSTEAD}")


def _print_secret(answer: Mapping[str, str | int], show: bool, json: bool) -> None:
    """The secret is the first field; the others hold nothing that has to be hidden."""
    name, secret = next(iter(answer.items()))
    shown = secret if show else f"*** ({len(str(secret))} characters; --show prints it)"
    if json:
        typer.echo(json_text.dumps({**answer, name: secret if show else "***"}))
    else:
        typer.echo(shown if show else f"{name} {shown}")


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
