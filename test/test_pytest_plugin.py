"""The fixtures for users' tests: what they cost, what they check, and how they end."""

from __future__ import annotations

import pytest

from binance_margin_stream import (
    CROSS,
    NO_RETRIES,
    ApiClient,
    ApiKeyAuth,
    ListenTokenApi,
    ServerError,
    StreamGap,
    TransportError,
    isolated,
)
from binance_margin_stream.sandbox import faults

pytest_plugins = ["pytester"]

ALONE = ["-p", "no:cacheprovider", "-p", "binance_margin_stream.pytest_plugin", "-W", "error", "--strict-markers"]


@pytest.fixture
def run_user_tests(pytester, monkeypatch):
    """Runs a test file in a process of its own, with this plugin and no other."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(test, *options, **files):
        pytester.makepyfile(test, **files)
        return pytester.runpytest_subprocess(*ALONE, *options, timeout=40)

    return run


@pytest.fixture
def new_token(margin_sandbox):
    def call():
        auth = ApiKeyAuth(margin_sandbox.api_key)
        with ApiClient(auth=auth, endpoints=margin_sandbox.endpoints, retry=NO_RETRIES) as client:
            return ListenTokenApi(client).sapi_v1_user_listen_token_post()

    return call


HEAVY = ["aiohttp", "dateutil", "pydantic", "ssl", "urllib3", "websockets"]


def test_a_run_without_a_margin_test_imports_next_to_nothing(run_user_tests):
    result = run_user_tests(
        f"""
        import sys

        def test_nothing_is_there():
            loaded = {{name for name in sys.modules if name.startswith("binance_margin_stream")}}
            assert loaded == {{"binance_margin_stream", "binance_margin_stream.pytest_plugin"}}
            assert not set({HEAVY}) & set(sys.modules)
        """
    )
    result.assert_outcomes(passed=1)


def test_without_the_extra_a_fixture_says_what_to_install_and_nothing_else_breaks(run_user_tests):
    result = run_user_tests(
        """
        def test_of_the_bot(margin_stream):
            pass

        def test_of_something_else():
            pass
        """,
        conftest="import sys\nsys.modules['aiohttp'] = None",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*pip install 'binance-margin-stream[[]sandbox]'"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_test_that_waits_in_vain_fails_where_it_waits(run_user_tests):
    result = run_user_tests(
        """
        import pytest
        from binance_margin_stream import BalanceUpdate

        pytestmark = pytest.mark.margin_stream(deadline=0.3)

        def test_that_iterates(margin_stream):
            for event in margin_stream:
                pass

        def test_that_takes_the_next(margin_stream):
            next(margin_stream)

        def test_that_searches(margin_stream):
            assert next((event for event in margin_stream if isinstance(event, BalanceUpdate)), None) is None

        def test_that_has_received_something(margin_sandbox, margin_stream):
            margin_sandbox.change_balance("USDT", 1)
            assert len(list(margin_stream)) == 2
        """
    )
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(["*margin_stream was closed after 0.3 seconds: the expected event did not arrive"])


def test_a_test_that_waits_for_something_else_fails_at_its_end(run_user_tests):
    result = run_user_tests(
        """
        import time
        import pytest

        @pytest.mark.margin_stream(deadline=1.5)
        def test_that_waits(margin_stream):
            while margin_stream.state.name != "CLOSED":
                time.sleep(0.01)
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*margin_stream was closed after 1.5 seconds*"])


FROZEN = "*freezegun has stopped the clock of asyncio*real_asyncio=True*"


def test_a_frozen_clock_is_noticed(run_user_tests):
    result = run_user_tests(
        """
        import pytest
        from freezegun import freeze_time

        @pytest.fixture
        def frozen():
            with freeze_time("2026-01-01"):
                yield

        def test_that_is_frozen_before(frozen, margin_sandbox):
            pass

        @pytest.mark.margin_stream(deadline=0.5)
        @freeze_time("2026-01-01")
        def test_that_is_frozen_itself(margin_sandbox, margin_stream):
            margin_sandbox.inject_fault("drop")
            next(margin_stream)

        @freeze_time("2026-01-01", real_asyncio=True)
        def test_with_the_real_clock_of_asyncio(margin_sandbox, margin_stream):
            margin_sandbox.inject_fault("drop")
            next(margin_stream)
        """
    )
    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines([FROZEN, FROZEN])


