"""From facts to findings: what is wrong, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from binance_margin_stream.cli.doctor.results import Answer, Cause, Facts, Host

__all__ = ["Finding", "Level", "diagnosed", "is_well"]

Level = Literal["ok", "note", "problem"]

_CLOCK_NOTE = 1.5
_CLOCK_PROBLEM = 5.0
_SLOW = 2.0
_FEW_DAYS = 7
_MUCH = 0.8
_FOLLOWED = ("token", "listen-key-v2")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report; `do` is empty where there is nothing to do."""

    check: str
    level: Level
    what: str
    do: str = ""


def diagnosed(facts: Facts) -> tuple[Finding, ...]:
    """The findings, in the order of the checks. A cause is told once, however much follows from it."""
    return (
        *_key(facts),
        *_hosts(facts),
        *_clock(facts),
        *_calls(facts),
        *_sockets(facts),
        *_limits(facts),
    )


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether there is no problem among them."""
    return all(finding.level != "problem" for finding in findings)


_DNS = "check the spelling of the address, and this machine's DNS"
_NETWORK = "check this machine's network, its firewall, and the exchange's status page"
_ADVICE = {
    Cause.NO_NAME: _DNS,
    Cause.REFUSED: "nothing listens there: check address and port, and that the sandbox runs, if it is one",
    Cause.NO_ROUTE: _NETWORK,
    Cause.NO_TLS: "check this machine's clock; where a proxy opens TLS, name its certificate in SSL_CERT_FILE",
    Cause.TIMED_OUT: _NETWORK + "; a longer --timeout tells a slow network from a dead one",
    Cause.CUT_OFF: "repeat; if it stays so, something in between cuts connections: look at proxy and firewall",
    Cause.PROXY: "check the proxy's address and password in HTTPS_PROXY, and add what needs no proxy to NO_PROXY",
    Cause.STRANGE: "something in between answers in the exchange's place, such as a login page or a proxy: try from "
    "another network, and check the address",
    Cause.SILENT: "repeat; if it stays so, a proxy or firewall holds back WebSocket frames",
    Cause.NOT_FOUND: "the address is not that of the exchange: check it, and --endpoint",
    Cause.KEY_FORMAT: "copy the API key again, whole and without quotes, from the exchange's API management page",
    Cause.KEY_UNKNOWN: "at the exchange's API management page, check that the key still exists, that it may read "
    "margin accounts, and that its list of IP addresses has this one",
    Cause.RETIRED: "take another --source, and look for an update of this package",
    Cause.SIGNATURE: "the API secret does not belong to this key: copy both again, or leave the secret out",
    Cause.CLOCK: "set this machine's clock, with NTP",
    Cause.BLOCKED: "no API key helps: wait some minutes without sending anything, then try from another network; "
    "check that the exchange serves the country of this IP address",
    Cause.COUNTRY: "the exchange does not serve the country of this IP address: run this elsewhere",
    Cause.LIMITED: "send nothing for a minute, then find what else on this IP address or account asks so often",
    Cause.BANNED: "send nothing before it is over, or it gets longer; find what ignored the exchange's answer 429",
    Cause.FAILING: "the exchange is in trouble: look at its status page; a stream repeats by itself until it is well",
    Cause.REJECTED: "look up the exchange's words; if they say nothing to you, report it",
}


def _key(facts: Facts) -> Iterator[Finding]:
    if facts.key.problem:
        yield Finding(
            "key", "problem", facts.key.problem, "put the key into BINANCE_API_KEY, or name a file that has it"
        )
        return
    signs = "with a secret" if facts.key.signs else "without a secret, which only signed calls need"
    yield Finding("key", "ok", f"an API key of {facts.key.length} characters, {signs}")


def _hosts(facts: Facts) -> Iterator[Finding]:
    for host in facts.hosts:
        check = "proxy" if host.is_proxy else "network"
        if host.cause is not Cause.FINE:
            yield Finding(check, "problem", _said(host.address, host.cause, host.detail), _host_advice(host))
        elif host.certificate_days is not None and host.certificate_days < _FEW_DAYS:
            left = f"{host.address}: its certificate is good for {host.certificate_days} days only"
            yield Finding(check, "note", left, "who runs that host has to renew it")
        elif host.is_proxy:
            yield Finding(check, "note", f"calls go through the proxy {host.address}, as the environment says")
        else:
            tls = "" if host.certificate_days is None else f", certificate good for {host.certificate_days} days"
            yield Finding(check, "ok", f"{host.address} is there{tls}")


def _host_advice(host: Host) -> str:
    return _ADVICE[Cause.PROXY] if host.is_proxy else _ADVICE[host.cause]


def _clock(facts: Facts) -> Iterator[Finding]:
    offset = facts.clock_offset
    if offset is None:
        return
    if abs(offset) <= _CLOCK_NOTE:
        yield Finding("clock", "ok", "within a second and a half of the exchange's")
        return
    what = f"this machine's clock is {abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} the exchange's"
    level: Level = "problem" if abs(offset) > _CLOCK_PROBLEM else "note"
    yield Finding("clock", level, what, "set it, with NTP: signed calls are refused, and the times of gaps are wrong")


def _calls(facts: Facts) -> Iterator[Finding]:
    if not facts.calls:
        if not facts.key.problem and all(host.cause is Cause.FINE for host in facts.hosts):
            yield Finding("ways in", "problem", "no call was made", "report it")
        return
    missing = [answer for answer in facts.calls if answer.cause is Cause.NOT_FOUND]
    if len(missing) == len(facts.calls):
        yield Finding("ways in", "problem", _told(missing), _ADVICE[Cause.NOT_FOUND])
        return
    yield from _alive(facts.calls, "ways in", "alive")
    yield from _retired([answer for answer in facts.calls if answer.cause in (Cause.RETIRED, Cause.NOT_FOUND)], facts)
    yield from _key_rejected(facts.calls)
    others = (Cause.FINE, Cause.RETIRED, Cause.NOT_FOUND, Cause.KEY_UNKNOWN)
    yield from _failed([answer for answer in facts.calls if answer.cause not in others], "ways in")


def _alive(answers: Sequence[Answer], check: str, how: str) -> Iterator[Finding]:
    fine = [answer for answer in answers if answer.cause is Cause.FINE]
    if fine:
        yield Finding(check, "ok", f"{_ways(fine)}: {how}")
    slow = [answer for answer in fine if answer.seconds > _SLOW]
    if slow:
        longest = max(answer.seconds for answer in slow)
        yield Finding(check, "note", f"{_ways(slow)}: slow, up to {longest:.1f} s", _NETWORK)


def _retired(answers: Sequence[Answer], facts: Facts) -> Iterator[Finding]:
    gone = {answer.way for answer in answers}
    if "listen-key" in gone:
        what = "listen-key is retired, as in production since 2026-02-20"
        yield Finding("ways in", "note", what, "use token or listen-key-v2 in its place, as source auto does")
    if gone >= set(_FOLLOWED):
        update = "update this package: pip install --upgrade binance-margin-stream"
        yield Finding(
            "ways in", "problem", f"{' and '.join(_FOLLOWED)} are retired: no account can be followed", update
        )
    elif "token" in gone:
        what = "token is retired; listen-key-v2 takes its place, but has no isolated accounts"
        yield Finding("ways in", "note", what, "if you follow isolated accounts, look for an update of this package")
    elif "listen-key-v2" in gone:
        yield Finding("ways in", "note", "listen-key-v2 is retired; token is there, so nothing is missing")
    if "risk" in gone:
        what = "risk is retired: no margin calls through it"
        yield Finding("ways in", "problem", what, "follow without --risk, and look for an update of this package")


def _key_rejected(calls: Sequence[Answer]) -> Iterator[Finding]:
    rejected = [answer for answer in calls if answer.cause is Cause.KEY_UNKNOWN]
    if not rejected:
        return
    if any(answer.cause is Cause.FINE for answer in calls):
        do = "allow the key to do this, at the exchange's API management page: the key itself is known"
        yield Finding("permissions", "problem", _told(rejected), do)
        return
    yield Finding("permissions", "problem", _told(rejected), _ADVICE[Cause.KEY_UNKNOWN])


def _sockets(facts: Facts) -> Iterator[Finding]:
    yield from _alive(facts.sockets, "streams", "subscribed")
    yield from _failed([answer for answer in facts.sockets if answer.cause is not Cause.FINE], "streams")


def _failed(answers: Sequence[Answer], check: str) -> Iterator[Finding]:
    """One finding for each cause, whatever it struck."""
    for cause in dict.fromkeys(answer.cause for answer in answers):
        struck = [answer for answer in answers if answer.cause is cause]
        yield Finding(check, "problem", _told(struck), _ADVICE[cause])


def _limits(facts: Facts) -> Iterator[Finding]:
    if not facts.used:
        return
    scopes = {"IP": "this IP address", "UID": "the account"}
    what = ", ".join(f"{used} of {limit} for {scopes[scope]}" for scope, (used, limit) in facts.used.items())
    full = any(used > _MUCH * limit for used, limit in facts.used.values())
    do = "more than that is answered 429, and then with a ban: ask less" if full else ""
    yield Finding("limits", "problem" if full else "ok", f"weight used this minute by the busiest call: {what}", do)


def _told(answers: Sequence[Answer]) -> str:
    first = answers[0]
    wait = max((answer.wait for answer in answers if answer.wait is not None), default=None)
    end = "" if wait is None else f"; wait {wait:.0f} s"
    return _said(_ways(answers), first.cause, first.detail) + end


def _said(whom: str, cause: Cause, detail: str) -> str:
    return f"{whom}: {cause.value}{f' ({detail})' if detail else ''}"


def _ways(answers: Sequence[Answer]) -> str:
    names = list(dict.fromkeys(answer.way for answer in answers))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
