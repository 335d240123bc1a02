"""`doctor` against a healthy sandbox and against everything that can be wrong: it reports the cause, and only that."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable

import pytest
import trustme
from cli_program import Terminal, run_cli
from raw_server import RawServer, make_response

from binance_margin_stream.cli.runner import ExitCode
from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS

TOKEN = "/sapi/v1/userListenToken"
V2 = "/sapi/v2/margin/listen-key"
RISK = "/sapi/v1/margin/listen-key"
WEBSOCKET_API = "/ws-api/v3"

Findings = list[dict[str, str]]


def run_doctor(exchange: Sandbox, *, timeout: float = 5, **variables: str) -> Findings:
    done = run_cli("doctor", "--json", "--timeout", str(timeout), exchange=exchange, **variables)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    problems = select_problems(report["findings"])
    assert (report["ok"], done.returncode) == ((False, ExitCode.FAILURE) if problems else (True, 0))
    assert all(problem["hint"] for problem in problems)
    return report["findings"]


def select_problems(findings: Findings) -> Findings:
    return [finding for finding in findings if finding["level"] == "problem"]


def test_a_healthy_exchange_has_no_problems():
    with Sandbox() as exchange:
        findings = run_doctor(exchange, BINANCE_API_SECRET=exchange.api_secret)
    assert select_problems(findings) == []
    said = {finding["message"] for finding in findings if finding["level"] == "ok"}
    assert "token, listen-key-v2 and risk: available" in said
    assert "token, listen-key-v2 and risk: subscribed" in said
    assert "an API key of 64 characters, with a secret" in said
    assert any("1 of 12000 for this IP address" in what for what in said)


def choose_timeout(what: str) -> float:
    """Return a timeout in seconds: short if no response comes, long enough for a busy machine otherwise."""
    return 1 if "no response in time" in what or "but no response" in what else 5


def inject(fault: faults.Fault, path: str | None = None, times: int | None = None) -> Callable[[Sandbox], None]:
    return lambda exchange: exchange.inject_fault(fault, path=path, times=times)


def retire_endpoints(*paths: str) -> Callable[[Sandbox], object]:
    return lambda exchange: [exchange.retire_endpoint(path) for path in paths]


CAUSES: dict[str, tuple[Callable[[Sandbox], object], str, str, str]] = {
    # problem: how to cause it, the check that finds it, part of the message, part of the hint
    "revoked key": (lambda exchange: exchange.revoke_api_key(), "permissions", "code -2015", "key still exists"),
    "forbidden page": (inject(faults.forbidden()), "sources", "token: blocked (HTTP 403", "another network"),
    "country": (inject(faults.StaticResponse(451)), "sources", "country blocked (HTTP 451", "run this elsewhere"),
    "429": (inject(faults.too_many_requests(7)), "sources", "too many requests (HTTP 429", "send nothing for a minute"),
    "418": (inject(faults.ip_banned(120)), "sources", "banned (HTTP 418", "gets longer"),
    "5xx": (inject(faults.server_error(502)), "sources", "server error (HTTP 502", "status page"),
    "hang": (inject(faults.NoResponse()), "sources", "no response in time", "--timeout"),
    "late answers": (inject(faults.DelayedResponse(2)), "sources", "no response in time", "--timeout"),
    "half answers": (inject(faults.TruncatedResponse()), "sources", "disconnected", "proxy and firewall"),
    "reset": (inject(faults.ResetConnection()), "sources", "disconnected", "proxy and firewall"),
    "login page": (
        inject(faults.StaticResponse(200, b"<html><title>Wi-Fi</title></html>", (("Content-Type", "text/html"),))),
        "sources",
        "unexpected response",
        "another network",
    ),
    "redirect": (
        inject(faults.StaticResponse(302, b"", (("Location", "http://elsewhere.invalid/"),))),
        "sources",
        "unexpected response",
        "another network",
    ),
    "not the exchange": (
        inject(faults.StaticResponse(404, b"<html></html>")),
        "sources",
        "not found (HTTP 404",
        "--endpoint",
    ),
    "one call fails": (
        inject(faults.server_error(), V2),
        "sources",
        "listen-key-v2: server error",
        "status page",
    ),
    "one call is forbidden to the key": (
        inject(faults.StaticResponse(401, b'{"code":-2015,"msg":"no"}'), RISK),
        "permissions",
        "risk: key rejected",
        "the key itself is known",
    ),
    "every source retired": (
        retire_endpoints(TOKEN, V2),
        "sources",
        "no account can be followed",
        "pip install --upgrade",
    ),
    "margin calls retired": (retire_endpoints(RISK), "sources", "no margin calls", "without --risk"),
    "WebSocket refused 403": (inject(faults.RefuseHandshake(403)), "streams", "blocked", "another network"),
    "WebSocket refused 429": (inject(faults.RefuseHandshake(429)), "streams", "too many requests", "send nothing"),
    "WebSocket refused 503": (inject(faults.RefuseHandshake(503)), "streams", "server error", "status page"),
    "WebSocket refused 410": (
        inject(faults.RefuseHandshake(410), WEBSOCKET_API),
        "streams",
        "token: retired",
        "another --source",
    ),
    "slow handshake": (inject(faults.SlowHandshake(2)), "streams", "no response in time", "--timeout"),
    "accepts and then nothing": (inject(faults.SilentConnection()), "streams", "connected, but no response", "frames"),
    "subscribe answer lost": (
        inject(faults.LostSubscribeResponse()),
        "streams",
        "token: connected, but no response",
        "frames",
    ),
    "subscribe refused": (inject(faults.RefuseSubscribe(-1000)), "streams", "server error (code -1000", "status"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_each_fault_is_reported_once_with_its_cause_and_a_hint(name):
    arrange, check, what, do = CAUSES[name]
    with Sandbox() as exchange:
        arrange(exchange)
        problems = select_problems(run_doctor(exchange, timeout=choose_timeout(what)))
    assert [problem["check"] for problem in problems] == [check]
    assert what in problems[0]["message"]
    assert do in problems[0]["hint"]


@pytest.mark.parametrize(
    "fault",
    [
        faults.DelayedResponse(0.1),
        faults.SlowHandshake(0.1),
        faults.DuplicateSubscribeResponse(),
        faults.DuplicateEvent(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_harmless_fault_is_no_problem(fault):
    with Sandbox() as exchange:
        exchange.inject_fault(fault, times=None)
        assert select_problems(run_doctor(exchange)) == []


@pytest.mark.parametrize(("path", "said"), [(TOKEN, "has no isolated accounts"), (V2, "nothing is missing")])
def test_one_retired_source_is_a_note_while_another_replaces_it(path, said):
    with Sandbox() as exchange:
        exchange.retire_endpoint(path)
        findings = run_doctor(exchange)
    assert select_problems(findings) == []
    assert [finding for finding in findings if finding["level"] == "note" and said in finding["message"]]


@pytest.mark.parametrize("fault", [faults.ip_banned(), faults.too_many_requests(), faults.forbidden()])
def test_nothing_more_is_sent_after_a_refusal_that_requires_backoff(fault):
    with Sandbox() as exchange:
        exchange.inject_fault(fault, times=None)
        run_doctor(exchange)
        assert len(exchange.rest_log) == 1


def test_other_clients_of_the_account_are_not_disturbed():
    """Another client of the account keeps its key, its token and its subscription."""
    with Sandbox() as exchange:
        key = run_cli("key", "create", "--show", exchange=exchange).stdout.strip()
        assert select_problems(run_doctor(exchange)) == []
        assert {call.method for call in exchange.rest_log} == {"POST"}
        kept = run_cli("key", "keepalive", exchange=exchange, BINANCE_LISTEN_KEY=key)
        assert kept.returncode == 0


@pytest.mark.parametrize(("seconds", "level"), [(0, "ok"), (3, "note"), (3600, "problem"), (-3600, "problem")])
def test_the_clock_is_compared_with_that_of_the_exchange(seconds, level):
    with Sandbox() as exchange:
        now = exchange.now
    with Sandbox(start_ms=now + 1000 * seconds) as exchange:
        (clock,) = [finding for finding in run_doctor(exchange) if finding["check"] == "clock"]
    assert clock["level"] == level
    if level == "problem":
        assert "behind" in clock["message"] if seconds > 0 else "ahead of" in clock["message"]
        assert "NTP" in clock["hint"]


def test_a_secret_of_another_key_is_found():
    with Sandbox() as exchange:
        problems = select_problems(run_doctor(exchange, BINANCE_API_SECRET="x" * 64))
    assert [problem["message"][:27] for problem in problems] == ["token: signature rejected ("]
    assert "secret" in problems[0]["hint"]


@pytest.mark.parametrize(
    ("variables", "check", "said"),
    [
        ({"BINANCE_API_KEY": "w" * 64}, "permissions", "code -2015"),
        ({"BINANCE_API_KEY": "too-short"}, "key", "this is no API key: it has 9 characters"),
        ({"BINANCE_API_KEY": "x"}, "key", "this is no API key: it has 1 character;"),
        ({"BINANCE_API_KEY": "-" * 64}, "key", "64 letters and digits"),
        ({"BINANCE_API_KEY": ""}, "key", "BINANCE_API_KEY is empty"),
        ({"BINANCE_API_SECRET": ""}, "key", "BINANCE_API_SECRET is empty"),
        ({"BINANCE_API_KEY": "two words"}, "key", "contains a space"),
        ({"BINANCE_API_KEY_FILE": "/no/such"}, "key", "unset one"),
    ],
)
def test_a_wrong_key_is_found(variables, check, said):
    with Sandbox() as exchange:
        problems = select_problems(run_doctor(exchange, **variables))
    assert [problem["check"] for problem in problems] == [check]
    assert said in problems[0]["message"]


def test_a_missing_key_is_found_and_the_network_is_checked_anyway():
    with Sandbox() as exchange:
        done = run_cli("doctor", "--json", "--sandbox", exchange.url)
        findings = json.loads(done.stdout)["findings"]
        assert exchange.rest_log == []
    assert [(finding["check"], finding["level"]) for finding in findings] == [("key", "problem"), ("network", "ok")]


def test_a_limit_that_is_almost_used_up_is_found():
    with Sandbox(rules=ExchangeRules(ip_weight_limit=12_000)) as exchange:
        headers = (("X-SAPI-USED-IP-WEIGHT-1M", "11000"), ("Content-Type", "application/json"))
        exchange.inject_fault(faults.StaticResponse(200, b'{"listenKey":"k"}', headers), path=V2)
        problems = select_problems(run_doctor(exchange))
    assert [problem["check"] for problem in problems if "11000 of 12000" in problem["message"]] == ["limits"]


def find_problems_at(url: str, **variables: str) -> Findings:
    done = run_cli("doctor", "--json", "--timeout", "1", "--sandbox", url, BINANCE_API_KEY="k" * 64, **variables)
    assert (done.returncode, done.stderr) == (ExitCode.FAILURE, "")
    return select_problems(json.loads(done.stdout)["findings"])


def test_a_refused_connection_is_reported_once():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        (problem,) = find_problems_at(f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert "connection refused" in problem["message"]
    assert "that the sandbox runs" in problem["hint"]


def test_a_name_that_does_not_exist_is_reported_once():
    (problem,) = find_problems_at("http://no-such-host.invalid:1", NO_PROXY="*")
    assert "no-such-host.invalid:1: name not resolved" in problem["message"]
    assert "DNS" in problem["hint"]


def test_a_certificate_that_nobody_trusts_is_reported_once():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with RawServer(make_response(200), tls=tls) as peer:
        (problem,) = find_problems_at(peer.url)
    assert "TLS failed (" in problem["message"]
    assert "SSL_CERT_FILE" in problem["hint"]


def test_a_certificate_of_ones_own_is_trusted_when_the_environment_names_it():
    with Sandbox(tls=True) as exchange:
        assert [problem["check"] for problem in select_problems(run_doctor(exchange))] == ["network"]
        assert select_problems(run_doctor(exchange, SSL_CERT_FILE=exchange.endpoints.ca_file)) == []


def test_a_peer_that_speaks_no_tls_is_reported_once():
    with RawServer(make_response(200)) as peer:
        (problem,) = find_problems_at(peer.url.replace("http://", "https://"))
    assert "TLS failed (the port does not use TLS)" in problem["message"]


def test_an_unreachable_proxy_is_reported_without_its_password():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy = f"http://someone:hidden@127.0.0.1:{nobody.getsockname()[1]}"
        (problem,) = find_problems_at("http://exchange.invalid:80", HTTP_PROXY=proxy)
    assert (problem["check"], "connection refused" in problem["message"]) == ("proxy", True)
    assert "HTTP_PROXY" in problem["hint"]
    assert "hidden" not in json.dumps(problem)


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({"BINANCE_API_SECRET": ""}, "correct it, or unset it: only signed calls need a secret"),
        ({"BINANCE_PRIVATE_KEY": "x"}, "correct it, or unset it: only signed calls need a secret"),
        ({"BINANCE_API_KEY": ""}, "set BINANCE_API_KEY to the key"),
    ],
)
def test_the_hint_for_a_key_is_about_what_is_wrong_and_repeats_nothing(variables, hint):
    with Sandbox() as exchange:
        (problem,) = select_problems(run_doctor(exchange, **variables))
    assert hint in problem["hint"]
    assert "copy it again" not in problem["message"]


def test_without_a_key_the_message_and_the_hint_say_different_things():
    done = run_cli("doctor", "--json", "--sandbox", "http://127.0.0.1:1")
    (key, _) = select_problems(json.loads(done.stdout)["findings"])
    assert key["message"] == "no API key"
    assert key["hint"].startswith("set BINANCE_API_KEY to the key, or BINANCE_API_KEY_FILE")


def test_a_key_of_another_form_is_fine_if_the_exchange_takes_it():
    with RawServer(make_response(200, b'{"token":"t","listenKey":"l","expirationTime":9999999999999}')) as peer:
        findings = json.loads(run_cli("doctor", "--json", "--sandbox", peer.url, BINANCE_API_KEY="k" * 20).stdout)
    assert "an API key of 20 characters" in findings["findings"][0]["message"]


def test_a_person_gets_a_report_that_fits_the_terminal():
    with Sandbox() as exchange, Terminal("doctor", exchange=exchange) as terminal:
        exchange.revoke_api_key()
        assert terminal.wait_for_exit() == ExitCode.FAILURE
        text = terminal.text
    assert "1 problem to solve." in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_a_pipe_gets_the_same_report_in_plain_text():
    with Sandbox() as exchange:
        done = run_cli("doctor", exchange=exchange)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("No problems found.\n")
    assert "\x1b" not in done.stdout


FAULT_CAUSES = {
    "418": "banned",
    "429": "too many requests",
    "silent-connection": "connected, but no response",
    "truncated-response": "disconnected",
    "forbidden": "blocked",
    "delayed-subscribe-response": "connected, but no response",
    "lost-subscribe-response": "connected, but no response",
    "no-response": "no response in time",
    "refuse-handshake": "server error",
    "refuse-subscribe": "server error",
    "reset-request": "disconnected",
    "revoke-api-key": "key rejected",
    "server-error": "server error",
    "unknown-outcome": "server error",
    "order-limit": "too many requests",
    "archived-order": "refused",
    "api-error": "refused",
    "delayed-response": "no response in time",
    "slow-handshake": "no response in time",
}
"""The named faults that affect the doctor, and the status that it reports."""

HARMLESS = {
    *(
        "binary-frame",
        "delay-frames",
        "delete-listen-keys",
        "drop",
        "duplicate-event",
        "end-of-file",
        "expire-credentials",
        "freeze",
        "half-open",
    ),
    *(
        "malformed-frame",
        "reorder-events",
        "duplicate-subscribe-response",
        "reset",
        "shutdown-notice",
        "truncate-event",
        "wrong-certificate",
    ),
    *(
        "empty-rows",
        "late-fill",
        "missing-rows",
        "null-commission",
        "order-not-found",
        "unexpected-trade",
    ),
}
"""Faults that affect only open streams, TLS or calls whose result the doctor does not need."""


NOTED = {"not-found": "token is retired"}
"""Faults that doctor reports as a note: the other sources are available."""


@pytest.mark.parametrize("name", NAMED_FAULTS)
def test_every_named_fault_of_the_sandbox_is_reported_or_harmless(name):
    with Sandbox() as exchange:
        exchange.inject_fault(name)
        findings = run_doctor(exchange, timeout=choose_timeout(FAULT_CAUSES.get(name, "")))
    messages = [problem["message"] for problem in select_problems(findings)]
    if name in NOTED:
        assert messages == []
        assert [each for each in findings if each["level"] == "note" and NOTED[name] in each["message"]]
    elif name in HARMLESS:
        assert messages == []
    else:
        assert len(messages) == 1
        assert FAULT_CAUSES[name] in messages[0]


def test_the_faults_by_name_are_all_expected():
    assert FAULT_CAUSES.keys() | NOTED.keys() | HARMLESS == NAMED_FAULTS.keys()
