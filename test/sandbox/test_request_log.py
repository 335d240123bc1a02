"""The request log in a terminal."""

from __future__ import annotations

import io
import os
import threading

import pytest

from binance_margin_stream.sandbox import LoggedRequest
from binance_margin_stream.sandbox.request_log import RequestPrinter

REQUEST = LoggedRequest(1_795_381_200_042, "127.0.0.1", "WebSocket", "session.logon", 400, -4056)
LINE = "21:00:00.042 127.0.0.1 WebSocket session.logon 400 -4056\n"


def test_requests_are_printed_in_their_order() -> None:
    output = io.StringIO()
    with RequestPrinter(output) as printer:
        for _ in range(3):
            printer.add(REQUEST)
    assert output.getvalue() == LINE * 3


@pytest.mark.timeout(20)
def test_a_terminal_that_does_not_read_blocks_nothing() -> None:
    reader, writer = os.pipe()
    with open(reader, encoding="utf-8") as read_end, open(writer, "w", encoding="utf-8") as write_end:
        with RequestPrinter(write_end) as printer:
            for _ in range(10_000):
                printer.add(REQUEST)
        # The printer has given up waiting for its thread, which ends once somebody reads.
        lines: list[str] = []
        collector = threading.Thread(target=lambda: lines.extend(read_end))
        collector.start()
        while not any(line.startswith("(") for line in list(lines)):
            collector.join(0.01)
        printer.__exit__(None, None, None)
        for thread in threading.enumerate():
            if thread.name == "sandbox-request-log":
                thread.join(10)
        write_end.close()
        collector.join()
    assert all(line == LINE or line.endswith(" requests are not shown)\n") for line in lines)


def test_a_reader_that_has_gone_ends_the_printing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as write_end:
        with RequestPrinter(write_end) as printer:
            printer.add(REQUEST)
        with pytest.raises(BrokenPipeError):
            write_end.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
