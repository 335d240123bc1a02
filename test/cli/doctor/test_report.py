"""From results of probes to findings, without I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.cli.doctor.report import all_ok, diagnose
from binance_margin_stream.cli.doctor.results import HostCheck, KeyCheck, ProbeReport, ProbeResult, ProbeStatus

SOURCES = ("token", "listen-key-v2", "risk", "listen-key")
KEY = KeyCheck(length=64)


def make_report(**more: object) -> ProbeReport:
    return ProbeReport(**{"target": "sandbox", "key": KEY, **more})


def make_results(*causes: ProbeStatus) -> tuple[ProbeResult, ...]:
    return tuple(ProbeResult(way, cause) for way, cause in zip(SOURCES, causes, strict=False))


@pytest.mark.parametrize("cause", [cause for cause in ProbeStatus if cause is not ProbeStatus.OK])
def test_a_cause_that_affects_every_call_is_reported_once_with_a_hint(cause):
    problems = [
        finding
        for finding in diagnose(make_report(rest_results=make_results(*[cause] * 4)))
        if finding.level == "problem"
    ]
    expected = {"no account can be followed", "no margin calls"} if cause is ProbeStatus.RETIRED else {cause.value}
    assert len(problems) == len(expected)
    for part in expected:
        assert [problem for problem in problems if part in problem.message and problem.hint]


@pytest.mark.parametrize("cause", [cause for cause in ProbeStatus if cause is not ProbeStatus.OK])
def test_a_failed_host_and_a_failed_stream_are_problems_with_a_hint(cause):
    for trouble in ({"hosts": (HostCheck("h:1", cause),)}, {"websocket_results": (ProbeResult("token", cause),)}):
        findings = diagnose(make_report(rest_results=make_results(ProbeStatus.OK), **trouble))
        assert not all_ok(findings)
        assert all(finding.hint for finding in findings if finding.level == "problem")


def test_two_causes_are_two_findings():
    findings = diagnose(
        make_report(rest_results=make_results(ProbeStatus.TIMED_OUT, ProbeStatus.SERVER_ERROR, ProbeStatus.TIMED_OUT))
    )
    problems = [finding.message for finding in findings if finding.level == "problem"]
    assert problems == ["token and risk: no response in time", "listen-key-v2: server error"]


@pytest.mark.parametrize(
    ("offset", "level"), [(0.0, "ok"), (-1.4, "ok"), (1.6, "note"), (-4.9, "note"), (5.1, "problem")]
)
def test_the_clock_may_be_off_a_little(offset, level):
    (clock,) = [finding for finding in diagnose(make_report(clock_offset=offset)) if finding.check == "clock"]
    assert clock.level == level


@pytest.mark.parametrize(("used", "level"), [(9_600, "ok"), (9_601, "problem")])
def test_limits_are_a_problem_when_little_is_left(used, level):
    (limits,) = [
        finding for finding in diagnose(make_report(used_weights={"IP": (used, 12_000)})) if finding.check == "limits"
    ]
    assert limits.level == level


@pytest.mark.parametrize(("days", "level"), [(6, "note"), (7, "ok")])
def test_a_certificate_that_ends_soon_is_a_note(days, level):
    (host,) = [
        finding
        for finding in diagnose(make_report(hosts=(HostCheck("h:1", certificate_days=days),)))
        if "h:1" in finding.message
    ]
    assert host.level == level


def test_a_proxy_and_a_slow_answer_are_notes():
    slow = (ProbeResult("token", ProbeStatus.OK, elapsed=2.5),)
    notes = [
        finding.message
        for finding in diagnose(make_report(hosts=(HostCheck("p:1", proxy_variable="HTTPS_PROXY"),), rest_results=slow))
        if finding.level == "note"
    ]
    assert notes == ["connections use the proxy p:1 from HTTPS_PROXY", "token: slow, up to 2.5 s"]


def test_calls_that_were_not_made_for_no_reason_are_a_problem():
    assert not all_ok(diagnose(make_report(hosts=(HostCheck("h:1"),))))


def test_the_wait_that_the_exchange_demands_is_reported():
    findings = diagnose(make_report(rest_results=(ProbeResult("token", ProbeStatus.BANNED, retry_after=119.6),)))
    assert [finding.message for finding in findings if finding.level == "problem"] == ["token: banned; wait 120 s"]


causes = st.lists(st.sampled_from(ProbeStatus), max_size=4)


@given(calls=causes, sockets=causes, hosts=causes, offset=st.none() | st.floats(-1e6, 1e6))
def test_any_results_are_diagnosed_and_every_problem_has_a_hint(calls, sockets, hosts, offset):
    findings = diagnose(
        make_report(
            rest_results=make_results(*calls),
            websocket_results=make_results(*sockets),
            hosts=tuple(HostCheck(f"h:{number}", cause) for number, cause in enumerate(hosts)),
            clock_offset=offset,
        )
    )
    assert all(finding.hint for finding in findings if finding.level == "problem")
    assert all("\n" not in finding.message + finding.hint for finding in findings)
    harmless = {ProbeStatus.OK, ProbeStatus.RETIRED, ProbeStatus.NOT_FOUND}
    if not all_ok(findings):
        return
    assert set(calls) <= harmless
    assert set(sockets) | set(hosts) <= {ProbeStatus.OK}
