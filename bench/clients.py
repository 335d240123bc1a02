"""Who takes part, and how each is started: in an environment of its own, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv-peers"


@dataclass(frozen=True)
class Contender:
    """One contestant: its interpreter and its adapter."""

    name: str
    python: str
    adapter: str

    @property
    def command(self) -> list[str]:
        """What starts its adapter."""
        return [self.python, str(HERE / "peers" / f"{self.adapter}.py")]

    def ask(self, *words: str, given: str | None = None, seconds: float = 120) -> dict[str, Any] | str:
        """What its adapter answers; or in a few words why it does not."""
        try:
            run = subprocess.run(
                [*self.command, *words], input=given, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {seconds:.0f} s"
        lines = [line for line in run.stdout.splitlines() if line.startswith('{"at"')]
        if not lines:
            return (run.stderr.strip().splitlines() or ["it says nothing"])[-1][:120]
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer


OURS = Contender("this package", sys.executable, "ours")
STOCK = Contender("stock generator output", sys.executable, "stock")
BARE = Contender("websockets", sys.executable, "bare")


def peer(name: str, adapter: str) -> Contender:
    return Contender(name, str(PEERS / adapter / "bin" / "python"), adapter)


CONTENDERS = [
    OURS,
    STOCK,
    peer("the exchange's SDK", "exchange_sdk"),
    peer("python-binance", "python_binance"),
    peer("ccxt", "ccxt_pro"),
    peer("unicorn", "unicorn"),
    peer("binance-connector", "connector"),
]


def prepare(stock: Path) -> None:
    """Generate the stock output into `stock`, and let Python keep the bytecode of all, as after an installation."""
    generator = Path(sys.executable).with_name("openapi-generator-cli")
    spec = HERE.parent / "openapi" / "margin-stream.yaml"
    command = [str(generator), "generate", "-i", str(spec), "-g", "python", "-o", str(stock)]
    subprocess.run([*command, "--package-name", "stock_margin_stream"], capture_output=True, timeout=300, check=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPATH"] = str(stock)
