"""Fail every test that shows a key, secret, listen key or token, with all loggers at DEBUG.

Checked are log records, expected exceptions (text, repr, traceback with causes and local variables), stdout and stderr.
The secrets are
the planted ones, and all that a sandbox of this process creates. The failure says where the secret was shown, without
the secret. Tests marked `third_party_client` are exempt: another library makes the calls.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
from _pytest.raises import RaisesExc
from api_methods import PLANTED_SECRETS
from frame_locals import show_frame_locals

from binance_margin_stream.sandbox.model.credential_generator import CredentialGenerator

_EXEMPT_MARKER = "third_party_client"
_ALPHANUMERIC_RUN = re.compile(r"[A-Za-z0-9]{16,}")


class SecretLeakDetector:
    """Collects output, and finds secrets in it."""

    def __init__(self) -> None:
        self._planted = {
            spelling for secret in PLANTED_SECRETS for spelling in (secret, quote(secret, safe=""), quote(secret))
        }
        self._fragments: set[str] = set()
        self._outputs: list[tuple[str, str]] = []

    def add_secret(self, secret: str) -> None:
        """Search for `secret`, and for every long run of letters and digits in it, from now on."""
        self._fragments.update(_ALPHANUMERIC_RUN.findall(secret))

    def record_output(self, where: str, text: str) -> None:
        """Add text that a person may read; `where` says where it was shown."""
        self._outputs.append((where, text))

    def pop_leaks(self) -> list[str]:
        """Return where a secret was shown since the last call, each place once."""
        outputs, self._outputs = self._outputs, []
        return list(dict.fromkeys(where for where, text in outputs if self._contains_secret(text)))

    def _contains_secret(self, text: str) -> bool:
        plain = unquote(text) if "%" in text else text
        runs = {*_ALPHANUMERIC_RUN.findall(text), *_ALPHANUMERIC_RUN.findall(plain)}
        return not self._fragments.isdisjoint(runs) or any(spelling in text for spelling in self._planted)


class _RecordingHandler(logging.Handler):
    """Passes each record to the detector, as text and with everything attached to it."""

    def __init__(self, detector: SecretLeakDetector) -> None:
        super().__init__(logging.NOTSET)
        self._detector = detector

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("websockets") and _is_from_test_client():
            return
        text = f"{record.getMessage()} {record.args!r} {record.stack_info} {record.exc_text}"
        error = record.exc_info[1] if record.exc_info else None
        self._detector.record_output(
            f"the log of {record.name}", text + (format_error(error) if error is not None else "")
        )
        if error is not None:
            _record_locals(error)


def _is_from_test_client() -> bool:
    """Whether a record comes from the threaded client of websockets, which only tests use."""
    frame = sys._getframe()
    while frame is not None and "websockets/sync/" not in frame.f_code.co_filename.replace("\\", "/"):
        frame = frame.f_back
    return frame is not None


def format_error(error: BaseException) -> str:
    """Return text, repr and traceback of an error, with its causes and contexts."""
    return f"{error} {error!r} {error.args!r} {''.join(traceback.format_exception(error))}"


DETECTOR = SecretLeakDetector()


def _record_secrets(make):
    @functools.wraps(make)
    def wrapper(*arguments, **options):
        secret = make(*arguments, **options)
        DETECTOR.add_secret(secret)
        return secret

    return wrapper


def _record_errors(leave):
    @functools.wraps(leave)
    def wrapper(expectation, kind, error, trace):
        if error is not None:
            DETECTOR.record_output(f"an expected {type(error).__name__}", format_error(error))
            _record_locals(error)
        return leave(expectation, kind, error, trace)

    return wrapper


def _record_locals(error: BaseException) -> None:
    for function, text in show_frame_locals(error):
        DETECTOR.record_output(f"the local variables of {function} in a traceback", text)


def pytest_configure(config: pytest.Config) -> None:
    """Install the detector."""
    config.addinivalue_line("markers", f"{_EXEMPT_MARKER}: what it logs and raises is not ours, and may hold secrets")
    CredentialGenerator.generate = _record_secrets(CredentialGenerator.generate)
    RaisesExc.__exit__ = _record_errors(RaisesExc.__exit__)
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger().addHandler(_RecordingHandler(DETECTOR))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail a test that showed a secret."""
    report = yield
    DETECTOR.record_output("stdout", report.capstdout)
    DETECTOR.record_output("stderr", report.capstderr)
    leaks = DETECTOR.pop_leaks()
    if leaks and report.outcome == "passed" and item.get_closest_marker(_EXEMPT_MARKER) is None:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} ({report.when}): a secret is shown in {', '.join(leaks)}"
        report.sections = []
    return report
