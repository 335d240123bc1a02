"""``… sandbox do place-order``: drive a running sandbox from another terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence

import urllib3

from binance_margin_stream.sandbox.control.operation_schema import OperationParameter
from binance_margin_stream.sandbox.control.operations import get_operations

__all__ = ["DEFAULT_PORT", "URL_VARIABLE", "run_client"]

DEFAULT_PORT = 8650
"""Where a sandbox listens unless it is told otherwise, so that the two terminals need not agree on anything."""

URL_VARIABLE = "BINANCE_SANDBOX_URL"
"""Environment variable that names the sandbox to drive."""

_TIMEOUT_SECONDS = 10.0

_EXAMPLES = """\
examples:
  do state                                          accounts, orders, connections, keys, faults, last events
  do place-order --symbol ETHUSDT --side SELL --quantity 0.5 --price 3500
  do fill-order --quantity 0.2                      fills a part of the youngest open order
  do borrow --asset BTC --amount 0.5
  do set-price --symbol BTCUSDT --price 45000       orders fill, margin levels and their calls follow
  do inject-fault --fault drop                              ends every open connection
  do inject-fault --fault server-error --times null         until: do clear-faults
  do start-random-faults --seed 7 --every-seconds 30            random faults, until: do stop-random-faults
  do advance-time --seconds 3600
"""


class _ControlClientError(Exception):
    """The sandbox was not reached, or refused; the text says why."""


def run_client(arguments: Sequence[str], program: str) -> int:
    """Do one operation, print what it answers as JSON, and return the exit status."""
    given = vars(_create_parser(program).parse_args(arguments))
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
        # Whoever reads it, such as `head`, has seen enough; nothing is left to flush when the program ends.
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
        raise _ControlClientError(f"no sandbox answers at {url}; --url or {URL_VARIABLE} names another place") from None
    except ValueError:
        raise _ControlClientError(f"what answers at {url} is no sandbox") from None
    if not isinstance(read, dict) or response.status != 200:
        raise _ControlClientError(str(read["error"]) if "error" in read else f"what answers at {url} is no sandbox")
    return read if name == "state" else read.get("result")


def _create_parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program} do",
        description="Drive a running sandbox. Each operation has its own --help.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    url = os.environ.get(URL_VARIABLE, f"http://127.0.0.1:{DEFAULT_PORT}")
    parser.add_argument("--url", default=url, help=f"where the sandbox is, else {URL_VARIABLE} (%(default)s)")
    names = parser.add_subparsers(dest="operation", metavar="OPERATION", required=True)
    names.add_parser("state", help="Show everything at a glance, secrets masked.", allow_abbrev=False)
    for each in get_operations().values():
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
