"""Under gevent, which replaces threads and sockets, a stream says that it cannot work."""

from __future__ import annotations

import subprocess
import sys

import pytest

# gevent itself takes a compiler on some machines; a stream asks it one question.
PROGRAM = """
import sys, types
gevent = types.ModuleType("gevent.monkey")
gevent.is_module_patched = {patched!r}.__contains__
sys.modules["gevent.monkey"] = gevent
from binance_margin_stream import ApiKeyAuth, MarginStream, StreamError
from binance_margin_stream.sandbox import Sandbox
with Sandbox() as exchange:
    try:
        with MarginStream(ApiKeyAuth(exchange.api_key), endpoints=exchange.endpoints):
            print("entered")
    except StreamError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("patched", "said"),
    [
        (
            ["threading", "select", "socket", "ssl"],
            "gevent has replaced threading, select, socket, which a stream needs",
        ),
        (["select"], "gevent has replaced select, which a stream needs: run the stream in a process without"),
        (["ssl"], "entered"),
    ],
)
def test_gevent_is_named_if_it_replaced_what_a_stream_needs(patched, said):
    command = [sys.executable, "-c", PROGRAM.format(patched=patched)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(said)
