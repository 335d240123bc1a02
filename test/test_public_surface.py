"""The public names, and the cost of importing them."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap

import pytest
from api_methods import API_METHODS, READ_METHODS

import binance_margin_stream as sdk

PUBLIC = (
    "Account",
    "AccountChanged",
    "AccountSnapshot",
    "AccountLost",
    "AccountUnavailableError",
    "AnyEvent",
    "AnyItem",
    "ApiClient",
    "ApiException",
    "ApiKeyAuth",
    "ApiResponse",
    "ApiTypeError",
    "ApiV3UserDataStreamPost200Response",
    "ApiValueError",
    "AssetBalance",
    "AsyncMarginStream",
    "BadParameterError",
    "BadRequestException",
    "BalanceUpdate",
    "BannedError",
    "BlockedError",
    "CROSS",
    "CapitalFlow",
    "CheckpointError",
    "Configuration",
    "CrossMarginAccount",
    "EndpointRetiredError",
    "Endpoints",
    "ErrorResponse",
    "Event",
    "ExecutionReport",
    "ExecutionType",
    "ExpiryReason",
    "ExternalLockUpdate",
    "Fill",
    "GapClosed",
    "GapReason",
    "Health",
    "InexactReason",
    "Interval",
    "IsolatedMarginAccount",
    "IsolatedMarginAccounts",
    "IsolatedMarginBalance",
    "IsolatedMarginStreamApi",
    "KeyRejectedError",
    "ListStatus",
    "ListenKeyUnknownError",
    "ListenToken",
    "ListenTokenApi",
    "ListenTokenInvalidError",
    "MalformedFrameError",
    "MarginAccountApi",
    "MarginBalance",
    "MarginLevelStatus",
    "MarginLevelStatusChange",
    "MarginListenKeyApi",
    "MarginOrder",
    "MarginOrdersApi",
    "MarginRecordsApi",
    "MarginStream",
    "MarginStreamApi",
    "MarginTrade",
    "NO_RETRIES",
    "OpenApiException",
    "OpenOrder",
    "OrderStatus",
    "OrderType",
    "OutboundAccountPosition",
    "RateLimitError",
    "RecoveredOrder",
    "RecoveredTrade",
    "Recovery",
    "RejectReason",
    "ResponseError",
    "RetryPolicy",
    "RiskStreamApi",
    "SelfTradePreventionMode",
    "ServerError",
    "ServerTime",
    "ServerTimeApi",
    "Side",
    "State",
    "StatusChange",
    "StatusChangeKind",
    "StreamError",
    "StreamGap",
    "StreamItem",
    "StreamSettings",
    "SubscriptionCoverage",
    "TimeInForce",
    "Timeout",
    "TimestampError",
    "AccountTrade",
    "TransportError",
    "UnknownEvent",
    "Unproven",
    "UnprovenKind",
    "UserLiabilityChange",
    "UtaListenKeyApi",
    "__version__",
    "isolated",
)


def test_the_public_names_are_these():
    assert sorted(sdk.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(sdk))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name):
    assert name == "__version__" or inspect.getdoc(getattr(sdk, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = sdk.Nonsense


def test_every_error_is_under_one_root():
    errors = [value for name in PUBLIC if inspect.isclass(value := getattr(sdk, name)) and issubclass(value, Exception)]
    assert len(errors) == 21
    assert all(issubclass(error, sdk.OpenApiException) for error in errors)


def run_in_fresh_interpreter(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import binance_margin_stream", ("pydantic", "urllib3", "websockets", "aiohttp", "dateutil", "logging")),
        ("from binance_margin_stream import ApiKeyAuth, Endpoints", ("pydantic", "urllib3", "websockets", "aiohttp")),
        ("from binance_margin_stream import MarginStreamApi, ApiClient", ("websockets", "aiohttp", "asyncio")),
    ],
)
def test_nothing_is_imported_before_it_is_used(code, absent):
    assert run_in_fresh_interpreter(f"import sys; {code}; print([m for m in {absent} if m in sys.modules])") == "[]"


def test_creating_a_stream_loads_neither_pydantic_nor_the_generated_half():
    code = """
        import sys
        from binance_margin_stream import CROSS, ApiKeyAuth, AsyncMarginStream, MarginStream, isolated
        for kind in (MarginStream, AsyncMarginStream):
            kind(ApiKeyAuth("key"), [CROSS, isolated("BTCUSDT")], risk=True)
        generated = ("api.", "models", "api_client", "api_response", "configuration", "rest", "http.client")
        heavy = ("pydantic", "dateutil", *(f"binance_margin_stream.{name}" for name in generated))
        print([name for name in sys.modules if name.startswith(heavy)])
    """
    assert run_in_fresh_interpreter(textwrap.dedent(code)) == "[]"


def test_these_calls_are_all_of_them():
    found = {
        f"{name}.{method}"
        for name in PUBLIC
        if name.endswith("Api")
        for method in vars(getattr(sdk, name))
        if method.startswith(("api_", "sapi")) and not method.endswith(("_with_http_info", "_without_preload_content"))
    }
    assert found == {f"{call.api_class}.{call.name}" for call in [*API_METHODS, *READ_METHODS]}
