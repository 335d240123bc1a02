"""Diagnose: from the results of the probes to findings and hints. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from binance_margin_stream.cli.doctor.results import HostCheck, ProbeReport, ProbeResult, ProbeStatus

__all__ = ["Finding", "FindingLevel", "all_ok", "diagnose"]

FindingLevel = Literal["ok", "note", "problem"]

_CLOCK_NOTE_SECONDS = 1.5
_CLOCK_PROBLEM_SECONDS = 5.0
_SLOW_SECONDS = 2.0
_CERTIFICATE_NOTE_DAYS = 7
_WEIGHT_PROBLEM_SHARE = 0.8
_ACCOUNT_SOURCES = ("token", "listen-key-v2")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `hint` says what to do; empty if nothing."""

    check: str
    level: FindingLevel
    message: str
    hint: str = ""


def diagnose(report: ProbeReport) -> tuple[Finding, ...]:
    """Return the findings, in the order of the checks. Each cause is reported once, whatever follows from it."""
    report, key_findings = _remove_key_errors(report), _check_key(report)
    return (
        *key_findings,
        *_check_hosts(report),
        *_check_clock(report),
        *_check_rest(report),
        *_check_websockets(report),
        *_check_limits(report),
    )


def all_ok(findings: Iterable[Finding]) -> bool:
    """Whether no finding is a problem."""
    return all(finding.level != "problem" for finding in findings)


_DNS_HINT = "check the spelling of the address, and the DNS settings of this machine"
_NETWORK_HINT = "check the network and the firewall of this machine, and the exchange's status page"
_PROXY_HINT = "check address and password of the proxy in {}; list hosts without a proxy in NO_PROXY"
_HINTS = {
    ProbeStatus.DNS_FAILED: _DNS_HINT,
    ProbeStatus.CONNECTION_REFUSED: "check address and port; for a sandbox, check that the sandbox runs",
    ProbeStatus.CONNECT_FAILED: _NETWORK_HINT,
    ProbeStatus.TLS_FAILED: "check the clock of this machine; if a proxy intercepts TLS, set SSL_CERT_FILE to its "
    "certificate",
    ProbeStatus.TIMED_OUT: f"{_NETWORK_HINT}; use a longer --timeout for a slow network",
    ProbeStatus.DISCONNECTED: "run it again; if it happens again, check the proxy and firewall in between",
    ProbeStatus.PROXY_FAILED: _PROXY_HINT.format("HTTPS_PROXY"),
    ProbeStatus.PROXY_INVALID: "correct the variable, or unset it to connect without a proxy",
    ProbeStatus.PROXY_REFUSED: "ask the operator of the proxy to allow the exchange's hosts, or list them in NO_PROXY",
    ProbeStatus.INVALID_RESPONSE: "something responds instead of the exchange, such as a login page or a proxy: check "
    "the address, and try another network",
    ProbeStatus.NO_RESPONSE: "run it again; if it happens again, a proxy or firewall blocks WebSocket frames",
    ProbeStatus.NOT_FOUND: "this is not the address of the exchange: check it, and --endpoint",
    ProbeStatus.KEY_MALFORMED: "copy the complete API key, without quotes, from the exchange's API management page",
    ProbeStatus.KEY_REJECTED: "on the exchange's API management page, check that the key still exists, may read margin "
    "accounts, and allows this IP address",
    ProbeStatus.RETIRED: "use another --source, and look for an update of this package",
    ProbeStatus.SIGNATURE_REJECTED: "the API secret does not belong to this key: copy both again, or remove the secret",
    ProbeStatus.TIMESTAMP_REJECTED: "synchronize the clock of this machine, with NTP",
    ProbeStatus.BLOCKED: "it is not the API key: send nothing for some minutes, then try another network; check that "
    "the exchange serves the country of this IP address",
    ProbeStatus.COUNTRY_BLOCKED: "the exchange does not serve the country of this IP address: run this elsewhere",
    ProbeStatus.RATE_LIMITED: "send nothing for a minute, then find what else uses this IP address or account",
    ProbeStatus.BANNED: "send nothing until it ends, or the ban gets longer; find the program that ignored HTTP 429",
    ProbeStatus.SERVER_ERROR: "check the exchange's status page; a stream retries until the exchange works again",
    ProbeStatus.REQUEST_REJECTED: "see the exchange's message; if it does not help, report it",
}


