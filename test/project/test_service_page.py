"""The service of the page, as a supervisor sees it: its answers to the probe, to signals, and its exit codes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from doc_snippets import ROOT, find_code_blocks, use_sandbox

from binance_margin_stream.sandbox import Sandbox, faults

(PROGRAM, *_) = (block.text for block in find_code_blocks(ROOT / "docs" / "service.md") if block.language == "python")


@contextmanager
def run_service(exchange: Sandbox, **environment: str) -> Iterator[subprocess.Popen[str]]:
    addresses = f"from binance_margin_stream import Endpoints\nclass exchange: endpoints = {exchange.endpoints!r}\n"
    own = os.environ | {"BINANCE_API_KEY": exchange.api_key, "HEALTH_PORT": "0"} | environment
    command = [sys.executable, "-W", "error", "-c", addresses + use_sandbox(PROGRAM)]
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_port(process: subprocess.Popen[str]) -> int:
    assert process.stderr
    for line in process.stderr:
        if found := re.search(r"health on port (\d+)", line):
            return int(found[1])
    raise AssertionError("the service ended")


def get_status(port: int) -> int:
    try:
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            assert b'"state": "live"' in answer.read()
            return answer.status
    except HTTPError as error:
        with error:
            return error.code


def test_it_is_well_then_not_then_well_again_and_ends_on_sigterm():
    with Sandbox() as exchange, run_service(exchange) as process:
        port = read_port(process)
        assert get_status(port) == 200
        exchange.inject_fault(faults.RefuseHandshake(), times=None)
        exchange.inject_fault(faults.DropConnections("reset"))
        wait_for(port, 503)
        exchange.clear_faults()
        wait_for(port, 200)
        exchange.change_balance("USDT", "1")
        assert process.stdout
        assert '"kind":"StreamGap"' in process.stdout.readline()
        assert '"kind":"BalanceUpdate"' in process.stdout.readline() + process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def wait_for(port: int, status: int) -> None:
    deadline = time.monotonic() + 30
    while get_status(port) != status:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_rejected_key_is_nothing_to_restart_for():
    with Sandbox() as exchange, run_service(exchange, BINANCE_API_KEY="a-key-that-nobody-knows") as process:
        errors = process.communicate(timeout=20)[1]
        assert process.returncode == 78, errors
        assert "the API key was rejected" in errors


def test_a_missing_key_is_nothing_to_restart_for():
    with Sandbox() as exchange, run_service(exchange, BINANCE_API_KEY="") as process:
        errors = process.communicate(timeout=20)[1]
        assert process.returncode == 78, errors
        assert "BINANCE_API_KEY" in errors
