"""Run third-party clients against the sandbox, unmodified except for their base addresses, and print what works.

    python interop/run.py --peers .venv-interop/bin/python --connector .venv-interop-connector/bin/python

Each client runs in a process of its own, in an environment without this package. The exit code is 1 if a step fails
that should succeed, or if a step succeeds that is listed here as a known limitation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from binance_margin_stream.sandbox import ExchangeRules, Sandbox

HERE = Path(__file__).parent
TIMEOUT = 180.0


@dataclass(frozen=True)
class Step:
    """One step of a client, and its result."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class KnownLimitation:
    """A step that fails because of the client: the detail that is expected, and the reason."""

    detail: str
    reason: str


NO_RENEWAL = KnownLimitation(
    "received eventStreamTerminated, then nothing",
    "its keepalive skips streams of the WebSocket API, and it never creates a second token",
)
NO_RESUBSCRIBE = KnownLimitation(
    "received ConnectionClosedError, then nothing",
    "it reconnects without subscribing again: it subscribes only when the socket is entered for the first time",
)
NO_RECONNECT = KnownLimitation(
    "no event any more",
    "it abandons a connection that the other side closes; it reconnects only before 24 hours and on serverShutdown",
)
NO_KEEPALIVE = KnownLimitation(
    "no event any more",
    "it never keeps a key alive by itself, and delivers listenKeyExpired to the program like any other event",
)
NEEDS_BODY = KnownLimitation(
    "JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    'it parses every body as JSON: the calls with an empty response need ExchangeRules(empty_body="object")',
)


RETIRED_LOAN = KnownLimitation(
    "The sandbox does not serve POST /sapi/v1/margin/loan",
    "it calls a path that the exchange has removed; its method margin_borrow_repay() works",
)
NEEDS_SYMBOL = KnownLimitation(
    "symbol is mandatory",
    "it requires a symbol also for the cross account, where the exchange refuses or ignores it",
)


@dataclass(frozen=True)
class ClientRun:
    """One client with one set of exchange rules, and its known limitations by step."""

    client: str
    program: str
    rules: ExchangeRules
    description: str
    limitations: dict[str, KnownLimitation]
    environment: str = "peers"
    """The environment with the client: two of them cannot be installed together."""


SDK_LIMITATIONS = {
    "stay subscribed when the connection is reset": NO_RECONNECT,
    "stay subscribed when the listen key expires": NO_KEEPALIVE,
}
RUNS = (
    ClientRun(
        "python-binance",
        "python_binance.py",
        ExchangeRules(),
        "default rules",
        {
            "stay subscribed when the token expires": NO_RENEWAL,
            "stay subscribed when the connection is reset": NO_RESUBSCRIBE,
        },
    ),
    ClientRun(
        "binance-sdk-margin-trading",
        "binance_sdk.py",
        ExchangeRules(empty_body="object"),
        'empty_body="object"',
        SDK_LIMITATIONS,
    ),
    ClientRun(
        "binance-sdk-margin-trading",
        "binance_sdk.py",
        ExchangeRules(),
        "default rules",
        {
            "keep the listen key V2 alive": NEEDS_BODY,
            "keep the risk listen key alive": NEEDS_BODY,
            "close the listen key V2": NEEDS_BODY,
            "close the risk listen key": NEEDS_BODY,
            **SDK_LIMITATIONS,
        },
    ),
    ClientRun(
        "ccxt",
        "trading_ccxt.py",
        ExchangeRules(),
        "trading, cross and isolated",
        {},
    ),
    ClientRun(
        "python-binance",
        "trading_python_binance.py",
        ExchangeRules(),
        "trading, cross and isolated",
        {"borrow with create_margin_loan()": RETIRED_LOAN},
    ),
    ClientRun(
        "binance-sdk-margin-trading",
        "trading_sdk.py",
        ExchangeRules(),
        "trading, cross and isolated",
        {},
    ),
    ClientRun(
        "binance-connector",
        "trading_connector.py",
        ExchangeRules(),
        "trading, cross and isolated",
        {"borrow on cross without a symbol": NEEDS_SYMBOL, "query order lists on cross": NEEDS_SYMBOL},
        "connector",
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="the Python of the environment with the clients")
    parser.add_argument("--connector", required=True, help="the Python of the environment with binance-connector")
    options = parser.parse_args()
    environments = {"peers": options.peers, "connector": options.connector}
    unexpected = [result for run in RUNS for result in run_and_print(run, environments[run.environment])]
    for result in unexpected:
        print(f"NOT AS EXPECTED  {result}")
    print(f"{'failed' if unexpected else 'all as expected'}")
    return 1 if unexpected else 0


def run_and_print(run: ClientRun, peers: str) -> list[str]:
    """Run a client, print its steps, and return the results that are not expected."""
    version, steps, error = run_client(run, peers)
    print(f"\n{run.client} {version}, {run.description}")
    unexpected = [error] if error else []
    for step in steps:
        limitation = run.limitations.get(step.name)
        print(f"  {'yes' if step.ok else 'no ':4} {step.name:50} {step.detail[:110]}")
        if limitation is not None:
            print(f"       because {limitation.reason}")
        expected = step.ok if limitation is None else not step.ok and limitation.detail in step.detail
        if not expected:
            unexpected.append(f"{run.client}, {run.description}: {step.name}: {step.detail[:300]}")
    missing = run.limitations.keys() - {step.name for step in steps}
    return unexpected + [f"{run.client}, {run.description}: {name}: was not run" for name in missing]


def run_client(run: ClientRun, peers: str) -> tuple[str, list[Step], str]:
    """The client's version, its steps, and the error that ended it early, if there was one."""
    with Sandbox(rules=run.rules) as exchange:
        addresses = {
            "SANDBOX_REST": exchange.endpoints.rest,
            "SANDBOX_WEBSOCKET_API": exchange.endpoints.websocket_api,
            "SANDBOX_STREAM": exchange.endpoints.stream,
            "SANDBOX_API_KEY": exchange.api_key,
            "SANDBOX_API_SECRET": exchange.api_secret,
        }
        process = subprocess.run(
            [peers, str(HERE / run.program)],
            env=os.environ | addresses,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    first, *rows = process.stdout.splitlines() or ['{"version": "did not start"}']
    lines = process.stderr.strip().splitlines()
    error = f"{run.client} ended with {process.returncode}: {lines[-1] if lines else ''}" if process.returncode else ""
    return json.loads(first)["version"], [Step(**json.loads(row)) for row in rows], error


if __name__ == "__main__":
    sys.exit(main())
