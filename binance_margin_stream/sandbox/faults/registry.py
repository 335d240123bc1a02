"""Faults by name, with parameters that a command line, a script or an HTTP request can give."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args, get_origin

from binance_margin_stream.sandbox.clock import MAX_TIME_MS
from binance_margin_stream.sandbox.config import ListenKeyKind
from binance_margin_stream.sandbox.faults import trading
from binance_margin_stream.sandbox.faults import types as faults
from binance_margin_stream.sandbox.faults.types import Fault

__all__ = ["NAMED_FAULTS", "FaultParameter", "NamedFault", "Scalar", "create_fault"]

Scalar = str | int | float
"""Value of a fault parameter."""


@dataclass(frozen=True, slots=True)
class FaultParameter:
    """A parameter: its default, which also determines its type, and its choices."""

    name: str
    default: Scalar
    choices: tuple[str, ...] = ()

    def parse(self, value: Scalar) -> Scalar:
        """Convert a value; numbers may be given as strings.

        Raises:
            ValueError: says what the parameter takes.

        """
        kind = type(self.default)
        try:
            if isinstance(value, bool) or (kind is int and isinstance(value, float)):
                raise ValueError
            read = kind(value)
        except (ValueError, TypeError):
            raise ValueError(f"{self.name} takes {self.expected}") from None
        if (self.choices and read not in self.choices) or not _is_in_range(read):
            raise ValueError(f"{self.name} takes {self.expected}")
        return read

    @property
    def expected(self) -> str:
        """What the parameter takes, for error messages."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return {str: "a text", int: "a whole number", float: "a number from 0"}[type(self.default)]


@dataclass(frozen=True, slots=True)
class NamedFault:
    """A fault with its name, a one-line summary, its parameters and its factory."""

    name: str
    summary: str
    parameters: tuple[FaultParameter, ...]
    factory: Callable[..., Fault]

    def __call__(self, **given: Scalar) -> Fault:
        """Create the fault; numbers may be given as strings.

        Raises:
            ValueError: an unknown parameter, or an invalid value.

        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise ValueError(f"the fault {self.name} takes {', '.join(known) or 'no parameter'}, not {name}")
        return self.factory(**{name: known[name].parse(value) for name, value in given.items()})


def create_fault(name: str, **parameters: Scalar) -> Fault:
    """Create a fault by its name, such as ``create_fault("server-error", status=502)``.

    Raises:
        ValueError: an unknown fault or parameter, or an invalid value.

    """
    fault = NAMED_FAULTS.get(name)
    if fault is None:
        raise ValueError(f"no fault is called {name}; there are {', '.join(NAMED_FAULTS)}")
    return fault(**parameters)


_MAX_SECONDS = MAX_TIME_MS / 1000
_MAX_INTEGER = 10**9
_MAX_TEXT_LENGTH = 65_536


def _is_in_range(value: Scalar) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT_LENGTH
    return 0 <= value <= _MAX_SECONDS if isinstance(value, float) else abs(value) <= _MAX_INTEGER


def _drop_connections(code: int = 1001) -> Fault:
    """Close the open connections with a close frame of this code."""
    return faults.DropConnections("close", code)


def _reset_connections() -> Fault:
    """Reset the TCP connections of the open WebSocket connections."""
    return faults.DropConnections("reset")


def _end_connections() -> Fault:
    """End the open connections without a close frame."""
    return faults.DropConnections("eof")


def _freeze_connections() -> Fault:
    """Stop sending on the open connections, pings included, and keep them open."""
    return faults.FreezeConnections()


def _half_open_connections() -> Fault:
    """Drop the open connections without notifying the clients, whose sockets stay open."""
    return faults.HalfOpenConnections()


def _delay_frames(seconds: float = 2.0) -> Fault:
    """Delay every frame on the open connections by this many seconds of exchange time."""
    return faults.DelayFrames(seconds)


def _truncate_event() -> Fault:
    """Send only the first half of the next event."""
    return faults.TruncateEvent()


def _malformed_frame(text: str = faults.MalformedFrame().text) -> Fault:
    """Send a malformed text frame on the open connections."""
    return faults.MalformedFrame(text)


def _binary_frame() -> Fault:
    """Send a binary frame on the open connections; the exchange sends none."""
    return faults.BinaryFrame()


def _duplicate_event() -> Fault:
    """Send the next event twice."""
    return faults.DuplicateEvent()


def _reorder_events() -> Fault:
    """Send the next event after the following event of another account."""
    return faults.ReorderEvents()


def _expire_credentials(credentials: Literal["all", "listen_tokens", "listen_keys"] = "all") -> Fault:
    """Expire credentials now: all, listen_tokens or listen_keys."""
    return faults.ExpireCredentials(credentials)


def _delete_listen_keys(kind: ListenKeyKind | Literal["all"] = "all") -> Fault:
    """Delete listen keys as another client would: all, listen_key, listen_key_v2 or risk_listen_key."""
    return faults.DeleteListenKeys(None if kind == "all" else kind)


def _revoke_api_key(uid: int = 1) -> Fault:
    """Revoke a user's API key; 1 is the first user."""
    return faults.RevokeApiKey(uid)