_NO_KEY_HINT = "set BINANCE_API_KEY to the key, or BINANCE_API_KEY_FILE to a file that contains it"
_SIGNING_HINT = "correct it, or unset it: only signed calls need a secret or a private key"
_KEY_FORM = "the exchange's keys have 64 letters and digits"


def _check_key(report: ProbeReport) -> Iterator[Finding]:
    key = report.key
    if key.problem:
        yield Finding("key", "problem", key.problem, _SIGNING_HINT if key.is_secret_problem else _NO_KEY_HINT)
        return
    characters = f"{key.length} character{'s' * (key.length != 1)}"
    signs = "with a secret" if key.can_sign else "without a secret (only signed calls need one)"
    if key.has_usual_form or _is_accepted(report):
        yield Finding("key", "ok", f"an API key of {characters}, {signs}")
    else:
        yield Finding(
            "key", "problem", f"this is no API key: it has {characters}; {_KEY_FORM}", _HINTS[ProbeStatus.KEY_MALFORMED]
        )


def _is_accepted(report: ProbeReport) -> bool:
    return any(result.status is ProbeStatus.OK for result in report.rest_results)


def _remove_key_errors(report: ProbeReport) -> ProbeReport:
    """Remove what follows from a key that is none: its form was reported already."""
    if report.key.has_usual_form or _is_accepted(report):
        return report
    key_errors = (ProbeStatus.KEY_MALFORMED, ProbeStatus.KEY_REJECTED)
    rest_results = tuple(result for result in report.rest_results if result.status not in key_errors)
    return replace(report, rest_results=rest_results)


def _check_hosts(report: ProbeReport) -> Iterator[Finding]:
    for host in report.hosts:
        check = "proxy" if host.is_proxy else "network"
        if host.status is ProbeStatus.PROXY_INVALID:
            yield Finding(check, "problem", host.detail, _HINTS[host.status])
        elif host.status is not ProbeStatus.OK:
            yield Finding(
                check, "problem", _describe_status(_name_host(host), host.status, host.detail), _get_host_hint(host)
            )
        elif host.certificate_days is not None and host.certificate_days < _CERTIFICATE_NOTE_DAYS:
            message = f"{host.address}: the certificate expires in {host.certificate_days} days"
            yield Finding(check, "note", message, "the operator of that host must renew it")
        elif host.is_proxy:
            yield Finding(check, "note", f"connections use the proxy {_name_host(host)}")
        else:
            tls = "" if host.certificate_days is None else f", certificate valid for {host.certificate_days} days"
            yield Finding(check, "ok", f"{host.address} is reachable{tls}")


def _name_host(host: HostCheck) -> str:
    return f"{host.address} from {host.proxy_variable}" if host.is_proxy else host.address


def _get_host_hint(host: HostCheck) -> str:
    if not host.is_proxy or host.status is ProbeStatus.PROXY_REFUSED:
        return _HINTS[host.status]
    return _PROXY_HINT.format(host.proxy_variable)


def _get_hint(status: ProbeStatus, report: ProbeReport) -> str:
    variables = dict.fromkeys(host.proxy_variable for host in report.hosts if host.is_proxy)
    if status is ProbeStatus.PROXY_FAILED and variables:
        return _PROXY_HINT.format(" and ".join(variables))
    return _HINTS[status]


def _check_clock(report: ProbeReport) -> Iterator[Finding]:
    offset = report.clock_offset
    if offset is None:
        return
    if abs(offset) <= _CLOCK_NOTE_SECONDS:
        yield Finding("clock", "ok", "within 1.5 s of the exchange's clock")
        return
    message = (
        f"the clock of this machine is {abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} the exchange's"
    )
    level: FindingLevel = "problem" if abs(offset) > _CLOCK_PROBLEM_SECONDS else "note"
    yield Finding(
        "clock", level, message, "synchronize it, with NTP: signed calls are refused, and the times of gaps are wrong"
    )


def _check_rest(report: ProbeReport) -> Iterator[Finding]:
    if not report.rest_results:
        if (
            not report.key.problem
            and report.key.has_usual_form
            and all(host.status is ProbeStatus.OK for host in report.hosts)
        ):
            yield Finding("sources", "problem", "no call was made", "report it")
        return
    missing = [result for result in report.rest_results if result.status is ProbeStatus.NOT_FOUND]
    if len(missing) == len(report.rest_results):
        yield Finding("sources", "problem", _describe_results(missing), _HINTS[ProbeStatus.NOT_FOUND])
        return
    yield from _report_working(report.rest_results, "sources", "available")
    yield from _report_retired(
        [result for result in report.rest_results if result.status in (ProbeStatus.RETIRED, ProbeStatus.NOT_FOUND)],
        report,
    )
    yield from _report_key_rejected(report.rest_results)
    others = (ProbeStatus.OK, ProbeStatus.RETIRED, ProbeStatus.NOT_FOUND, ProbeStatus.KEY_REJECTED)
    failures = [result for result in report.rest_results if result.status not in others]
    yield from _report_failures(failures, "sources", report)


