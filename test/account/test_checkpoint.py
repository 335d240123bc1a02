"""A checkpoint is read back exactly, or not at all."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.account.checkpoint import AccountProgress, Checkpoint, HandledOrder
from binance_margin_stream.exceptions import CheckpointError
from binance_margin_stream.stream.accounts import CROSS, isolated

times = st.integers(0, 2**50)
ids = st.integers(-1, 2**63)
texts = st.text(max_size=8)
amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=0, places=9)
orders = st.builds(
    HandledOrder,
    symbol=texts,
    order_id=ids,
    client_order_id=texts,
    side=texts,
    order_type=texts,
    time_in_force=texts,
    quantity=amounts,
    price=amounts,
    created=times,
    status=texts,
    filled=amounts,
    quote=st.none() | amounts,
    trade_id=ids,
    changed_at=times,
)
progress = st.builds(
    AccountProgress,
    followed_since=times,
    handled_until=times,
    remembered_since=times,
    fills=st.dictionaries(st.tuples(texts, ids, ids), times, max_size=4),
    open_orders=st.lists(orders, max_size=3).map(tuple),
)
accounts = st.sampled_from([CROSS, isolated("BTCUSDT"), isolated("币安人生USDT")])
checkpoints = st.builds(Checkpoint, name=texts, accounts=st.dictionaries(accounts, progress, max_size=3))

EXAMPLE = Checkpoint(
    "bot",
    {CROSS: AccountProgress(followed_since=1, handled_until=9, remembered_since=2, fills={("BTCUSDT", 5, 6): 7})},
)


@given(checkpoints)
def test_a_checkpoint_is_read_back_exactly(checkpoint):
    assert Checkpoint.from_bytes(checkpoint.to_bytes(), checkpoint.name) == checkpoint


def test_amounts_keep_every_digit():
    order = HandledOrder(
        symbol="BTCUSDT",
        order_id=1,
        client_order_id="a",
        side="BUY",
        order_type="LIMIT",
        time_in_force="GTC",
        quantity=Decimal("0.10"),
        price=Decimal("60000.00000001"),
        created=1,
        status="NEW",
        filled=Decimal("0.00"),
        quote=None,
        trade_id=-1,
        changed_at=1,
    )
    account = AccountProgress(followed_since=1, handled_until=1, remembered_since=1, open_orders=(order,))
    again = Checkpoint.from_bytes(Checkpoint("b", {CROSS: account}).to_bytes(), "b")
    assert str(again.accounts[CROSS].open_orders[0].quantity) == "0.10"


def test_a_file_that_was_written_in_part_is_refused_wherever_it_ends():
    data = EXAMPLE.to_bytes()
    for length in range(len(data)):
        with pytest.raises(CheckpointError):
            Checkpoint.from_bytes(data[:length], "bot")


@given(st.data())
def test_a_file_with_one_changed_byte_is_refused(data):
    text = bytearray(EXAMPLE.to_bytes())
    position = data.draw(st.integers(0, len(text) - 1))
    text[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CheckpointError):
        Checkpoint.from_bytes(bytes(text), "bot")


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"", "bot", "not a checkpoint"),
        (b'{"some": "file"}\n', "bot", "not a checkpoint"),
        (EXAMPLE.to_bytes(), "other", "belongs to 'bot', not to 'other'"),
        (EXAMPLE.to_bytes().replace(b"checkpoint 1", b"checkpoint 2"), "bot", "format 2"),
        (EXAMPLE.to_bytes() + b"more", "bot", "damaged"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(data, name, message):
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.from_bytes(data, name)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"nothing", b'{"name": "bot", "accounts": {"margin": {}}}'])
def test_content_that_is_not_known_is_refused(body):
    head = f"binance-margin-stream checkpoint 1 {sha256(body).hexdigest()}\n".encode()
    with pytest.raises(CheckpointError, match="not known"):
        Checkpoint.from_bytes(head + body, "bot")
