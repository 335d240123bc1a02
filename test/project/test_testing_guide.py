"""The files that docs/testing-your-bot.md shows are a bot and its tests: they pass, in every way of running them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing-your-bot.md"
FILES = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S))


@pytest.fixture
def project(tmp_path):
    """A user's project: the guide's files without its conftest.py, which would replace the fixture."""
    for name, text in FILES.items():
        if name != "conftest.py":
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(folder, *arguments):
    command = [sys.executable, "-W", "error", "-m", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_block_is_a_file():
    assert list(FILES) == [
        "bot.py",
        "test_bot_units.py",
        "test_bot.py",
        "test_own_stream.py",
        "test_bot_unittest.py",
        "conftest.py",
    ]


@pytest.mark.parametrize("options", [["-n", "2"], ["-p", "no:randomly", "-p", "no:xdist"]], ids=["xdist", "in order"])
def test_the_guides_tests_pass_under_pytest(project, options):
    assert "14 passed" in run(project, "pytest", "-q", "-W", "error", "--strict-markers", *options)


def test_the_guides_unittest_passes_without_pytest(project):
    (project / "pytest.py").write_text("raise ImportError\n", encoding="utf-8")
    assert "Ran 2 tests" in run(project, "unittest", "test_bot_unittest")


def test_one_exchange_may_serve_all_tests(project):
    (project / "conftest.py").write_text(FILES["conftest.py"], encoding="utf-8")
    (project / "test_shared.py").write_text(SHARED, encoding="utf-8")
    assert "4 passed" in run(project, "pytest", "-q", "-W", "error", "-p", "no:randomly", "test_shared.py")


SHARED = """
import pytest

from binance_margin_stream import ApiClient, ApiKeyAuth, ListenTokenApi, NO_RETRIES, ServerError

seen = set()


def new_token(exchange):
    with ApiClient(auth=ApiKeyAuth(exchange.api_key), endpoints=exchange.endpoints, retry=NO_RETRIES) as client:
        return ListenTokenApi(client).sapi_v1_user_listen_token_post()


def test_a_fault_strikes(margin_sandbox, margin_fault):
    margin_fault("server-error", times=None)
    with pytest.raises(ServerError):
        new_token(margin_sandbox)


def test_and_is_gone_after_its_test(margin_sandbox):
    assert new_token(margin_sandbox).token


@pytest.mark.parametrize("number", [1, 2])
def test_the_stream_is_that_of_the_same_exchange(margin_sandbox, margin_stream, number):
    seen.add(margin_sandbox.url)
    margin_sandbox.change_balance("USDT", number)
    assert next(margin_stream).delta == number
    assert len(seen) == 1
"""
