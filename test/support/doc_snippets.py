"""How the programs on the pages are run: as they stand, or pointed at a sandbox where something happens."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from binance_margin_stream.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
_GENERATED = "[[Back to README]](../README.md)"
_AUTH = re.compile(r"(?:Stream|Client)\(\s*(?:(?:auth=)?ApiKeyAuth\.from_env\(\)|auth\b(?!=))")
_BLOCK = re.compile(r"^( *)```(\S+) *([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block of a page."""

    page: str
    number: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def find_code_blocks(page: Path) -> list[CodeBlock]:
    """All fenced blocks of a page."""
    name = page.relative_to(ROOT).with_suffix("").as_posix()
    found = []
    for number, (indent, language, info, text) in enumerate(_BLOCK.findall(page.read_text(encoding="utf-8"))):
        title = re.search(r'title="(.+?)"', info)
        lines = "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))
        found.append(CodeBlock(name, number, language, title[1] if title else "", lines))
    return found


def find_handwritten_pages() -> list[Path]:
    """The pages that are written by hand; those of the generated half have tests of their own."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(page for page in pages if _GENERATED not in page.read_text(encoding="utf-8"))


def use_sandbox(program: str) -> str:
    """A program for production, pointed at the sandbox that `exchange` is."""
    pointed = _AUTH.sub(r"\g<0>, endpoints=exchange.endpoints", program)
    assert pointed != program
    return pointed


def run_program(*arguments: str) -> str:
    """What a Python program prints that ends by itself."""
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_against_sandbox(program: str, exchange: Sandbox) -> str:
    """What a program for production prints, pointed at `exchange` where orders are filled until it has printed."""
    addresses = f"from binance_margin_stream import Endpoints\nclass exchange: endpoints = {exchange.endpoints!r}\n"
    environment = os.environ | {"BINANCE_API_KEY": exchange.api_key, "PYTHONUNBUFFERED": "1", "HEALTH_PORT": "0"}
    command = [sys.executable, "-W", "error", "-c", addresses + use_sandbox(program)]
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            deadline = time.monotonic() + 40
            while process.poll() is None and os.fstat(output.fileno()).st_size == 0 and time.monotonic() < deadline:
                fill_orders(exchange)
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=10)[1]
        finally:
            process.kill()
        output.seek(0)
        text = output.read()
    assert text, errors
    assert process.returncode in (0, -signal.SIGINT), errors
    return text


def fill_orders(exchange: Sandbox) -> None:
    """Fill an order of each account as soon as somebody listens."""
    if exchange.send_event({"e": "unheardOf", "E": 1}):
        for account in ("cross", "BTCUSDT"):
            order = exchange.place_order(symbol="BTCUSDT", quantity="1", price="10", account=account)
            exchange.fill_order(order.order_id)