def _shutdown_notice(close_after_seconds: float = 10.0) -> Fault:
    """Announce a shutdown on the open connections, and close them after these seconds of exchange time."""
    return faults.ShutdownNotice(close_after_seconds)


def _refuse_handshake(status: int = 503) -> Fault:
    """Refuse the next WebSocket handshake with this HTTP status."""
    return faults.RefuseHandshake(_validate_error_status(status))


def _slow_handshake(seconds: float = 2.0) -> Fault:
    """Delay the next WebSocket handshake by this many real seconds."""
    return faults.SlowHandshake(seconds)


def _silent_connection() -> Fault:
    """Accept the next WebSocket handshake, then send and read nothing."""
    return faults.SilentConnection()


def _wrong_certificate(problem: Literal["unknown_ca", "wrong_host", "expired"] = "unknown_ca") -> Fault:
    """Present an invalid certificate in the next TLS handshake: unknown_ca, wrong_host or expired."""
    return faults.WrongCertificate(problem)


def _lost_subscribe_response() -> Fault:
    """Carry out the next subscribe and drop its response."""
    return faults.LostSubscribeResponse()


def _delayed_subscribe_response() -> Fault:
    """Send the response to the next subscribe after the first event."""
    return faults.DelayedSubscribeResponse()


def _duplicate_subscribe_response() -> Fault:
    """Send the response to the next subscribe twice."""
    return faults.DuplicateSubscribeResponse()


def _refuse_subscribe(code: int = -1000) -> Fault:
    """Refuse the next subscribe with this error code."""
    return faults.RefuseSubscribe(code)


def _server_error(status: int = 503) -> Fault:
    """Respond to the next REST call with the HTML page of a failing gateway."""
    return faults.server_error(_validate_error_status(status))


def _too_many_requests(retry_after: int = 1) -> Fault:
    """Respond to the next REST call with 429 and this Retry-After, in seconds."""
    return faults.too_many_requests(retry_after)


def _ip_banned(retry_after: int = 120) -> Fault:
    """Respond to the next REST call with 418 and this Retry-After, in seconds."""
    return faults.ip_banned(retry_after)


def _forbidden() -> Fault:
    """Respond to the next REST call with the HTML page of the firewall (403)."""
    return faults.forbidden()


def _truncated_response() -> Fault:
    """Carry out the next REST call and send only the first half of its response."""
    return faults.TruncatedResponse()


def _delayed_response(seconds: float = 2.0) -> Fault:
    """Delay the response to the next REST call by this many real seconds."""
    return faults.DelayedResponse(seconds)


def _no_response() -> Fault:
    """Carry out the next REST call and never respond."""
    return faults.NoResponse()


def _reset_request() -> Fault:
    """Carry out the next REST call and reset its connection instead of responding."""
    return faults.ResetConnection()


def _api_error(code: int = -3003, status: int = 400) -> Fault:
    """Respond to the next REST call with this error code of the exchange, such as -3003 or -11001."""
    return faults.ApiError(code, _validate_error_status(status))


def _not_found() -> Fault:
    """Respond to the next REST call with the HTML page of a front server (404)."""
    return faults.not_found()


