"""Names and symbols of every alphabet in subjects and keys."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.exceptions import ApiValueError
from binance_margin_stream.relay.errors import StoredFormError
from binance_margin_stream.relay.subjects import (
    Subjects,
    decode_account,
    decode_part,
    encode_account,
    encode_part,
    validate_name,
)
from binance_margin_stream.stream.accounts import CROSS, isolated

KEY = re.compile(r"[-/_=.a-zA-Z0-9]+")


@given(st.text(min_size=1))
def test_a_part_is_read_back_and_safe(text: str) -> None:
    text = text.encode(errors="replace").decode()
    part = encode_part(text)
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", part)
    assert decode_part(part) == text


@pytest.mark.parametrize("account", [CROSS, isolated("BTCUSDT"), isolated("币安人生USDT"), isolated("1000.X")])
def test_an_account_is_read_back(account: object) -> None:
    assert decode_account(encode_account(account)) == account  # type: ignore[arg-type]


def test_a_subject_is_taken_apart_again() -> None:
    subjects = Subjects("desk-1.margin")
    subject = subjects.event("Käthe * >", isolated("币安人生USDT"), "abc")
    assert subject.count(".") == 4
    assert subjects.parse_event(subject) == ("Käthe * >", isolated("币安人生USDT"), "abc")
    assert KEY.fullmatch(subjects.entry_key("Käthe * >", isolated("币安人生USDT")))


def test_filters_select_a_name_or_an_account() -> None:
    subjects = Subjects()
    assert subjects.filter() == "margin.>"
    assert subjects.filter("a.b") == "margin.a=2Eb.>"
    assert subjects.filter("a", CROSS) == "margin.a.cross.*"
    assert subjects.filter(account=CROSS) == "margin.*.cross.*"


@pytest.mark.parametrize("part", ["", "a b", "=", "=zz", "=FF", "a=2", "é"])
def test_a_foreign_part_is_refused(part: str) -> None:
    with pytest.raises(StoredFormError):
        decode_part(part)


@pytest.mark.parametrize("subject", ["margin.a.cross", "margin.a.other.x", "margin.a.cross.x.y"])
def test_a_foreign_subject_is_refused(subject: str) -> None:
    with pytest.raises(StoredFormError):
        Subjects().parse_event(subject)


@pytest.mark.parametrize("prefix", ["", ".", "a.", "a b", "a.>", "*", "$JS", "é"])
def test_a_prefix_that_cannot_be_is_refused(prefix: str) -> None:
    with pytest.raises(ApiValueError, match="prefix"):
        Subjects(prefix)


@pytest.mark.parametrize("name", ["", "a\n", "x" * 65])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ApiValueError, match="name"):
        validate_name(name)
