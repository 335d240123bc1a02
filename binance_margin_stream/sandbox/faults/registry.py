"""Every fault by a plain name, with parameters that a command line, a script or an HTTP call can give."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args, get_origin

from binance_margin_stream.sandbox.faults import types as faults
from binance_margin_stream.sandbox.faults.types import Fault
from binance_margin_stream.sandbox.model.listen_keys import KeyKind

__all__ = ["NAMED", "FaultParameter", "NamedFault", "Scalar", "named"]

Scalar = str | int | float
"""What a parameter of a named fault may be."""


@dataclass(frozen=True, slots=True)
class FaultParameter:
    """One parameter: its default, which also shows its type, and its choices if it has some."""

    name: str
    default: Scalar
    choices: tuple[str, ...] = ()

    def read(self, value: Scalar) -> Scalar:
        """The value as the fault takes it; numbers may come as texts.

        Raises:
            ValueError: saying what it takes.

        """
        kind = type(self.default)
        try:
            if isinstance(value, bool) or (kind is int and isinstance(value, float)):
                raise ValueError
            read = kind(value)
        except (ValueError, TypeError):
            raise ValueError(f"{self.name} takes {self.takes}") from None
        if (self.choices and read not in self.choices) or (isinstance(read, float) and not 0 <= read < _INFINITY):
            raise ValueError(f"{self.name} takes {self.takes}")
        return read

    @property
    def takes(self) -> str:
        """What it takes, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return {str: "a text", int: "a whole number", float: "a number from 0"}[type(self.default)]


@dataclass(frozen=True, slots=True)
class NamedFault:
    """A fault with its name, what it does in a line, and how to make it."""

    name: str
    summary: str
    parameters: tuple[FaultParameter, ...]
    make: Callable[..., Fault]

    def __call__(self, **given: Scalar) -> Fault:
        """The fault as a value; numbers may come as texts.

        Raises:
            ValueError: a parameter that it does not take, or a value that is none for it.

        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise ValueError(f"the fault {self.name} takes {', '.join(known) or 'no parameter'}, not {name}")
        return self.make(**{name: known[name].read(value) for name, value in given.items()})


def named(name: str, **parameters: Scalar) -> Fault:
    """The fault of that name, such as ``named("server-error", status=502)``.

    Raises:
        ValueError: no fault has that name, or it does not take the parameters.

    """
    fault = NAMED.get(name)
    if fault is None:
        raise ValueError(f"no fault is called {name}; there are {', '.join(NAMED)}")
    return fault(**parameters)


_INFINITY = float("inf")


def _drop(code: int = 1001) -> Fault:
    """End the open connections with a close frame of this code."""
    return faults.DropConnections("close", code)


def _reset() -> Fault:
    """End the open connections with a TCP reset."""
    return faults.DropConnections("reset")


def _end_of_file() -> Fault:
    """End the open connections without a close frame."""
    return faults.DropConnections("eof")


def _freeze() -> Fault:
    """Send nothing more on the open connections, not even pings, and keep them open."""
    return faults.FreezeConnections()


def _half_open() -> Fault:
    """Forget the open connections without a word to the clients, whose sockets stay."""
    return faults.HalfOpenConnections()


def _delay(seconds: float = 2.0) -> Fault:
    """Send every frame on the open connections late, by this many seconds of exchange time."""
    return faults.DelayFrames(seconds)


def _truncate() -> Fault:
    """Send the first half of the next event as if it were all."""
    return faults.TruncateEvent()


def _malformed(text: str = faults.MalformedFrame().text) -> Fault:
    """Send a text frame that is not what it should be on the open connections."""
    return faults.MalformedFrame(text)


def _binary() -> Fault:
    """Send a binary frame on the open connections, which the exchange never does."""
    return faults.BinaryFrame()


def _duplicate() -> Fault:
    """Send the next event twice."""
    return faults.RepeatEvent()


def _reorder() -> Fault:
    """Send the next event after the one of another account that follows it."""
    return faults.ReorderEvents()


def _expire(which: Literal["all", "listen_tokens", "listen_keys"] = "all") -> Fault:
    """End tokens and listen keys now, as if their time were up: all, listen_tokens or listen_keys."""
    return faults.ExpireCredentials(which)


def _delete_key(kind: KeyKind | Literal["all"] = "all") -> Fault:
    """Close listen keys as another client would: all, listen_key, listen_key_v2 or risk_listen_key."""
    return faults.DeleteListenKeys(None if kind == "all" else kind)


def _revoke_api_key(uid: int = 1) -> Fault:
    """Take a user's API key away; 1 is the user who is there from the start."""
    return faults.RevokeApiKey(uid)


