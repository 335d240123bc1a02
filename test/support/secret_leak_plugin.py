"""No key, secret, listen key or token shows anywhere in the whole test run, with every logger at DEBUG.

Watched are log records, exceptions that tests expect (their text, their repr, their traceback with what caused them),
and what stands on stdout and stderr. Secrets are the planted ones, and every one that a sandbox of this process makes.
A test that shows one fails, and is told where, not what; but for those marked `client_of_another_house`, in which one
that is not ours makes the calls.
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
from api_methods import PLANTED

from binance_margin_stream.sandbox.model import listen_keys
from binance_margin_stream.sandbox.model import users as accounts

_EXEMPT = "client_of_another_house"
_RUN = re.compile(r"[A-Za-z0-9]{16,}")


class Watch:
    """What was shown since the last look, and what must not be."""

    def __init__(self) -> None:
        self._planted = {spelling for secret in PLANTED for spelling in (secret, quote(secret, safe=""), quote(secret))}
        self._pieces: set[str] = set()
        self._shown: list[tuple[str, str]] = []

    def learn(self, secret: str) -> None:
        """From now on `secret` must not be shown, nor any long run of letters and digits in it."""
        self._pieces.update(_RUN.findall(secret))

    def show(self, where: str, text: str) -> None:
        """Something that a person may read."""
        self._shown.append((where, text))

    def leaks(self) -> list[str]:
        """Where a secret was shown since the last look, each place once."""
        shown, self._shown = self._shown, []
        return list(dict.fromkeys(where for where, text in shown if self._holds_one(text)))

    def _holds_one(self, text: str) -> bool:
        plain = unquote(text) if "%" in text else text
        runs = {*_RUN.findall(text), *_RUN.findall(plain)}
        return not self._pieces.isdisjoint(runs) or any(spelling in text for spelling in self._planted)


class _Everything(logging.Handler):
    """Shows each record to the watch, as text and with all that is attached to it."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.NOTSET)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("websockets") and _is_of_a_test():
            return
        text = f"{record.getMessage()} {record.args!r} {record.stack_info} {record.exc_text}"
        error = record.exc_info[1] if record.exc_info else None
        self._watch.show(f"the log of {record.name}", text + (told(error) if error is not None else ""))


def _is_of_a_test() -> bool:
    """Whether a record comes from websockets' threaded client, which tests use and the package does not."""
    frame = sys._getframe()
    while frame is not None and "websockets/sync/" not in frame.f_code.co_filename.replace("\\", "/"):
        frame = frame.f_back
    return frame is not None


def told(error: BaseException) -> str:
    """All that an error tells: itself, and what it was caused by or came in the middle of."""
    return f"{error} {error!r} {error.args!r} {''.join(traceback.format_exception(error))}"


WATCH = Watch()


def _learning(make):
    @functools.wraps(make)
    def made(*arguments):
        secret = make(*arguments)
        WATCH.learn(secret)
        return secret

    return made


def _showing(leave):
    @functools.wraps(leave)
    def left(expectation, kind, error, trace):
        if error is not None:
            WATCH.show(f"an expected {type(error).__name__}", told(error))
        return leave(expectation, kind, error, trace)

    return left


def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch."""
    config.addinivalue_line("markers", f"{_EXEMPT}: what it logs and raises is not ours, and may hold secrets")
    accounts.Accounts._text = _learning(accounts.Accounts._text)
    listen_keys._opaque = _learning(listen_keys._opaque)
    RaisesExc.__exit__ = _showing(RaisesExc.__exit__)
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger().addHandler(_Everything(WATCH))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let a test fail that showed a secret."""
    report = yield
    WATCH.show("stdout", report.capstdout)
    WATCH.show("stderr", report.capstderr)
    leaks = WATCH.leaks()
    if leaks and report.outcome == "passed" and item.get_closest_marker(_EXEMPT) is None:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} ({report.when}): a secret is shown in {', '.join(leaks)}"
        report.sections = []
    return report
