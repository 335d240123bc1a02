"""The read calls of recovery, made through the generated API classes, each in a thread of its own.

The client does not retry: recovery alone decides when a read is tried again, and how many are in flight.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from binance_margin_stream.account.reads.requests import RawRows, Read, ReadFailure, ReadKind, SendRead
from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.error_codes import ErrorKind, classify
from binance_margin_stream.exceptions import ApiException, ApiValueError, OpenApiException
from binance_margin_stream.http.retry import NO_RETRIES
from binance_margin_stream.http.transport import Timeout

if TYPE_CHECKING:
    from binance_margin_stream.configuration import Configuration
    from binance_margin_stream.http.client import ApiClient

__all__ = ["AccountReader", "ReadResult", "RowsRead", "classify_read_error"]

_WEIGHT_HEADER: Final = "X-SAPI-USED-IP-WEIGHT-1M"
_UPPER_CASE: Final = re.compile(r"(?<=[a-z])([A-Z])")


@dataclass(frozen=True, slots=True)
class RowsRead:
    """The response to a read: its rows, when it was sent and received, and the weight that was used, if stated."""

    rows: RawRows
    sent_at: float
    received_at: float
    used_weight: int | None


ReadResult: TypeAlias = RowsRead | ReadFailure


_CALLS: Final[Mapping[ReadKind, tuple[str, str]]] = {
    ReadKind.SERVER_TIME: ("ServerTimeApi", "api_v3_time_get"),
    ReadKind.ACCOUNT: ("MarginAccountApi", "sapi_v1_margin_account_get"),
    ReadKind.ISOLATED_ACCOUNT: ("MarginAccountApi", "sapi_v1_margin_isolated_account_get"),
    ReadKind.OPEN_ORDERS: ("MarginOrdersApi", "sapi_v1_margin_open_orders_get"),
    ReadKind.ORDER: ("MarginOrdersApi", "sapi_v1_margin_order_get"),
    ReadKind.ALL_ORDERS: ("MarginOrdersApi", "sapi_v1_margin_all_orders_get"),
    ReadKind.MY_TRADES: ("MarginOrdersApi", "sapi_v1_margin_my_trades_get"),
    ReadKind.CAPITAL_FLOW: ("MarginRecordsApi", "sapi_v1_margin_capital_flow_get"),
}
"""The generated class and its method of each call. The generated half is imported with the first read."""


class AccountReader:
    """Makes the reads of one stream. A result is passed to the given callback, in the thread of the call."""

    def __init__(
        self, auth: ApiKeyAuth, configuration: Configuration | Endpoints, timeout: Timeout, clock: Callable[[], float]
    ) -> None:
        self._auth = auth
        self._configuration = configuration
        self._timeout = timeout
        self._client: ApiClient | None = None
        self._client_lock = threading.Lock()
        self._is_closed = False
        self._clock = clock
        self._threads: set[threading.Thread] = set()

    @property
    def pending_count(self) -> int:
        """The number of reads in flight."""
        return len(self._threads)

    def submit(self, action: SendRead, on_result: Callable[[SendRead, ReadResult], None]) -> None:
        """Start a read."""
        thread = threading.Thread(target=self._run, args=(action, on_result), name="margin stream read", daemon=True)
        self._threads.add(thread)
        thread.start()

    def close(self) -> None:
        """Close all connections, including those of reads in flight."""
        with self._client_lock:
            self._is_closed = True
            if self._client is not None:
                self._client.close()

    def _run(self, action: SendRead, on_result: Callable[[SendRead, ReadResult], None]) -> None:
        try:
            on_result(action, self.read(action.read))
        finally:
            self._threads.discard(threading.current_thread())

    def read(self, read: Read) -> ReadResult:
        """Make a read, and wait for its result."""
        api_class, operation = _CALLS[read.kind]
        arguments = {_UPPER_CASE.sub(r"_\1", name).lower(): value for name, value in read.parameters.items()}
        sent_at = self._clock()
        try:
            api = getattr(import_module("binance_margin_stream.api"), api_class)(self._get_client())
            response = getattr(api, f"{operation}_with_http_info")(**arguments)
            rows = json.loads(response.raw_data)
        except Exception as error:  # every error must reach recovery, or it would wait for the result
            return classify_read_error(error)
        used_weight = response.headers.get(_WEIGHT_HEADER) if response.headers else None
        return RowsRead(
            rows=rows if isinstance(rows, list) else [rows],
            sent_at=sent_at,
            received_at=self._clock(),
            used_weight=int(used_weight) if used_weight is not None and used_weight.isdecimal() else None,
        )

    def _get_client(self) -> ApiClient:
        from binance_margin_stream.http.client import ApiClient  # the import is slow

        with self._client_lock:
            if self._client is None:
                configuration = self._configuration
                is_plain = isinstance(configuration, Endpoints)
                options: Any = {"endpoints": configuration} if is_plain else {"configuration": configuration}
                self._client = ApiClient(auth=self._auth, timeout=self._timeout, retry=NO_RETRIES, **options)
                if self._is_closed:
                    self._client.close()
            return self._client


def classify_read_error(error: BaseException) -> ReadFailure:
    """The failure for an error of the REST client."""
    if isinstance(error, ApiException):
        return ReadFailure(classify(error.status, error.code), str(error), error.retry_after)
    if isinstance(error, ApiValueError):  # there is no secret to sign with, or the client does not send this
        return ReadFailure(ErrorKind.KEY_REJECTED, str(error))
    return ReadFailure(None, str(error) if isinstance(error, OpenApiException) else type(error).__name__)
