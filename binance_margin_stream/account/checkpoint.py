"""What a user has handled, as a value that survives a restart, and its exact text form.

The text begins with a line that names the format and the checksum of the rest: a file that was written in part, or was
changed, is an error, and so is one of another name or of a newer format. Nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Final

from binance_margin_stream.account.state.fills import FillKey
from binance_margin_stream.exceptions import ApiValueError, CheckpointError
from binance_margin_stream.stream.accounts import Account

__all__ = ["AccountProgress", "Checkpoint", "HandledOrder"]

_MAGIC: Final = "binance-margin-stream checkpoint"
_FORMAT: Final = 1
_AMOUNTS: Final = frozenset({"quantity", "price", "filled", "quote"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HandledOrder:
    """An order that the user knows as open. Times are the exchange's, in milliseconds."""

    symbol: str
    order_id: int
    client_order_id: str
    side: str
    order_type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    created: int
    status: str
    filled: Decimal
    """What was executed of it up to `trade_id`."""
    quote: Decimal | None
    trade_id: int
    """The last fill that `filled` contains; -1 if it is not known, or there was none."""
    changed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProgress:
    """What the user handled of one account. Times are the exchange's, in milliseconds."""

    followed_since: int
    """Fills and orders from before this time are not the user's business."""
    handled_until: int
    """All that happened before was handled; what came later may have been."""
    remembered_since: int
    """`fills` are complete from here on."""
    fills: Mapping[FillKey, int] = field(default_factory=dict)
    """Fills that were handled, with their times."""
    open_orders: tuple[HandledOrder, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a user has handled the items of a stream. `name` says whose it is."""

    name: str
    accounts: Mapping[Account, AccountProgress]

    def to_bytes(self) -> bytes:
        """The text form."""
        content = {"name": self.name, "accounts": {str(key): _to_json(each) for key, each in self.accounts.items()}}
        body = json.dumps(content, indent=1, ensure_ascii=True, sort_keys=True).encode() + b"\n"
        return f"{_MAGIC} {_FORMAT} {sha256(body).hexdigest()}\n".encode() + body

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Checkpoint:
        """The value of a text form; raises `CheckpointError` if it is damaged or belongs to another name."""
        head, _, body = data.partition(b"\n")
        kind, _, rest = head.decode("ascii", "replace").rpartition(" ")
        magic, _, version = kind.rpartition(" ")
        if magic != _MAGIC or not version.isdigit():
            raise CheckpointError("this is not a checkpoint file: use another path, or remove the file to start anew")
        if int(version) > _FORMAT:
            raise CheckpointError(f"the checkpoint has format {version}, and this version reads {_FORMAT}: update it")
        if sha256(body).hexdigest() != rest:
            raise CheckpointError("the checkpoint is damaged: restore a copy, or remove the file to start anew")
        checkpoint = _parse(body)
        if checkpoint.name != name:
            raise CheckpointError(f"the checkpoint belongs to {checkpoint.name!r}, not to {name!r}: use another path")
        return checkpoint


def _to_json(progress: AccountProgress) -> dict[str, object]:
    orders = [
        {name: _to_text(value) if name in _AMOUNTS else value for name, value in asdict(order).items()}
        for order in progress.open_orders
    ]
    return {
        "followed_since": progress.followed_since,
        "handled_until": progress.handled_until,
        "remembered_since": progress.remembered_since,
        "fills": [[*key, time] for key, time in progress.fills.items()],
        "open_orders": orders,
    }


def _to_text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _parse(body: bytes) -> Checkpoint:
    """The checksum is right, so only a program that is not this one can have written something else."""
    try:
        content = json.loads(body)
        accounts = {Account.parse(key): _parse_progress(each) for key, each in content["accounts"].items()}
        return Checkpoint(content["name"], accounts)
    except (ApiValueError, AttributeError, InvalidOperation, KeyError, TypeError, ValueError):
        raise CheckpointError("the checkpoint has content that is not known: use another path") from None


def _parse_progress(content: dict[str, object]) -> AccountProgress:
    fills, orders = content["fills"], content["open_orders"]
    if not isinstance(fills, list) or not isinstance(orders, list):
        raise TypeError
    return AccountProgress(
        followed_since=_parse_time(content["followed_since"]),
        handled_until=_parse_time(content["handled_until"]),
        remembered_since=_parse_time(content["remembered_since"]),
        fills={(symbol, trade_id, order_id): time for symbol, trade_id, order_id, time in fills},
        open_orders=tuple(_parse_order(order) for order in orders),
    )


def _parse_order(content: dict[str, object]) -> HandledOrder:
    values = {
        name: Decimal(str(value)) if name in _AMOUNTS and value is not None else value
        for name, value in content.items()
    }
    return HandledOrder(**values)  # type: ignore[arg-type]  # each by the name of its field


def _parse_time(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value
