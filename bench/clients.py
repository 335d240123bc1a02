"""The clients that are compared. Each runs in an environment and a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEER_ENVIRONMENTS = HERE.parent / ".venv-peers"


@dataclass(frozen=True)
class Client:
    """One client: its interpreter and its adapter."""

    name: str
    python: str
    adapter: str

    @property
    def command(self) -> list[str]:
        """The command that starts the adapter."""
        return [self.python, str(HERE / "peers" / f"{self.adapter}.py")]

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> dict[str, Any] | str:
        """The result of the adapter, or the reason why there is none."""
        try:
            run = subprocess.run(
                [*self.command, *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            return f"no response within {timeout:.0f} s"
        lines = [line for line in run.stdout.splitlines() if line.startswith('{"at"')]
        if not lines:
            return (run.stderr.strip().splitlines() or ["no output"])[-1][:120]
        result: dict[str, Any] = json.loads(lines[-1])
        return result


THIS_PACKAGE = Client("this package", sys.executable, "this_package")
STOCK_GENERATOR = Client("stock generator output", sys.executable, "stock_generator")
BASELINE = Client("websockets", sys.executable, "baseline")


def make_peer(name: str, adapter: str) -> Client:
    return Client(name, str(PEER_ENVIRONMENTS / adapter / "bin" / "python"), adapter)


CLIENTS = [
    THIS_PACKAGE,
    STOCK_GENERATOR,
    make_peer("the exchange's SDK", "exchange_sdk"),
    make_peer("python-binance", "python_binance"),
    make_peer("ccxt", "ccxt_pro"),
    make_peer("unicorn", "unicorn"),
    make_peer("binance-connector", "connector"),
]


def prepare(stock: Path) -> None:
    """Generate the stock client into `stock`, and let Python cache bytecode, as after an installation."""
    generator = Path(sys.executable).with_name("openapi-generator-cli")
    spec = HERE.parent / "openapi" / "margin-stream.yaml"
    command = [str(generator), "generate", "-i", str(spec), "-g", "python", "-o", str(stock)]
    subprocess.run([*command, "--package-name", "stock_margin_stream"], capture_output=True, timeout=300, check=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPATH"] = str(stock)