def _order_not_found() -> Fault:
    """Respond -2013 to the next query of an order, or -2011 to its cancel, although it exists."""
    return trading.OrderNotFound()


def _empty_rows() -> Fault:
    """Respond to the next query of orders, trades or records without rows."""
    return trading.EmptyRows()


def _missing_rows(share: float = 0.3) -> Fault:
    """Leave out this share of the rows, at random, in the next query of orders, trades or records."""
    return trading.MissingRows(share)


def _null_commission() -> Fault:
    """Respond to the next query of trades with null as commission."""
    return trading.NullCommission()


def _late_fill(seconds: float = 1.0) -> Fault:
    """Fill the next cancelled order after its last report, this many seconds of exchange time later."""
    return trading.LateFill(seconds)


def _unknown_outcome(status: int = 503) -> Fault:
    """Carry out the next REST call, and respond with the HTML page of a failing gateway."""
    return trading.UnknownOutcome(_validate_error_status(status))


def _order_limit() -> Fault:
    """Respond to the next REST call with -1015, too many new orders."""
    return faults.order_limit()


def _archived_order() -> Fault:
    """Respond to the next REST call with -2026, an archived order."""
    return faults.archived_order()


def _unexpected_trade(symbol: str = "ETHUSDT", uid: int = 1) -> Fault:
    """Trade a symbol in a user's cross account, as another program would."""
    return trading.UnexpectedTrade(symbol, uid)


_FACTORIES: dict[str, Callable[..., Fault]] = {
    "drop": _drop_connections,
    "reset": _reset_connections,
    "end-of-file": _end_connections,
    "freeze": _freeze_connections,
    "half-open": _half_open_connections,
    "delay-frames": _delay_frames,
    "truncate-event": _truncate_event,
    "malformed-frame": _malformed_frame,
    "binary-frame": _binary_frame,
    "duplicate-event": _duplicate_event,
    "reorder-events": _reorder_events,
    "expire-credentials": _expire_credentials,
    "delete-listen-keys": _delete_listen_keys,
    "revoke-api-key": _revoke_api_key,
    "shutdown-notice": _shutdown_notice,
    "refuse-handshake": _refuse_handshake,
    "slow-handshake": _slow_handshake,
    "silent-connection": _silent_connection,
    "wrong-certificate": _wrong_certificate,
    "lost-subscribe-response": _lost_subscribe_response,
    "delayed-subscribe-response": _delayed_subscribe_response,
    "duplicate-subscribe-response": _duplicate_subscribe_response,
    "refuse-subscribe": _refuse_subscribe,
    "server-error": _server_error,
    "429": _too_many_requests,
    "418": _ip_banned,
    "forbidden": _forbidden,
    "truncated-response": _truncated_response,
    "delayed-response": _delayed_response,
    "no-response": _no_response,
    "reset-request": _reset_request,
    "api-error": _api_error,
    "not-found": _not_found,
    "order-not-found": _order_not_found,
    "empty-rows": _empty_rows,
    "missing-rows": _missing_rows,
    "null-commission": _null_commission,
    "late-fill": _late_fill,
    "unknown-outcome": _unknown_outcome,
    "order-limit": _order_limit,
    "archived-order": _archived_order,
    "unexpected-trade": _unexpected_trade,
}


def _validate_error_status(status: int) -> int:
    if not 400 <= status <= 599:
        raise ValueError("status takes an HTTP status from 400 to 599")
    return status


def _literal_choices(annotation: object) -> tuple[str, ...]:
    """The strings that an annotation allows: those of a `Literal`, or of a union of them."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(choice for part in get_args(annotation) for choice in _literal_choices(part))


def _build_named_fault(name: str, factory: Callable[..., Fault]) -> NamedFault:
    parameters = tuple(
        FaultParameter(each.name, each.default, _literal_choices(each.annotation))
        for each in inspect.signature(factory, eval_str=True).parameters.values()
    )
    return NamedFault(name, inspect.getdoc(factory) or "", parameters, factory)


NAMED_FAULTS: Mapping[str, NamedFault] = MappingProxyType(
    {name: _build_named_fault(name, make) for name, make in _FACTORIES.items()}
)
"""The faults by name."""
