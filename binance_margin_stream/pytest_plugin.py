"""pytest fixtures for tests of a bot: an exchange of its own for each test, a stream of it, and what goes wrong.

pytest loads this module in every run of every project that has the package installed, through the entry point
``pytest11``. So it stands outside of `sandbox` and `stream`, whose packages import more than a run without a margin
test should pay for, and imports either only when a fixture is used.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from binance_margin_stream.sandbox import Sandbox
    from binance_margin_stream.sandbox.faults import Fault
    from binance_margin_stream.sandbox.faults.registry import Scalar
    from binance_margin_stream.stream.sync_stream import MarginStream

__all__ = ["FaultInjector", "margin_fault", "margin_sandbox", "margin_stream", "pytest_configure"]

_DEFAULT_DEADLINE_SECONDS = 30.0


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the markers."""
    config.addinivalue_line(
        "markers",
        "margin_sandbox(**settings): how the test's exchange behaves, as Sandbox() takes it: rules, speed, seed, ...",
    )
    config.addinivalue_line(
        "markers",
        "margin_stream(deadline=30, **settings): what the test's stream follows, as MarginStream() takes it: accounts, "
        "risk, source, rules, ...; it is closed `deadline` seconds after it was opened, and the test fails then.",
    )


@pytest.fixture
def margin_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A running sandbox exchange of the test's own, closed afterwards; `margin_sandbox` marks its settings."""
    try:
        from binance_margin_stream.sandbox import Sandbox
    except ImportError as missing:
        pytest.fail(str(missing), pytrace=False)
    with Sandbox(**_read_marker(request, "margin_sandbox")) as exchange:
        yield exchange


@pytest.fixture
def margin_stream(request: pytest.FixtureRequest, margin_sandbox: Sandbox) -> Iterator[MarginStream]:
    """An open stream of the test's exchange, closed afterwards; `margin_stream` marks its settings.

    It follows the cross account unless the marker says otherwise. A test that waits for what never comes ends all
    the same: the stream closes at the deadline, which ends the iteration, and the test fails.
    """
    from binance_margin_stream import ApiKeyAuth, MarginStream

    settings = _read_marker(request, "margin_stream")
    deadline = settings.pop("deadline", _DEFAULT_DEADLINE_SECONDS)
    settings.setdefault("auth", ApiKeyAuth(margin_sandbox.api_key))
    settings.setdefault("endpoints", margin_sandbox.endpoints)
    stream = MarginStream(**settings)
    deadline_passed = threading.Event()

    def on_deadline() -> None:
        deadline_passed.set()
        stream.close()

    timer = threading.Timer(deadline, on_deadline)
    timer.start()
    try:
        with stream:
            yield stream
    finally:
        timer.cancel()
        timer.join()
        if deadline_passed.is_set():
            pytest.fail(
                f"margin_stream was closed after {deadline} seconds: what it waited for did not come", pytrace=False
            )


class FaultInjector:
    """Lets something go wrong with the test's exchange: call it with a fault, or with the name of one.

    ``margin_fault("drop", code=1011)`` and ``margin_fault(faults.DropConnections("close", 1011))`` are the same; the
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
        """Let it go wrong, as `Sandbox.inject_fault` does: open connections are struck at once, calls when they come.

        That is the next call, the next `times`, or with None all until `clear`; on one path or on any. The
        parameters are those of the named fault.

        Raises:
            ValueError: no fault has this name, or it takes no such parameter; times is below 1.
            TypeError: a fault that is given as a value has its parameters already.

        """
        from binance_margin_stream.sandbox import create_fault

        if isinstance(fault, str):
            fault = create_fault(fault, **parameters)
        elif parameters:
            raise TypeError(f"a fault that is given as a value has its parameters already: {', '.join(parameters)}")
        self._exchange.inject_fault(
            fault,
            path=path,
            times=times,
            connection=connection,
            after_seconds=after_seconds,
            probability=probability,
        )

    def clear(self) -> None:
        """Let nothing more go wrong; comes by itself at the end of the test."""
        self._exchange.clear_faults()


@pytest.fixture
def margin_fault(margin_sandbox: Sandbox) -> Iterator[FaultInjector]:
    """Lets something go wrong with the test's exchange, by value or by name; nothing more after the test."""
    fault = FaultInjector(margin_sandbox)
    yield fault
    fault.clear()


def _read_marker(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """What the closest marker of that name gives."""
    marker = request.node.get_closest_marker(name)
    if marker is None:
        return {}
    if marker.args:
        pytest.fail(f"@pytest.mark.{name} takes its settings by name, such as rules=...", pytrace=False)
    return dict(marker.kwargs)
