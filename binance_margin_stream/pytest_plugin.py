"""pytest fixtures for tests of a bot: a sandbox exchange for each test, a stream connected to it, and fault injection.

pytest loads this module in every project that has the package installed, through the entry point ``pytest11``.
Therefore it is outside of `sandbox` and `stream`, which are slow to import, and imports them only when a fixture is
used.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from binance_margin_stream.sandbox import Sandbox
    from binance_margin_stream.sandbox.faults import Fault
    from binance_margin_stream.sandbox.faults.registry import Scalar
    from binance_margin_stream.stream.io.engine import Item
    from binance_margin_stream.stream.sync_stream import MarginStream

__all__ = ["FaultInjector", "margin_fault", "margin_sandbox", "margin_stream", "pytest_configure"]

_FROZEN_MESSAGE = (
    "freezegun has stopped the clock of asyncio, so the sandbox and the stream cannot wait for anything: "
    "use freeze_time(..., real_asyncio=True)"
)
_DEFAULT_DEADLINE_SECONDS = 30.0


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line(
        "markers",
        "margin_sandbox(**settings): the test's exchange, as Sandbox() takes them: rules, speed, seed, ...",
    )
    config.addinivalue_line(
        "markers",
        "margin_stream(deadline=30, **settings): the test's stream, as MarginStream() takes them: accounts, "
        "risk, source, settings, ...; it is closed `deadline` seconds after it was opened, and then the test fails.",
    )


@pytest.fixture
def margin_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A running sandbox for the test, closed afterwards; the marker `margin_sandbox` has its settings."""
    try:
        from binance_margin_stream.sandbox import Sandbox
    except ImportError as missing:
        pytest.fail(str(missing), pytrace=False)
    if _is_clock_frozen():
        pytest.fail(_FROZEN_MESSAGE, pytrace=False)
    with Sandbox(**_read_marker(request, "margin_sandbox")) as exchange:
        yield exchange


@pytest.fixture
def margin_stream(request: pytest.FixtureRequest, margin_sandbox: Sandbox) -> Iterator[MarginStream]:
    """An open stream of the test's exchange, closed afterwards; the marker `margin_stream` has its settings.

    It follows the cross account by default. The stream closes at the deadline, so that a test cannot wait forever;
    the test then fails where it waits.
    """
    from binance_margin_stream import ApiKeyAuth

    settings = _read_marker(request, "margin_stream")
    seconds = settings.pop("deadline", _DEFAULT_DEADLINE_SECONDS)
    settings.setdefault("auth", ApiKeyAuth(margin_sandbox.api_key))
    settings.setdefault("endpoints", margin_sandbox.endpoints)
    deadline = _Deadline(seconds)
    stream = _create_stream(settings, deadline)
    deadline.start(stream.close)
    try:
        with stream:
            yield stream
    finally:
        deadline.cancel()
        deadline.check()


class _Deadline:
    """Closes a stream after some seconds; the test that waits for it then fails where it waits."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: threading.Timer | None = None
        self._has_passed = False

    def start(self, close: Callable[[], None]) -> None:
        """Call `close` at the deadline."""

        def on_deadline() -> None:
            self._has_passed = True
            close()

        self._timer = threading.Timer(self._seconds, on_deadline)
        self._timer.start()

    def cancel(self) -> None:
        """Do not close the stream any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def check(self) -> None:
        """Fail once if the deadline has passed."""
        if not self._has_passed:
            return
        self._has_passed = False
        message = f"margin_stream was closed after {self._seconds} seconds: the expected event did not arrive"
        pytest.fail(f"{message}; {_FROZEN_MESSAGE}" if _is_clock_frozen() else message, pytrace=False)


def _create_stream(settings: dict[str, Any], deadline: _Deadline) -> MarginStream:
    """A stream that fails the test where it waits when the deadline passes, instead of ending the iteration."""
    from binance_margin_stream import MarginStream, StreamError

    class StreamWithDeadline(MarginStream):
        def __iter__(self) -> Iterator[Item]:
            with suppress(StopIteration):
                while True:
                    yield next(self)

        def __next__(self) -> Item:
            try:
                return super().__next__()
            except (StopIteration, StreamError):
                deadline.check()
                raise

    return StreamWithDeadline(**settings)


def _is_clock_frozen() -> bool:
    """Whether freezegun has stopped the clock of asyncio."""
    if "freezegun" not in sys.modules:
        return False
    import asyncio

    loop = asyncio.SelectorEventLoop()
    try:
        before = loop.time()
        time.sleep(0.002)
        return loop.time() == before
    finally:
        loop.close()


class FaultInjector:
    """Injects faults into the test's exchange; call it with a fault or the name of one.

    ``margin_fault("drop", code=1011)`` and ``margin_fault(faults.DropConnections("close", 1011))`` are the same. The
    names are those of `binance_margin_stream.sandbox.NAMED_FAULTS`.
    """

    def __init__(self, exchange: Sandbox) -> None:
        self._exchange = exchange

    def __call__(
        self,
        fault: Fault | str,
        *,
        path: str | None = None,
        times: int | None = 1,
        connection: int | None = None,
        after_seconds: float = 0.0,
        probability: float = 1.0,
        **parameters: Scalar,
    ) -> None:
        """Inject a fault, as `Sandbox.inject_fault` does: into open connections at once, into calls when they come.

        It applies to the next call, the next `times` calls, or with None to all until `clear`; on one path or all. The
        parameters are those of the named fault.

        Raises:
            ValueError: an unknown fault or parameter, or times below 1.
            TypeError: parameters for a fault that is given as a value.

        """
        from binance_margin_stream.sandbox import create_fault

        if isinstance(fault, str):
            fault = create_fault(fault, **parameters)
        elif parameters:
            raise TypeError(f"a fault given as a value takes no parameters: {', '.join(parameters)}")
        self._exchange.inject_fault(
            fault,
            path=path,
            times=times,
            connection=connection,
            after_seconds=after_seconds,
            probability=probability,
        )

    def clear(self) -> None:
        """Remove all faults; also called at the end of the test."""
        self._exchange.clear_faults()


@pytest.fixture
def margin_fault(margin_sandbox: Sandbox) -> Iterator[FaultInjector]:
    """Injects faults into the test's exchange, by value or by name; removes them after the test."""
    fault = FaultInjector(margin_sandbox)
    yield fault
    fault.clear()


def _read_marker(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """The settings of the closest marker with this name."""
    marker = request.node.get_closest_marker(name)
    if marker is None:
        return {}
    if marker.args:
        pytest.fail(f"@pytest.mark.{name} takes its settings by name, such as rules=...", pytrace=False)
    return dict(marker.kwargs)
