"""Clients of other houses against the sandbox, as they are but for their base addresses: what works, and what cannot.

    python interop/run.py --peers .venv-interop/bin/python

Each client runs in a process of its own, in an environment that knows nothing of this package. The exit code is not
zero when something that should work does not, or when something works that is written down here as impossible.
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
    """One row of the table."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class KnownLimitation:
    """What a client cannot do: what is seen then, and why."""

    detail: str
    reason: str


NO_RENEWAL = KnownLimitation(
    "told eventStreamTerminated, then silent",
    "its keepalive passes over streams of the WebSocket API, and nothing in it asks for a second token",
)
NO_RESUBSCRIBE = KnownLimitation(
    "told ConnectionClosedError, then silent",
    "it opens the connection again and does not subscribe again: only the first entry into the socket does",
)
NO_RECONNECT = KnownLimitation(
    "silent for good",
    "it gives a connection up that ends unasked; it opens another before 24 hours and on serverShutdown only",
)
NO_KEEPALIVE = KnownLimitation(
    "silent for good",
    "it never keeps a key alive by itself, and hands listenKeyExpired to the program like any other event",
)
NEEDS_BODY = KnownLimitation(
    "JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    'it parses every body as JSON: the calls that answer nothing need Rules(done_answer="object")',
)


@dataclass(frozen=True)
class ClientRun:
    """One client under one set of rules, and what is known to be impossible for it, with the reason."""

    client: str
    program: str
    rules: ExchangeRules
    description: str
    limitations: dict[str, KnownLimitation]


SDK_LIMITATIONS = {
    "stay subscribed when the connection is reset": NO_RECONNECT,
    "stay subscribed when the listen key ends": NO_KEEPALIVE,
}
RUNS = (
    ClientRun(
        "python-binance",
        "python_binance.py",
        ExchangeRules(),
        "default rules",
        {
            "stay subscribed when the token ends": NO_RENEWAL,
            "stay subscribed when the connection is reset": NO_RESUBSCRIBE,
        },
    ),
    ClientRun(
        "binance-sdk-margin-trading",
        "binance_sdk.py",
        ExchangeRules(empty_body="object"),
        'done_answer="object"',
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
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="the Python of the environment with the clients")
    peers = str(parser.parse_args().peers)
    surprises = [surprise for run in RUNS for surprise in run_and_print(run, peers)]
    for surprise in surprises:
        print(f"NOT AS EXPECTED  {surprise}")
    print(f"{'failed' if surprises else 'all as expected'}")
    return 1 if surprises else 0


def run_and_print(run: ClientRun, peers: str) -> list[str]:
    """Run a client, print its rows, and answer what is not as expected."""
    version, steps, error = run_client(run, peers)
    print(f"\n{run.client} {version}, {run.description}")
    surprises = [error] if error else []
    for step in steps:
        limitation = run.limitations.get(step.name)
        print(f"  {'yes' if step.ok else 'no ':4} {step.name:50} {step.detail[:110]}")
        if limitation is not None:
            print(f"       because {limitation.reason}")
        expected = step.ok if limitation is None else not step.ok and limitation.detail in step.detail
        if not expected:
            surprises.append(f"{run.client}, {run.description}: {step.name}: {step.detail[:300]}")
    missing = run.limitations.keys() - {step.name for step in steps}
    return surprises + [f"{run.client}, {run.description}: {does}: was not tried" for does in missing]


def run_client(run: ClientRun, peers: str) -> tuple[str, list[Step], str]:
    """The client's version, its steps, and what kept it from the end if something did."""
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
    first, *rows = process.stdout.splitlines() or ['{"version": "that did not start"}']
    lines = process.stderr.strip().splitlines()
    error = f"{run.client} ended with {process.returncode}: {lines[-1] if lines else ''}" if process.returncode else ""
    return json.loads(first)["version"], [Step(**json.loads(row)) for row in rows], error


if __name__ == "__main__":
    sys.exit(main())
