"""Single REST calls from the command line: their output, and that they show no secrets."""

from __future__ import annotations

import json

import pytest
from cli_program import run_cli

from binance_margin_stream.cli.runner import ExitCode
from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults

OLD = ExchangeRules(retired_endpoints="served")
CALLER_KEY = "AbCdEfGh12345678" * 4
KINDS = [["--kind", "v2"], ["--kind", "uta"], ["--kind", "risk"], ["--kind", "cross"], ["-i", "BTCUSDT"]]


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_a_listen_key_is_created_kept_alive_and_closed(kind):
    with Sandbox(rules=OLD) as exchange:
        created = run_cli("key", "create", *kind, "--show", exchange=exchange)
        assert created.returncode == 0
        key = {"BINANCE_LISTEN_KEY": created.stdout.strip()}
        assert len(key["BINANCE_LISTEN_KEY"]) == 60
        kept = run_cli("key", "keepalive", *kind, exchange=exchange, **key)
        assert (kept.returncode, kept.stdout) == (0, "valid for 60 minutes from now\n")
        closed = run_cli("key", "close", *kind, exchange=exchange, **key)
        assert (closed.returncode, closed.stdout) == (0, "closed for all clients of the account\n")
        gone = run_cli("key", "keepalive", *kind, exchange=exchange, **key)
        assert (gone.returncode, gone.stdout) == (ExitCode.CREDENTIAL_EXPIRED, "")
        assert "create a new one" in gone.stderr


@pytest.mark.parametrize("how", ["file", "stdin", "environment"])
def test_a_listen_key_comes_from_file_standard_input_or_environment(how, tmp_path):
    with Sandbox() as exchange:
        key = run_cli("key", "create", "--show", exchange=exchange).stdout
        file = tmp_path / "listen.key"
        file.write_text(key)
        arguments = {"file": [str(file)], "stdin": ["-"], "environment": []}[how]
        option = ["--listen-key-file", *arguments] if arguments else []
        more = {"BINANCE_LISTEN_KEY": key.strip()} if how == "environment" else {}
        done = run_cli("key", "keepalive", *option, exchange=exchange, stdin=key if how == "stdin" else "", **more)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("option", "stdin", "said"),
    [
        ([], "", "set BINANCE_LISTEN_KEY"),
        (["--listen-key-file", "-"], "", "is empty"),
        (["--listen-key-file", "-"], "two words", "contains a space"),
        (["--listen-key-file", "/no/such"], "", "cannot read /no/such"),
        (["--listen-key-file", CALLER_KEY], "", "cannot read the listen key file (its path is not shown"),
    ],
)
def test_without_a_listen_key_nothing_is_sent(option, stdin, said):
    with Sandbox() as exchange:
        done = run_cli("key", "keepalive", *option, exchange=exchange, stdin=stdin)
        assert exchange.rest_log == []
    assert (done.returncode, done.stdout) == (ExitCode.NO_KEY, "")
    assert said in done.stderr
    assert CALLER_KEY not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["key", "create"], ["doctor"], ["listen"]], ids=lambda command: command[-1])
def test_a_key_that_is_passed_as_the_path_of_a_file_is_not_shown(command):
    with Sandbox() as exchange:
        option = run_cli(*command, "--api-key-file", CALLER_KEY, exchange=exchange)
        environment = {"BINANCE_MARGIN_STREAM_EXCHANGE": exchange.url, "BINANCE_API_KEY_FILE": CALLER_KEY}
        variable = run_cli(*command, **environment)
    assert "BINANCE_API_KEY_FILE" in variable.stdout + variable.stderr
    for done in (option, variable):
        assert done.returncode != 0
        assert CALLER_KEY not in done.stdout + done.stderr


def test_secrets_are_masked_unless_they_are_asked_for():
    with Sandbox() as exchange:
        shown = run_cli("key", "create", "--show", exchange=exchange).stdout.strip()
        masked = run_cli("key", "create", exchange=exchange)
        assert masked.stdout == "listenKey *** (60 characters; --show prints it)\n"
        as_json = run_cli("key", "create", "--json", exchange=exchange)
        assert json.loads(as_json.stdout) == {"listenKey": "***"}
        assert json.loads(run_cli("key", "create", "--json", "--show", exchange=exchange).stdout) == {
            "listenKey": shown
        }


