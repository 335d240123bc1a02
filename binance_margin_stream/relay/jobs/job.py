"""One key to follow, as a value that holds no secret."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.exceptions import ApiValueError
from binance_margin_stream.relay.errors import StoredFormError
from binance_margin_stream.relay.jobs.secret_reference import SecretReference
from binance_margin_stream.relay.subjects import validate_name
from binance_margin_stream.stream.accounts import CROSS, Account
from binance_margin_stream.stream.sources import resolve_sources

__all__ = ["Job"]

_MAX_REPLICAS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A key, its accounts and how many relays follow them. Raises `ApiValueError` for what cannot be."""

    name: str
    """The name under which the events are stored."""
    api_key: SecretReference
    api_secret: SecretReference | None = None
    accounts: tuple[Account, ...] = (CROSS,)
    source: str = "auto"
    risk: bool = False
    replicas: int = 2
    """How many hosts follow the key at once."""

    def __post_init__(self) -> None:
        validate_name(self.name)
        if not self.accounts:
            raise ApiValueError("accounts names at least one, such as cross or isolated:BTCUSDT")
        if self.risk and CROSS not in self.accounts:
            raise ApiValueError("risk is for the cross account: add cross to accounts")
        if not 1 <= self.replicas <= _MAX_REPLICAS:
            raise ApiValueError(f"replicas is 1 to {_MAX_REPLICAS}")
        try:
            resolve_sources(self.source)
        except ValueError as error:
            raise ApiValueError(str(error)) from None

    def load_auth(self) -> ApiKeyAuth:
        """The key, and the secret if there is one, from where the references point. Raises `ApiValueError`."""
        return ApiKeyAuth(self.api_key.load(), self.api_secret.load() if self.api_secret is not None else None)

    def to_json(self) -> bytes:
        """The form in the queue: with references, never with secrets."""
        stored = asdict(self) | {
            "api_key": str(self.api_key),
            "api_secret": None if self.api_secret is None else str(self.api_secret),
            "accounts": [str(account) for account in self.accounts],
        }
        return json.dumps(stored, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Job:
        """What `to_json` wrote. Raises `StoredFormError`."""
        try:
            stored = json.loads(data)
            secret = stored.pop("api_secret")
            return cls(
                api_key=SecretReference.parse(stored.pop("api_key")),
                api_secret=None if secret is None else SecretReference.parse(secret),
                accounts=tuple(map(Account.parse, stored.pop("accounts"))),
                **stored,
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
        raise StoredFormError("a job in the queue is not one that this version writes: submit the job file again")
