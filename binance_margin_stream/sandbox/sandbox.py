"""The sandbox exchange as users run it: in a thread of its own, with a handle that any thread may use."""

from __future__ import annotations

import ipaddress
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.sandbox.api.handshakes import margin_stream_prefix
from binance_margin_stream.sandbox.api.websocket_api import WEBSOCKET_API_PATH
from binance_margin_stream.sandbox.clock import Clock
from binance_margin_stream.sandbox.config import ExchangeRules, ListenKeyKind
from binance_margin_stream.sandbox.control.http import OperationCall
from binance_margin_stream.sandbox.control.operations import JSON
from binance_margin_stream.sandbox.control.schedule import schedule_steps
from binance_margin_stream.sandbox.control.script import Script, read_script
from binance_margin_stream.sandbox.delivery.publishing import EventPayload
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.faults.types import Fault
from binance_margin_stream.sandbox.model.metrics import Metrics, RestCall
from binance_margin_stream.sandbox.model.users import CROSS, User
from binance_margin_stream.sandbox.server.thread import ServerThread
from binance_margin_stream.sandbox.trading_api import TradingApi

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.server.tls import Certificates

__all__ = ["Sandbox"]

_DEFAULT_RULES = ExchangeRules()
_MIN_PONG_SECONDS = 1.0