def test_a_token_is_created_for_as_long_as_asked():
    with Sandbox() as exchange:
        done = run_cli("token", "create", "-i", "BTCUSDT", "--validity", "60", "--json", "--show", exchange=exchange)
        answer = json.loads(done.stdout)
        assert 0 < answer["expirationTime"] - exchange.now <= 60_000
        assert len(answer["token"]) > 60
        assert "valid until" in done.stderr
        plain = run_cli("token", "create", "--show", exchange=exchange)
        assert len(plain.stdout.splitlines()) == 1
        assert run_cli("token", "create", exchange=exchange).stdout.startswith("token *** (")


def test_a_secret_signs_the_token_call():
    with Sandbox(rules=ExchangeRules(signature_policy="required")) as exchange:
        assert run_cli("token", "create", exchange=exchange).returncode == ExitCode.BAD_PARAMETER
        assert run_cli("token", "create", exchange=exchange, BINANCE_API_SECRET=exchange.api_secret).returncode == 0


@pytest.mark.parametrize("kind", [["--kind", "cross"], ["-i", "BTCUSDT"]], ids=" ".join)
def test_a_retired_call_is_reported_whether_it_still_works_or_not(kind):
    with Sandbox(rules=OLD) as exchange:
        served = run_cli("key", "create", *kind, exchange=exchange)
    assert served.returncode == 0
    assert "use token create" in served.stderr
    with Sandbox() as exchange:
        gone = run_cli("key", "create", *kind, exchange=exchange)
    assert (gone.returncode, gone.stdout) == (ExitCode.RETIRED, "")
    assert "use token create" in gone.stderr
    assert len(gone.stderr.splitlines()) == 1


def test_a_key_can_come_from_a_file(tmp_path):
    with Sandbox() as exchange:
        file = tmp_path / "api.key"
        file.write_text(exchange.api_key + "\n")
        assert run_cli("token", "create", "--sandbox", exchange.url, "--api-key-file", str(file)).returncode == 0
        alone = run_cli("token", "create", "--sandbox", exchange.url, "--api-secret-file", str(file))
        assert (alone.returncode, "belong together" in alone.stderr) == (ExitCode.NO_KEY, True)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (faults.ip_banned(), ExitCode.BANNED),
        (faults.too_many_requests(90), ExitCode.RATE_LIMITED),
        (faults.forbidden(), ExitCode.BLOCKED),
        (faults.StaticResponse(200, b"<html>login</html>"), ExitCode.UNREACHABLE),
        (faults.StaticResponse(400, b'{"code":-1121,"msg":"Invalid symbol."}'), ExitCode.BAD_PARAMETER),
    ],
)
def test_each_failure_of_a_call_has_its_exit_code(fault, code):
    with Sandbox() as exchange:
        exchange.inject_fault(fault, times=None)
        done = run_cli("token", "create", exchange=exchange)
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1


COMMANDS = [
    ["listen", "--json", "--timeout", "1"],
    ["doctor"],
    ["doctor", "--json"],
    ["key", "create"],
    ["key", "create", "--json"],
    ["key", "keepalive"],
    ["key", "close", "--kind", "cross"],
    ["token", "create"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("healthy", [True, False], ids=["healthy", "failing"])
def test_no_command_shows_a_secret_even_with_verbose(command, healthy):
    with Sandbox(rules=OLD) as exchange:
        listen_key = run_cli("key", "create", "--show", exchange=exchange).stdout.strip()
        secrets = [exchange.api_key, exchange.api_secret, listen_key]
        if not healthy:
            echo = " ".join(secrets).encode()
            exchange.inject_fault(faults.StaticResponse(503, b"<html><title>" + echo + b"</title></html>"), times=None)
        if healthy and command[0] == "listen":
            command = [*command, "-i", "NOSUCHPAIR"]  # so that it ends by itself
        more = {"BINANCE_API_SECRET": exchange.api_secret, "BINANCE_LISTEN_KEY": listen_key}
        done = run_cli(*command, "--verbose", exchange=exchange, **more)
        assert exchange.rest_log
    left = done.stdout + done.stderr
    assert left
    assert [secret for secret in secrets if secret in left or secret[-20:] in left] == []


def test_nothing_secret_can_be_given_as_an_argument():
    page = run_cli("key", "keepalive", "--help").stdout + run_cli("token", "create", "--help").stdout
    for option in ("--api-key ", "--api-secret ", "--listen-key ", "--token "):
        assert option not in page
    assert "-file" in page
