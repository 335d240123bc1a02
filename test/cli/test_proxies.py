"""Proxies of the environment: each mistake names the variable and says what is missing."""

from __future__ import annotations

import json
import sys

import pytest
from cli_program import run_cli
from raw_server import RawServer, make_response

from binance_margin_stream import Endpoints
from binance_margin_stream.cli.proxies import find_proxies, find_proxy
from binance_margin_stream.cli.runner import ExitCode

EXCHANGE = "http://exchange.invalid:8650"
KEY = {"BINANCE_API_KEY": "k" * 64}
MISTAKES = {
    "socks5://127.0.0.1:1080": "names a SOCKS proxy, which needs: pip install 'binance-margin-stream[socks]'",
    "127.0.0.1:3128": "has no scheme: write http:// in front of the proxy's address",
    "someone:hidden@127.0.0.1:3128": "has no scheme: write http:// in front of the proxy's address",
    "http://": "names no host: write http://HOST:PORT, or unset it",
    "http://127.0.0.1:port": "is not a URL: write http://HOST:PORT",
    "ftp://127.0.0.1:3128": "has the scheme ftp: use http, https, socks5 or socks5h",
}
COMMANDS = (["key", "create"], ["token", "create"], ["listen", "--json"])


@pytest.mark.parametrize("proxy", MISTAKES)
def test_a_wrong_proxy_variable_is_named_by_doctor_once(proxy):
    done = run_cli("doctor", "--json", "--sandbox", EXCHANGE, HTTP_PROXY=proxy, **KEY)
    assert (done.returncode, done.stderr) == (ExitCode.FAILURE, "")
    (problem,) = [each for each in json.loads(done.stdout)["findings"] if each["level"] == "problem"]
    assert (problem["check"], problem["message"]) == ("proxy", f"HTTP_PROXY {MISTAKES[proxy]}")
    assert "hidden" not in done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "127.0.0.1:3128"])
def test_a_wrong_proxy_variable_is_named_by_every_command(proxy, command):
    done = run_cli(*command, "--sandbox", EXCHANGE, all_proxy=proxy, **KEY)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr == f"error: all_proxy {MISTAKES[proxy]}\n"


def test_a_proxy_that_demands_a_password_says_so():
    with RawServer(make_response(407)) as proxy:
        done = run_cli("doctor", "--json", "--sandbox", "https://exchange.invalid", HTTPS_PROXY=proxy.url, **KEY)
        assert proxy.requests[0].startswith(b"CONNECT exchange.invalid:443 HTTP/1.1\r\n")
    (problem,) = [each for each in json.loads(done.stdout)["findings"] if each["level"] == "problem"]
    assert "from HTTPS_PROXY: the proxy refuses the connection (it demands a user name and a password)" in str(problem)


def test_the_password_of_a_proxy_is_sent_and_not_shown():
    with RawServer(make_response(403)) as proxy:
        address = proxy.url.replace("http://", "http://someone:hid%20den@")
        done = run_cli("doctor", "--json", "--sandbox", "https://exchange.invalid", HTTPS_PROXY=address, **KEY)
        assert b"Proxy-Authorization: Basic c29tZW9uZTpoaWQgZGVu\r\n" in proxy.requests[0]
    assert "(HTTP 403" in done.stdout
    assert "hid" not in done.stdout


def test_a_proxy_that_refuses_a_call_is_named():
    with RawServer(make_response(407)) as proxy:
        done = run_cli("key", "create", "--sandbox", "https://exchange.invalid", HTTPS_PROXY=proxy.url, **KEY)
        address = proxy.url.removeprefix("http://")
    assert done.returncode == ExitCode.UNREACHABLE
    assert f"{address} from HTTPS_PROXY: see doctor" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_listen_says_through_which_proxy_it_connects():
    with RawServer(make_response(407)) as proxy:
        arguments = ["listen", "--json", "--timeout", "1", "--sandbox", "https://exchange.invalid"]
        done = run_cli(*arguments, HTTPS_PROXY=proxy.url, **KEY)
        note = f"connections use the proxy {proxy.url.removeprefix('http://')} from HTTPS_PROXY"
    assert done.stderr.splitlines()[0].endswith(note)
    assert done.returncode == ExitCode.UNREACHABLE


def test_the_variable_is_that_of_the_environment(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://upper:1")
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    assert find_proxy("https://x.invalid").variable == "HTTPS_PROXY"
    assert find_proxy("http://x.invalid").variable == "ALL_PROXY"
    assert [proxy.host for proxy in find_proxies(Endpoints.production())] == ["upper"]
    monkeypatch.setenv("https_proxy", "http://lower:1")
    assert (find_proxy("wss://x.invalid").variable, find_proxy("wss://x.invalid").host) == ("https_proxy", "lower")
    assert find_proxy("https://127.0.0.1") is None
    monkeypatch.setenv("no_proxy", "x.invalid")
    assert find_proxy("https://x.invalid") is None


@pytest.mark.parametrize("missing", ["socks", "python_socks"])
def test_a_socks_proxy_needs_both_modules(missing, monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1")
    proxy = find_proxy("https://x.invalid")
    assert proxy.port == 1080
    for name in ("socks", "python_socks"):
        monkeypatch.setitem(sys.modules, name, _make_module(name))
    assert proxy.find_problem() == ""
    monkeypatch.delitem(sys.modules, missing)
    assert "binance-margin-stream[socks]" in proxy.find_problem()


def _make_module(name: str) -> object:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    return module
