"""``… sandbox do place-order``: drive a running sandbox from another terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence

import urllib3

from binance_margin_stream.sandbox.control.operation_schema import Parameter
from binance_margin_stream.sandbox.control.operations import operations

__all__ = ["DEFAULT_PORT", "URL_VARIABLE", "drive"]

DEFAULT_PORT = 8650
"""Where a sandbox listens unless it is told otherwise, so that the two terminals need not agree on anything."""

URL_VARIABLE = "BINANCE_SANDBOX_URL"
"""Environment variable that names the sandbox to drive."""

_SECONDS = 10.0

_EXAMPLES = """\
examples:
  do state                                          accounts, orders, connections, keys, faults, last events
  do place-order --symbol ETHUSDT --side SELL --quantity 0.5 --price 3500
  do fill-order --quantity 0.2                      fills a part of the youngest open order
  do borrow --asset BTC --amount 0.5
  do set-price --symbol BTCUSDT --price 45000       orders fill, margin levels and their calls follow
  do fail --fault drop                              ends every open connection
  do fail --fault server-error --times null         until: do clear-faults
  do trouble --seed 7 --every-seconds 30            random faults, until: do stop-trouble
  do advance --seconds 3600
"""


class _FailedError(Exception):
    """The sandbox was not reached, or refused; the text says why."""


def drive(arguments: Sequence[str], program: str) -> int:
    """Do one operation, print what it answers as JSON, and return the exit status."""
    given = vars(_parser(program).parse_args(arguments))
    url, name = str(given.pop("url")), str(given.pop("operation"))
    try:
        answer = _ask(url.rstrip("/"), name, {key: value for key, value in given.items() if value is not None})
    except _FailedError as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    try:
        print(json.dumps(answer, indent=2, ensure_ascii=False), flush=True)
    except BrokenPipeError:
        # Whoever reads it, such as `head`, has seen enough; nothing is left to flush when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _ask(url: str, name: str, given: Mapping[str, object]) -> object:
    method, body = ("GET", None) if name == "state" else ("POST", given)
    try:
        answer = urllib3.request(
            method, f"{url}/sandbox/{name}", json=body, timeout=_SECONDS, retries=False, redirect=False
        )
        read = json.loads(answer.data)
    except urllib3.exceptions.HTTPError:
        raise _FailedError(f"no sandbox answers at {url}; --url or {URL_VARIABLE} names another place") from None
    except ValueError:
        raise _FailedError(f"what answers at {url} is no sandbox") from None
    if not isinstance(read, dict) or answer.status != 200:
        raise _FailedError(str(read["error"]) if "error" in read else f"what answers at {url} is no sandbox")
    return read if name == "state" else read.get("result")


def _parser(program: str) -> argparse.ArgumentParser:
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
    for each in operations().values():
        one = names.add_parser(each.name, help=each.summary, description=each.summary, allow_abbrev=False)
        for parameter in each.parameters:
            _add(one, parameter)
    return parser


def _add(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
    choices = f": {', '.join(parameter.choices)}" if parameter.choices else ""
    otherwise = "" if parameter.default is None else f" ({parameter.default})"
    parser.add_argument(
        f"--{parameter.name.replace('_', '-')}",
        dest=parameter.name,
        required=parameter.required,
        choices=parameter.choices or None,
        metavar=parameter.kind.upper(),
        help=parameter.about + choices + otherwise,
    )