def _report_working(results: Sequence[ProbeResult], check: str, note: str) -> Iterator[Finding]:
    working = [result for result in results if result.status is ProbeStatus.OK]
    if working:
        yield Finding(check, "ok", f"{_join_sources(working)}: {note}")
    slow = [result for result in working if result.elapsed > _SLOW_SECONDS]
    if slow:
        longest = max(result.elapsed for result in slow)
        yield Finding(check, "note", f"{_join_sources(slow)}: slow, up to {longest:.1f} s", _NETWORK_HINT)


def _report_retired(results: Sequence[ProbeResult], report: ProbeReport) -> Iterator[Finding]:
    retired_sources = {result.source for result in results}
    if "listen-key" in retired_sources:
        message = "listen-key is retired, as in production since 2026-02-20"
        yield Finding("sources", "note", message, "use token or listen-key-v2 instead, as source auto does")
    if retired_sources >= set(_ACCOUNT_SOURCES):
        update = "update this package: pip install --upgrade binance-margin-stream"
        yield Finding(
            "sources", "problem", f"{' and '.join(_ACCOUNT_SOURCES)} are retired: no account can be followed", update
        )
    elif "token" in retired_sources:
        message = "token is retired; listen-key-v2 replaces it, but has no isolated accounts"
        yield Finding("sources", "note", message, "to follow isolated accounts, look for an update of this package")
    elif "listen-key-v2" in retired_sources:
        yield Finding("sources", "note", "listen-key-v2 is retired; token is available, so nothing is missing")
    if "risk" in retired_sources:
        message = "risk is retired: no margin calls"
        yield Finding("sources", "problem", message, "follow without --risk, and look for an update of this package")


def _report_key_rejected(results: Sequence[ProbeResult]) -> Iterator[Finding]:
    rejected = [result for result in results if result.status is ProbeStatus.KEY_REJECTED]
    if not rejected:
        return
    if any(result.status is ProbeStatus.OK for result in results):
        hint = "allow this for the key on the exchange's API management page: the key itself is known"
        yield Finding("permissions", "problem", _describe_results(rejected), hint)
        return
    yield Finding("permissions", "problem", _describe_results(rejected), _HINTS[ProbeStatus.KEY_REJECTED])


def _check_websockets(report: ProbeReport) -> Iterator[Finding]:
    yield from _report_working(report.websocket_results, "streams", "subscribed")
    yield from _report_failures(
        [result for result in report.websocket_results if result.status is not ProbeStatus.OK], "streams", report
    )


def _report_failures(results: Sequence[ProbeResult], check: str, report: ProbeReport) -> Iterator[Finding]:
    """Return one finding for each cause."""
    for status in dict.fromkeys(result.status for result in results):
        affected = [result for result in results if result.status is status]
        yield Finding(check, "problem", _describe_results(affected), _get_hint(status, report))


def _check_limits(report: ProbeReport) -> Iterator[Finding]:
    if not report.used_weights:
        return
    scopes = {"IP": "this IP address", "UID": "the account"}
    message = ", ".join(
        f"{used} of {limit} for {scopes[scope]}" for scope, (used, limit) in report.used_weights.items()
    )
    full = any(used > _WEIGHT_PROBLEM_SHARE * limit for used, limit in report.used_weights.values())
    hint = "more leads to HTTP 429, and then to a ban: send fewer requests" if full else ""
    yield Finding(
        "limits", "problem" if full else "ok", f"weight used this minute by the busiest call: {message}", hint
    )


def _describe_results(results: Sequence[ProbeResult]) -> str:
    first = results[0]
    wait = max((result.retry_after for result in results if result.retry_after is not None), default=None)
    end = "" if wait is None else f"; wait {wait:.0f} s"
    return _describe_status(_join_sources(results), first.status, first.detail) + end


def _describe_status(subject: str, status: ProbeStatus, detail: str) -> str:
    return f"{subject}: {status.value}{f' ({detail})' if detail else ''}"


def _join_sources(results: Sequence[ProbeResult]) -> str:
    names = list(dict.fromkeys(result.source for result in results))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