class Sandbox(TradingApi):
    """An exchange on loopback that behaves like the real one and costs nothing. It is not an exchange.

    ``with Sandbox() as exchange:`` starts it; the handle may be used from any thread, and every call returns
    when it has taken effect. Times are exchange time: `speed` times faster than real time, or standing still
    with ``speed=0`` until `advance` steps it. However fast it runs, clients have at least one real second to
    answer a ping, and may answer all those of a second at once; a stream needs ``StreamSettings().scaled(speed)``.
    While time stands still all requests fall into the same minute and all messages into the same second, as far
    as limits are concerned.
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
        """Prepare an exchange; it listens from `start` on.

        Port 0 lets the system choose. A seed makes keys and tokens the same every time. `start_ms` is the
        exchange time to start at, in milliseconds since 1970 UTC; the present by default. With `tls` it speaks
        ``https`` and ``wss`` with a certificate made for it alone; its `endpoints` tell clients to trust that.

        Raises:
            ValueError: the host is not loopback and nobody said that this is meant, the port is none, or speed
                is negative.

        """
        if not _is_loopback(host) and not i_understand_that_this_listens_beyond_loopback:
            raise ValueError(
                f"the sandbox listens on loopback only, not on {host}; "
                "i_understand_that_this_listens_beyond_loopback=True lifts that"
            )
        if not 0 <= port <= 65535:
            raise ValueError(f"port {port} is none: 0 lets the system choose")
        self._host = "127.0.0.1" if host == "localhost" else host
        self._port = port
        start = time.time_ns() // 1_000_000 if start_ms is None else start_ms
        Clock(start, speed, 0.0)
        self._rules = _scale_rules(rules, speed)
        # A seed is for tests that must repeat; without one nobody can guess the keys.
        source = secrets.SystemRandom() if seed is None else random.Random(seed)
        self._exchange = Exchange(self._rules, source)
        self._user = self._exchange.add_user()
        self._certificates = _create_certificates(self._host) if tls else None
        self._server_thread = ServerThread(
            self._exchange, self._rules, start, speed, self._run_operation, self._certificates
        )

    def __repr__(self) -> str:
        return f"<Sandbox {self._host}:{self._port} {self._server_thread.state}>"

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
        """Listen. Starting one that runs changes nothing.

        Raises:
            OSError: the address cannot be used.
            RuntimeError: it was closed; make another one.

        """
        self._port = self._server_thread.start(self._host, self._port) or self._port
        return self

    def close(self) -> None:
        """End all connections and stop; takes at most 5 seconds, and closing twice is fine."""
        self._server_thread.close()
        if self._certificates is not None:
            self._certificates.close()

    @property
    def url(self) -> str:
        """Address of the REST calls. Raises `RuntimeError` before the start, where the system chooses the port."""
        return f"http{self._scheme_suffix}://{self._authority}"

    @property
    def endpoints(self) -> Endpoints:
        """All addresses; they share one port."""
        websocket = f"ws{self._scheme_suffix}://{self._authority}"
        return Endpoints(
            rest=self.url,
            websocket_api=websocket + WEBSOCKET_API_PATH,
            stream=websocket,
            margin_stream=websocket + margin_stream_prefix(self._rules),
            listen_key_v2=websocket if self._rules.listen_key_v2_host == "stream" else None,
            ca_file=self.ca_file,
        )

    @property
    def ca_file(self) -> str | None:
        """Path of the certificate that clients have to trust, until the sandbox is closed; None without TLS."""
        return None if self._certificates is None else self._certificates.ca_file

    @property
    def ca_pem(self) -> str | None:
        """The certificate that clients have to trust, as PEM text; None without TLS."""
        return None if self._certificates is None else self._certificates.ca_pem

    @property
    def api_key(self) -> str:
        """API key of the account that is there from the start."""
        return self._user.api_key

    @property
    def api_secret(self) -> str:
        """Secret of the account that is there from the start, for signed requests."""
        return self._user.api_secret

    @property
    def now(self) -> int:
        """Exchange time in milliseconds."""
        return self._server_thread.call(lambda now: now)

    @property
    def metrics(self) -> Metrics:
        """What was asked and sent since the start."""
        return self._server_thread.read(self._exchange.metrics)

    @property
    def rest_log(self) -> list[RestCall]:
        """The last REST calls, oldest first, without their parameters."""
        return self._server_thread.read(self._exchange.rest_log)

    @property
    def users(self) -> list[User]:
        """Every account, the one that is there from the start first."""
        return self._server_thread.read(self._exchange.users)

    def add_user(self) -> User:
        """Open another account; the answer holds its `api_key` and `api_secret`."""
        return self._server_thread.read(self._exchange.add_user)

    def send_event(self, event: EventPayload, account: str = CROSS, api_key: str | None = None) -> int:
        """Send an event as it is to everybody who is subscribed to an account.

        The account is ``cross`` or an isolated symbol. Returns how many frames went out.
        """
        uid = self._resolve_uid(api_key)
        return self._server_thread.call(lambda now: self._exchange.send_event(event, uid, account, now))

    def revoke_api_key(self, api_key: str | None = None) -> None:
        """Take an API key away, by default that of the account that is there from the start.

        Raises:
            KeyError: there is no such key.

        """
        key = self.api_key if api_key is None else api_key
        self._server_thread.call(lambda now: self._exchange.revoke_api_key(key, now))

    def delete_listen_key(
        self,
        listen_key: str | None = None,
        *,
        kind: ListenKeyKind | None = None,
        account: str = CROSS,
        api_key: str | None = None,
    ) -> bool:
        """Close a listen key as another client of the account would; its stream just goes quiet.

        Without a key, those of an account: of one kind, or all. Returns False where there was none.
        """
        if listen_key is not None:
            return self._server_thread.call(lambda now: self._exchange.delete_named_listen_key(listen_key, now))
        uid = self._resolve_uid(api_key)
        return self._server_thread.call(lambda now: self._exchange.delete_listen_key(uid, account, kind, now))

    def retire_endpoint(self, path: str) -> None:
        """Answer 410 to a call from now on, such as ``/sapi/v1/userListenToken``."""
        self._server_thread.read(lambda: self._exchange.retire_endpoint(path))

    def restore_endpoint(self, path: str) -> None:
        """Serve a call again that `retire` or the rules took away."""
        self._server_thread.read(lambda: self._exchange.restore_endpoint(path))

    def inject_fault(
        self,
        fault: Fault | str,
        *,
        path: str | None = None,
        times: int | None = 1,
        connection: int | None = None,
        after_seconds: float = 0.0,
        at_ms: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Let something go wrong.

        A fault is a name such as ``"half-open"``, or a value of `binance_margin_stream.sandbox.faults`. The names
        are those of `NAMED_FAULTS`, whose ``create_fault("drop", code=1011)`` takes parameters, too. Faults of calls,
        handshakes, subscribes and events strike the next `times` of them, or all until `clear_faults` with None,
        on one path or on any; with a `probability`, each occasion may pass. The others strike once: one open
        connection, or all of them. All that can wait: `after_seconds` from now, or until `at_ms`, both in exchange
        time.

        Raises:
            ValueError: no such fault, times below 1, or a probability outside 0 to 1.

        """

        def apply(now: int) -> None:
            at = now + round(after_seconds * 1000) if at_ms is None else at_ms
            self._exchange.inject_fault(
                fault, now, path=path, times=times, connection=connection, at_ms=at, probability=probability
            )

        self._server_thread.call(apply)

    def start_random_faults(self, seed: int, every_seconds: float = 60.0, faults: Sequence[str] | None = None) -> None:
        """Let faults strike at random until `stop_random_faults`: one in `every_seconds` of exchange time, on average.

        `only` names those to choose from; by default all but those that nothing recovers from by itself. The
        same seed gives the same faults at the same distances.

        Raises:
            ValueError: no time between faults, or a name that no fault has.

        """
        self._server_thread.call(lambda now: self._exchange.start_random_faults(seed, every_seconds, now, faults))

    def stop_random_faults(self) -> None:
        """Let no more faults strike at random; those that are armed stay so."""
        self._server_thread.read(self._exchange.stop_random_faults)

    def clear_faults(self) -> None:
        """Let nothing more go wrong. Connections that are frozen, slow or half open stay so."""
        self._server_thread.read(self._exchange.clear_faults)

    def advance_time(self, seconds: float) -> None:
        """Step the exchange's time ahead, with all that happens until then.

        Pings that were due meanwhile are sent once, at the end; clients get a moment to answer. In a test
        that runs in an event loop, call this with `asyncio.to_thread`, so that they can.

        Raises:
            ValueError: a negative time.

        """
        self._server_thread.advance(seconds)

    def run_script(self, script: Script) -> None:
        """Play a script, a YAML file or a list of its steps, and return when its last step is done.

        Every step has `at`, a time of day in UTC, or `after`, a time since the step before; `every` and `times`
        repeat it. It is all exchange time: this waits for it, or steps to it where time stands still. All steps
        are checked before the first one is done.

        Raises:
            ScriptError: a step is wrong, or could not be done; a `ValueError` that names it.
            OSError: the file cannot be read.
            RuntimeError: the sandbox is not running, or was closed meanwhile.

        """
        for due, step in schedule_steps(read_script(script), self.now):
            self._server_thread.wait_until(due)
            step.run(self)

    @property
    def _scheme_suffix(self) -> str:
        return "" if self._certificates is None else "s"

    @property
    def _authority(self) -> str:
        if not self._port:
            raise RuntimeError(
                "the sandbox has no address before it is started: use it inside `with Sandbox() as exchange:`"
            )
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - shown, not bound
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"

    def _run_operation(self, call: OperationCall) -> JSON:
        return call.operation.run(self, call.arguments)


def _scale_rules(rules: ExchangeRules, speed: float) -> ExchangeRules:
    """Rules that forgive a client a real second's silence, whatever that is in exchange time."""
    min_pong_ms = int(speed * 1000 * _MIN_PONG_SECONDS)
    return replace(
        rules,
        pong_timeout_ms=max(rules.pong_timeout_ms, min_pong_ms),
        stream_message_limit_per_second=rules.stream_message_limit_per_second + min_pong_ms // rules.ping_interval_ms,
    )


def _create_certificates(host: str) -> Certificates:
    try:
        from binance_margin_stream.sandbox.server.tls import Certificates
    except ModuleNotFoundError as missing:
        raise ImportError("TLS needs trustme: pip install 'binance-margin-stream[sandbox]'") from missing
    return Certificates(host)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
