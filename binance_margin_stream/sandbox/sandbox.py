"""The sandbox as users run it: an exchange and its server in a thread, and a handle for any thread."""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.sandbox.clock import Clock
from binance_margin_stream.sandbox.config import ExchangeRules, scale_rules
from binance_margin_stream.sandbox.control.http import ControlInterface
from binance_margin_stream.sandbox.control.operations import OperationTable, operation
from binance_margin_stream.sandbox.control.script import Script, read_script, schedule_steps
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.handle.faults import FaultHandle
from binance_margin_stream.sandbox.handle.trading import TradingHandle
from binance_margin_stream.sandbox.handle.users import UserHandle
from binance_margin_stream.sandbox.server.address import ServerAddress
from binance_margin_stream.sandbox.server.thread import ServerThread

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.server.tls import Certificates

__all__ = ["OPERATIONS", "Sandbox"]

_DEFAULT_RULES = ExchangeRules()


class Sandbox(UserHandle, FaultHandle, TradingHandle):
    """An exchange on loopback that behaves like the real one. No order reaches a market and no money moves.

    ``with Sandbox() as exchange:`` starts it. The handle may be used from any thread; every call returns when it has
    taken effect. Times are exchange time: it runs `speed` times faster than real time, or is paused with ``speed=0``
    until `advance_time`. At any speed, clients have at least one real second to answer a ping, and may answer all pings
    of a second at once; a stream needs ``StreamSettings().scaled(speed)``. While time is paused, rate limits count all
    requests in the same minute and all messages in the same second.

    An account is ``cross`` or the symbol of an isolated account; without an API key it is that of the first user.
    Amounts are `Decimal`, `int` or `str`.
    """

    def __init__(
        self,
        *,
        rules: ExchangeRules = _DEFAULT_RULES,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        seed: int | None = None,
        start_ms: int | None = None,
        tls: bool = False,
        i_understand_that_this_listens_beyond_loopback: bool = False,
    ) -> None:
        """Create an exchange; `start` makes it listen.

        Port 0 lets the system choose. A seed makes keys and tokens reproducible. `start_ms` is the initial exchange
        time in milliseconds since 1970 UTC; the present by default. With `tls` it uses ``https`` and ``wss`` with a
        certificate of its own, which its `endpoints` make clients trust.

        Raises:
            ValueError: the host is not loopback and this was not allowed, or an invalid port or speed.

        """
        self._address = ServerAddress.parse(host, port, tls, i_understand_that_this_listens_beyond_loopback)
        start = time.time_ns() // 1_000_000 if start_ms is None else start_ms
        Clock(start, speed, 0.0)
        self._rules = scale_rules(rules, speed)
        # Without a seed, nobody must be able to guess the keys.
        exchange = Exchange(self._rules, secrets.SystemRandom() if seed is None else random.Random(seed))
        user = exchange.add_user()
        self._certificates = _create_certificates(self._address.host) if tls else None
        control = ControlInterface(
            OPERATIONS, lambda call: call.operation.run(self, call.arguments), self._rules.max_body_bytes
        )
        server_thread = ServerThread(exchange, self._rules, start, speed, control, self._certificates)
        super().__init__(exchange, server_thread, user)

    def __repr__(self) -> str:
        return f"<Sandbox {self._address.host}:{self._address.port} {self._server_thread.state}>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start to listen; has no effect if it is running.

        Raises:
            OSError: the address cannot be used.
            RuntimeError: it was closed; create another one.

        """
        port = self._server_thread.start(self._address.host, self._address.port)
        if port is not None:
            self._address = replace(self._address, port=port)
        return self

    def close(self) -> None:
        """Close all connections and stop; takes at most 5 seconds and may be called twice."""
        self._server_thread.close()
        if self._certificates is not None:
            self._certificates.close()

    @property
    def url(self) -> str:
        """URL of the REST calls. Raises `RuntimeError` before the start if the system chooses the port."""
        return self._address.url

    @property
    def endpoints(self) -> Endpoints:
        """All URLs; they share one port."""
        return self._address.endpoints(self._rules, self.ca_file)

    @property
    def ca_file(self) -> str | None:
        """Path of the CA certificate that clients have to trust, until `close`; None without TLS."""
        return None if self._certificates is None else self._certificates.ca_file

    @property
    def ca_pem(self) -> str | None:
        """The CA certificate that clients have to trust, in PEM format; None without TLS."""
        return None if self._certificates is None else self._certificates.ca_pem

    @operation
    def advance_time(self, seconds: float) -> None:
        """Advance the exchange's time, and run everything that is due until then.

        Pings that are due meanwhile are sent once, at the end; clients get a moment to answer them. In a test that runs
        in an event loop, call this with `asyncio.to_thread`, so that they can.

        Raises:
            ValueError: a negative time.

        """
        self._server_thread.advance(seconds)

    def run_script(self, script: Script) -> None:
        """Run a script, a YAML file or a list of its steps, and return after its last step.

        Every step has `at`, a time of day in UTC, or `after`, a delay after the previous step; `every` and `times`
        repeat it. All times are exchange time: this waits for them, or advances to them where time is paused. All steps
        are checked before the first one runs.

        Raises:
            ScriptError: a step is invalid, or was not possible; a `ValueError` that names the step.
            OSError: the file cannot be read.
            RuntimeError: the sandbox is not running, or was closed meanwhile.

        """
        for due, step in schedule_steps(read_script(script, OPERATIONS), self.now):
            self._server_thread.wait_until(due)
            step.run(self)


OPERATIONS = OperationTable(Sandbox)
"""The operations that are available over HTTP, in scripts and on the command line."""


def _create_certificates(host: str) -> Certificates:
    try:
        from binance_margin_stream.sandbox.server.tls import Certificates
    except ModuleNotFoundError as missing:
        raise ImportError("TLS needs trustme: pip install 'binance-margin-stream[sandbox]'") from missing
    return Certificates(host)