def _shutdown_notice(close_after_seconds: float = 10.0) -> Fault:
    """Announce a shutdown on the open connections, and close them after these seconds of exchange time."""
    return faults.ServerShutdown(close_after_seconds)


def _refuse(status: int = 503) -> Fault:
    """Refuse the next WebSocket handshake with this HTTP status."""
    return faults.RefuseHandshake(_checked(status))


def _slow_handshake(seconds: float = 2.0) -> Fault:
    """Answer the next WebSocket handshake late, by this many real seconds."""
    return faults.SlowHandshake(seconds)


def _accept_then_nothing() -> Fault:
    """Accept the next WebSocket handshake, then send and read nothing."""
    return faults.AcceptThenNothing()


def _wrong_certificate(how: Literal["unknown_ca", "wrong_host", "expired"] = "unknown_ca") -> Fault:
    """Show a bad certificate in the next TLS handshake: unknown_ca, wrong_host or expired."""
    return faults.WrongCertificate(how)


def _lost_answer() -> Fault:
    """Let the next subscribe take effect and lose its answer."""
    return faults.LoseSubscribeAnswer()


def _late_answer() -> Fault:
    """Answer the next subscribe after the first event."""
    return faults.DelaySubscribeAnswer()


def _repeated_answer() -> Fault:
    """Answer the next subscribe twice."""
    return faults.RepeatSubscribeAnswer()


def _refuse_subscribe(code: int = -1000) -> Fault:
    """Refuse the next subscribe with this error code."""
    return faults.RefuseSubscribe(code)


def _server_error(status: int = 503) -> Fault:
    """Answer the next REST call with a failing gateway's HTML page."""
    return faults.server_error(_checked(status))


def _too_many_requests(retry_after: int = 1) -> Fault:
    """Answer the next REST call with 429 and this Retry-After, in seconds."""
    return faults.too_many_requests(retry_after)


def _banned(retry_after: int = 120) -> Fault:
    """Answer the next REST call with 418 and this Retry-After, in seconds."""
    return faults.banned(retry_after)


def _html_403() -> Fault:
    """Answer the next REST call with the firewall's HTML page."""
    return faults.forbidden()


def _half_answer() -> Fault:
    """Carry the next REST call out and cut its answer in half."""
    return faults.HalfAnswer()


def _slow_answer(seconds: float = 2.0) -> Fault:
    """Answer the next REST call late, by this many real seconds."""
    return faults.DelayAnswer(seconds)


def _no_answer() -> Fault:
    """Carry the next REST call out and never answer."""
    return faults.Hang()


def _reset_call() -> Fault:
    """Carry the next REST call out and reset its connection instead of answering."""
    return faults.ResetConnection()


_MAKERS: dict[str, Callable[..., Fault]] = {
    "drop": _drop,
    "reset": _reset,
    "end-of-file": _end_of_file,
    "freeze": _freeze,
    "half-open": _half_open,
    "delay": _delay,
    "truncate": _truncate,
    "malformed": _malformed,
    "binary": _binary,
    "duplicate": _duplicate,
    "reorder": _reorder,
    "expire": _expire,
    "delete-key": _delete_key,
    "revoke-api-key": _revoke_api_key,
    "shutdown-notice": _shutdown_notice,
    "refuse": _refuse,
    "slow-handshake": _slow_handshake,
    "accept-then-nothing": _accept_then_nothing,
    "wrong-certificate": _wrong_certificate,
    "lost-answer": _lost_answer,
    "late-answer": _late_answer,
    "repeated-answer": _repeated_answer,
    "refuse-subscribe": _refuse_subscribe,
    "server-error": _server_error,
    "429": _too_many_requests,
    "418": _banned,
    "html-403": _html_403,
    "half-answer": _half_answer,
    "slow-answer": _slow_answer,
    "no-answer": _no_answer,
    "reset-call": _reset_call,
}


def _checked(status: int) -> int:
    if not 400 <= status <= 599:
        raise ValueError("status takes an HTTP status from 400 to 599")
    return status


def _choices(annotation: object) -> tuple[str, ...]:
    """The texts that an annotation allows: those of a `Literal`, or of several."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(choice for part in get_args(annotation) for choice in _choices(part))


def _named(name: str, make: Callable[..., Fault]) -> NamedFault:
    parameters = tuple(
        FaultParameter(each.name, each.default, _choices(each.annotation))
        for each in inspect.signature(make, eval_str=True).parameters.values()
    )
    return NamedFault(name, inspect.getdoc(make) or "", parameters, make)


NAMED: Mapping[str, NamedFault] = MappingProxyType({name: _named(name, make) for name, make in _MAKERS.items()})
"""The faults by name."""
