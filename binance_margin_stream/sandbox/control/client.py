"""``… sandbox do place-order``: send an operation to a running sandbox from another terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence

import urllib3

from binance_margin_stream.sandbox.control.operation_schema import OperationParameter
from binance_margin_stream.sandbox.control.operations import OperationTable

__all__ = ["DEFAULT_PORT", "URL_VARIABLE", "run_client"]

DEFAULT_PORT = 8650
"""Default port of the sandbox and of this client, so that neither needs an option."""

URL_VARIABLE = "BINANCE_SANDBOX_URL"
"""Environment variable with the URL of the running sandbox."""

_TIMEOUT_SECONDS = 10.0

_EXAMPLES = """\
examples:
  do state                                              accounts, orders, connections, keys, faults, last events
  do place-order --symbol ETHUSDT --side SELL --quantity 0.5 --price 3500
  do fill-order --quantity 0.2                          fill a part of the newest open order
  do borrow --asset BTC --amount 0.5
  do set-price --symbol BTCUSDT --price 45000           fills orders and changes margin levels
  do inject-fault --fault drop                          close every open connection
  do inject-fault --fault server-error --times null     until: do clear-faults
  do start-random-faults --seed 7 --every-seconds 30    until: do stop-random-faults
  do advance-time --seconds 3600
"""


class _ControlClientError(Exception):
    """The sandbox was not reached, or refused the operation; the message says why."""


def run_client(arguments: Sequence[str], program: str, operations: OperationTable) -> int:
    """Run one operation, print its result as JSON, and return the exit status."""
    given = vars(_create_parser(program, operations).parse_args(arguments))
    url, name = str(given.pop("url")), str(given.pop("operation"))
    try:
        response = _send_request(
            url.rstrip("/"), name, {key: value for key, value in given.items() if value is not None}
        )
    except _ControlClientError as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    try:
        print(json.dumps(response, indent=2, ensure_ascii=False), flush=True)
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe; Python must not try to flush it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _send_request(url: str, name: str, given: Mapping[str, object]) -> object:
    method, body = ("GET", None) if name == "state" else ("POST", given)
    try:
        response = urllib3.request(
            method, f"{url}/sandbox/{name}", json=body, timeout=_TIMEOUT_SECONDS, retries=False, redirect=False
        )
        read = json.loads(response.data)
    except urllib3.exceptions.HTTPError:
        raise _ControlClientError(f"no sandbox responds at {url}; set --url or {URL_VARIABLE} to its address") from None
    except ValueError:
        raise _ControlClientError(f"the server at {url} is not a sandbox") from None
    if not isinstance(read, dict):
        raise _ControlClientError(f"the server at {url} is not a sandbox")
    if response.status != 200:
        raise _ControlClientError(str(read.get("error", f"the server at {url} is not a sandbox")))
    return read if name == "state" else read.get("result")


def _create_parser(program: str, operations: OperationTable) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program} do",
        description="Send an operation to a running sandbox. Each operation has its own --help.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    url = os.environ.get(URL_VARIABLE, f"http://127.0.0.1:{DEFAULT_PORT}")
    parser.add_argument("--url", default=url, help=f"URL of the sandbox, or set {URL_VARIABLE} (%(default)s)")
    names = parser.add_subparsers(dest="operation", metavar="OPERATION", required=True)
    names.add_parser("state", help="Show the state of the sandbox, with secrets masked.", allow_abbrev=False)
    for each in operations.all():
        one = names.add_parser(each.name, help=each.summary, description=each.summary, allow_abbrev=False)
        for parameter in each.parameters:
            _add_argument(one, parameter)
    return parser


def _add_argument(parser: argparse.ArgumentParser, parameter: OperationParameter) -> None:
    choices = f": {', '.join(parameter.choices)}" if parameter.choices else ""
    default = "" if parameter.default is None else f" ({parameter.default})"
    parser.add_argument(
        f"--{parameter.name.replace('_', '-')}",
        dest=parameter.name,
        required=parameter.required,
        choices=parameter.choices or None,
        metavar=parameter.kind.upper(),
        help=parameter.description + choices + default,
    )