def test_blocked_sockets_are_noticed(run_user_tests):
    result = run_user_tests(
        """
        def test_of_the_bot(margin_sandbox):
            pass
        """,
        "-p",
        "pytest_socket",
        "--disable-socket",
        "-W",
        "ignore:A test tried to use socket",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pytest-socket blocks all sockets: replace --disable-socket by --allow-hosts=*"])


def test_a_stream_that_cannot_be_opened_ends_at_the_deadline_too(run_user_tests):
    result = run_user_tests(
        """
        import pytest

        @pytest.fixture
        def trouble(margin_fault):
            margin_fault("refuse-handshake", times=None)

        @pytest.mark.margin_stream(deadline=0.3)
        def test_that_never_starts(trouble, margin_stream):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*margin_stream was closed after 0.3 seconds*"])


@pytest.mark.parametrize("name", ["margin_sandbox", "margin_stream"])
def test_a_marker_without_names_is_refused_in_words(run_user_tests, name):
    result = run_user_tests(
        f"""
        import pytest

        @pytest.mark.{name}(60)
        def test_of_the_bot({name}):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*@pytest.mark.{name} takes its settings by name*"])


def test_the_markers_are_described(run_user_tests):
    result = run_user_tests("", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.margin_sandbox(*", "@pytest.mark.margin_stream(*"])


@pytest.mark.margin_sandbox(seed=5, start_ms=1_800_000_000_000, speed=0)
def test_the_sandbox_is_as_its_marker_says(margin_sandbox):
    assert margin_sandbox.now == 1_800_000_000_000


def test_each_test_has_a_sandbox_of_its_own(run_user_tests):
    result = run_user_tests(
        """
        import pytest
        urls = set()

        @pytest.mark.parametrize("number", range(3))
        def test_of_the_bot(margin_sandbox, number):
            assert margin_sandbox.metrics.rest_calls == 0
            urls.add(margin_sandbox)
            assert len(urls) == number + 1
            assert all("closed" in repr(url) for url in urls if url is not margin_sandbox)
        """
    )
    result.assert_outcomes(passed=3)


@pytest.mark.margin_stream(accounts=[CROSS, isolated("ETHUSDT")])
def test_the_stream_follows_what_its_marker_says(margin_sandbox, margin_stream):
    margin_sandbox.change_balance("ETH", "2", account="ETHUSDT")
    assert next(margin_stream).account == isolated("ETHUSDT")
    margin_sandbox.change_balance("USDT", "3")
    assert [next(margin_stream).account for _ in range(2)][-1] == CROSS


def test_closing_the_stream_oneself_is_no_failure(margin_stream):
    margin_stream.close()
    assert list(margin_stream) == []


@pytest.mark.parametrize("name", ["drop", "reset", "end-of-file"])
def test_a_fault_goes_by_name(margin_stream, margin_fault, name):
    margin_fault(name)
    assert isinstance(next(margin_stream), StreamGap)


def test_a_fault_goes_by_value(margin_fault, new_token):
    margin_fault(faults.ResetConnection(takes_effect=False))
    with pytest.raises(TransportError):
        new_token()
    assert new_token().token


def test_a_fault_strikes_the_path_that_is_named_until_it_is_cleared(margin_fault, new_token):
    margin_fault("server-error", status=502, path="/sapi/v2/margin/listen-key", times=None)
    assert new_token().token
    margin_fault("server-error", status=502, path="/sapi/v1/userListenToken", times=None)
    for _ in range(2):
        with pytest.raises(ServerError):
            new_token()
    margin_fault.clear()
    assert new_token().token


def test_an_unknown_name_is_refused_with_those_there_are(margin_fault):
    with pytest.raises(ValueError, match="no fault is called earthquake; there are drop, "):
        margin_fault("earthquake")


def test_parameters_are_the_named_faults(margin_fault):
    with pytest.raises(TypeError, match="takes no parameters: code"):
        margin_fault(faults.DropConnections(), code=1011)
    with pytest.raises(ValueError, match="takes no parameter, not colour"):
        margin_fault("no-response", colour="red")
