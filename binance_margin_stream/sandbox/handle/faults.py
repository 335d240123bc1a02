"""Faults of a running sandbox: injected by name or value, at random, and retired endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from binance_margin_stream.sandbox.clock import to_milliseconds
from binance_margin_stream.sandbox.control.operations import operation
from binance_margin_stream.sandbox.faults.types import Fault
from binance_margin_stream.sandbox.handle.base import ExchangeHandle

__all__ = ["FaultHandle"]


class FaultHandle(ExchangeHandle):
    """Faults and retired endpoints."""

    @operation
    def inject_fault(
        self,
        fault: Fault | str,
        *,
        path: str | None = None,
        account: str | None = None,
        times: int | None = 1,
        for_seconds: float | None = None,
        connection: int | None = None,
        after_seconds: float = 0.0,
        at_ms: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Inject a fault.

        A fault is a name such as ``"half-open"``, or a value of `binance_margin_stream.sandbox.faults`. The names are
        those of `NAMED_FAULTS`; ``create_fault("drop", code=1011)`` sets parameters. Faults of calls, handshakes,
        subscribes and events apply to the next `times` matching ones, or to all until `clear_faults` with None, each
        with a `probability`; at most `for_seconds` long; on one `path` or all; those of calls, subscribes and events
        for one `account` or all. The others apply once, to one open `connection` or all. Both can be delayed, by
        `after_seconds` or until `at_ms`. All times are exchange time.

        Raises:
            ValueError: an unknown fault, times below 1, or a probability outside 0 to 1.

        """

        def inject(now: int) -> None:
            at = now + to_milliseconds(after_seconds, "after_seconds") if at_ms is None else at_ms
            self._exchange.inject_fault(
                fault,
                now,
                path=path,
                account=account,
                times=times,
                duration_ms=None if for_seconds is None else to_milliseconds(for_seconds, "for_seconds"),
                connection=connection,
                at_ms=at,
                probability=probability,
            )

        self._server_thread.call(inject)

    @operation
    def start_random_faults(self, seed: int, every_seconds: float = 60.0, faults: Sequence[str] | None = None) -> None:
        """Inject random faults until `stop_random_faults`, on average one in `every_seconds` of exchange time.

        `faults` are the names to choose from; by default all that a client can recover from by itself. The same seed
        gives the same faults at the same intervals.

        Raises:
            ValueError: more than one fault per millisecond of exchange time or of real time, or an unknown fault.

        """
        min_seconds = 0.001 * self._server_thread.speed
        if every_seconds < min_seconds:
            raise ValueError(f"every_seconds takes a number from {min_seconds:g} at this speed")
        self._server_thread.call(lambda now: self._exchange.start_random_faults(seed, every_seconds, now, faults))

    @operation
    def stop_random_faults(self) -> None:
        """Stop random faults; pending faults stay pending."""
        self._server_thread.read(self._exchange.stop_random_faults)

    @operation
    def clear_faults(self) -> None:
        """Remove all pending, scheduled and random faults. Frozen, slow and half-open connections stay so."""
        self._server_thread.read(self._exchange.clear_faults)

    @operation
    def retire_endpoint(self, path: str) -> None:
        """Respond 410 to a call from now on, such as ``/sapi/v1/userListenToken``."""
        self._server_thread.read(lambda: self._exchange.retire_endpoint(path))

    @operation
    def restore_endpoint(self, path: str) -> None:
        """Serve a call again that `retire_endpoint` or the rules retired."""
        self._server_thread.read(lambda: self._exchange.restore_endpoint(path))
