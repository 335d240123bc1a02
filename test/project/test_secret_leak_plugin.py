"""The leak detector of the test suite works: every way to show a secret fails the test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "support"
LEAKS = {
    "a log record": ('logging.getLogger("deep.inside").debug("got %s", secret)', "the log of deep.inside"),
    "an error in a log record": (
        'try:\n        raise ValueError(secret)\n    except ValueError:\n        logging.exception("failed")',
        "the log of root",
    ),
    "an expected error": (
        "with pytest.raises(ValueError):\n        raise ValueError(secret)",
        "an expected ValueError",
    ),
    "what caused an expected error": (
        "with pytest.raises(KeyError):\n        raise KeyError(1) from ValueError(secret)",
        "an expected KeyError",
    ),
    "a local variable of an expected error": (
        "with pytest.raises(ValueError):\n        json.loads(secret)",
        "the local variables of loads in a traceback",
    ),
    "a local variable of an error in a log record": (
        'try:\n        json.loads(secret)\n    except ValueError:\n        logging.exception("failed")',
        "the local variables of loads in a traceback",
    ),
    "a local variable of a suppressed context": (
        "with pytest.raises(KeyError):\n"
        "        try:\n            json.loads(secret)\n"
        "        except ValueError:\n            raise KeyError(1) from None",
        "the local variables of loads in a traceback",
    ),
    "stdout": ("print(f'key={quote(secret)};')", "stdout"),
    "stderr": ("print(repr([secret]), file=sys.stderr)", "stderr"),
}
SECRETS = {
    "planted": "api_methods.API_SECRET",
    "key": "exchange.api_key",
    "listen key": "POST(sdk.MarginListenKeyApi, 'sapi_v2_margin_listen_key_post').listen_key",
    "token": "POST(sdk.ListenTokenApi, 'sapi_v1_user_listen_token_post').token",
}
TEST = """
import json, logging, sys
from urllib.parse import quote
import api_methods, pytest
import binance_margin_stream as sdk
from binance_margin_stream.sandbox import Sandbox

def test_it():
    with Sandbox() as exchange:
        with sdk.ApiClient(auth=sdk.ApiKeyAuth(exchange.api_key), endpoints=exchange.endpoints) as client:
            POST = lambda api, call: getattr(api(client), call)()
            secret = {secret}
    {way}
"""


def run_test(folder: Path, secret: str, way: str) -> str:
    code = TEST.format(secret=secret, way=way)
    (folder / "conftest.py").write_text("from secret_leak_plugin import pytest_configure, pytest_runtest_makereport\n")
    (folder / "test_it.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", folder]
    options = ["--rootdir", folder, "-c", "/dev/null", "-o", f"pythonpath={HERE}"]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=50, cwd=folder).stdout


@pytest.mark.parametrize(("way", "where"), LEAKS.values(), ids=LEAKS.keys())
def test_a_test_that_shows_a_secret_fails_and_is_told_where(tmp_path, way, where):
    said = run_test(tmp_path, SECRETS["token"], way)
    assert f"a secret is shown in {where}" in said
    assert "1 failed" in said


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
def test_planted_and_made_secrets_are_known(tmp_path, secret):
    assert "a secret is shown in stdout" in run_test(tmp_path, secret, "print(secret)")


def test_a_test_that_shows_none_passes(tmp_path):
    assert "1 passed" in run_test(tmp_path, SECRETS["token"], "print('nothing', len(secret), secret[:4])")
