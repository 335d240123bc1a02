"""``… sandbox do place-order``: send an operation to a running sandbox from another terminal."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import typer
import urllib3

from binance_margin_stream.sandbox.control.operation_schema import OperationParameter
from binance_margin_stream.sandbox.control.operations import Operation, OperationTable
from binance_margin_stream.terminal.help_pages import Command, Group, format_examples
from binance_margin_stream.terminal.program import CommandError, show_help
from binance_margin_stream.terminal.streams import encodes_unicode

__all__ = ["DEFAULT_PORT", "URL_VARIABLE", "create_client_app"]

DEFAULT_PORT = 8650
"""Default port of the sandbox and of this client, so that neither needs an option."""

URL_VARIABLE = "BINANCE_SANDBOX_URL"
"""Environment variable with the URL of the running sandbox."""

_TIMEOUT_SECONDS = 10.0
_FAILURE = 1

_EXAMPLES = (
    ("accounts, orders, connections, keys, faults, last events", "do state"),
    ("a limit order", "do place-order --symbol ETHUSDT --side SELL --quantity 0.5 --price 3500"),
    ("fill a part of the newest open order", "do fill-order --quantity 0.2"),
    ("borrow, with an event", "do borrow --asset BTC --amount 0.5"),
    ("fill orders, and change margin levels", "do set-price --symbol BTCUSDT --price 45000"),
    ("close every open connection", "do inject-fault --fault drop"),
    ("until: do clear-faults", "do inject-fault --fault server-error --times null"),
    ("until: do stop-random-faults", "do start-random-faults --seed 7 --every-seconds 30"),
    ("an hour later", "do advance-time --seconds 3600"),
)


def create_client_app(operations: OperationTable) -> typer.Typer:
    """Return the command `do`, with one command for each operation."""
    app = typer.Typer(cls=Group, invoke_without_command=True, epilog=format_examples(_EXAMPLES, "sandbox "))

    @app.callback()
    def do(
        context: typer.Context,
        url: Annotated[
            str, typer.Option(metavar="URL", envvar=URL_VARIABLE, help="URL of the sandbox.")
        ] = f"http://127.0.0.1:{DEFAULT_PORT}",
    ) -> None:
        """Send an operation to a running sandbox. Each operation has its own --help."""
        show_help(context)

    @app.command(cls=Command)
    def state(context: typer.Context) -> None:
        """Show the state of the sandbox, with secrets masked."""
        _run_operation(context, "state", {})

    for operation in operations.all():
        app.command(operation.name, cls=Command, help=operation.summary)(_create_command(operation))
    return app


def _create_command(operation: Operation) -> Callable[..., None]:
    def command(context: typer.Context, **given: str | None) -> None:
        _run_operation(context, operation.name, {key: value for key, value in given.items() if value is not None})

    option = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("context", option, annotation=typer.Context)
    parameters = [context, *map(_create_option, operation.parameters)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _create_option(parameter: OperationParameter) -> inspect.Parameter:
    choices = f": {', '.join(parameter.choices)}" if parameter.choices else ""
    default = "" if parameter.default is None else f" [default: {parameter.default}]"
    text = typer.Option(metavar=parameter.kind.upper(), help=f"{parameter.description}{choices}{default}")
    kind: Any = Literal[parameter.choices] if parameter.choices else str
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if parameter.required else None,
        annotation=Annotated[kind if parameter.required else kind | None, text],
    )


def _run_operation(context: typer.Context, name: str, given: Mapping[str, object]) -> None:
    """Send the operation and print its result as JSON."""
    url = str((context.parent or context).params["url"])
    result = _send_request(url.rstrip("/"), name, given)
    typer.echo(json.dumps(result, indent=2, ensure_ascii=not encodes_unicode(sys.stdout)))


def _send_request(url: str, name: str, given: Mapping[str, object]) -> object:
    method, body = ("GET", None) if name == "state" else ("POST", given)
    try:
        response = urllib3.request(
            method, f"{url}/sandbox/{name}", json=body, timeout=_TIMEOUT_SECONDS, retries=False, redirect=False
        )
        read = json.loads(response.data)
    except urllib3.exceptions.HTTPError:
        raise CommandError(
            f"no sandbox responds at {url}; set --url or {URL_VARIABLE} to its address", _FAILURE
        ) from None
    except ValueError:
        raise CommandError(f"the server at {url} is not a sandbox", _FAILURE) from None
    if not isinstance(read, dict):
        raise CommandError(f"the server at {url} is not a sandbox", _FAILURE)
    if response.status != 200:
        raise CommandError(str(read.get("error", f"the server at {url} is not a sandbox")), _FAILURE)
    return read if name == "state" else read.get("result")
