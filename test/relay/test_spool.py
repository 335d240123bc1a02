"""Events that wait: in order, bounded, and found again by the next process."""

from __future__ import annotations

import logging
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binance_margin_stream.relay.broker.spool import Spool, SpooledMessage


def message(number: int, size: int = 10) -> SpooledMessage:
    return SpooledMessage(f"margin.a.cross.{number}", {"Event-Class": "X"}, str(number).encode().rjust(size))


def numbers(spool: Spool) -> list[int]:
    taken = []
    while (each := spool.pop()) is not None:
        taken.append(int(each.payload))
        assert each.headers == {"Event-Class": "X"}
    return taken


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.integers(-5, 8), max_size=20))
def test_messages_leave_in_the_order_in_which_they_came(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"), memory_items=3, disk_bytes=1 << 20)
    added, taken = 0, []
    for step in steps:
        for _ in range(step):
            assert spool.put(message(added))
            added += 1
        for _ in range(-step):
            if (each := spool.pop()) is not None:
                taken.append(int(each.payload))
    assert len(spool) == added - len(taken)
    assert taken + numbers(spool) == list(range(added))
    assert spool.bytes_on_disk == 0


def test_a_full_spool_takes_nothing_more_until_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, memory_items=2, disk_bytes=400)
    taken = [number for number in range(20) if spool.put(message(number, size=100))]
    assert 2 < len(taken) < 6
    assert numbers(spool) == taken
    assert spool.put(message(99))


def test_without_a_directory_only_memory_is_used() -> None:
    spool = Spool(None, memory_items=2, disk_bytes=1)
    assert [spool.put(message(number)) for number in range(3)] == [True, True, False]
    assert spool.save() == 0


def test_the_next_process_finds_everything_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path, memory_items=2, disk_bytes=1 << 20)
    for number in range(2, 8):
        spool.put(message(number))
    assert spool.save(earlier=[message(0), message(1)]) == 8
    following = Spool(tmp_path, memory_items=2, disk_bytes=1 << 20)
    assert len(following) == 8
    following.put(message(8))
    assert numbers(following) == list(range(9))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_a_crash_cut_off_yields_what_is_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path, memory_items=1, disk_bytes=1 << 20)
    for number in range(4):
        spool.put(message(number))
    spool.close()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        assert numbers(Spool(tmp_path, memory_items=1, disk_bytes=1 << 20)) == [1, 2]
    assert "cannot be read" in caplog.text


def test_a_disk_that_is_full_is_no_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path, memory_items=1, disk_bytes=1 << 20)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        taken = [number for number in range(10) if spool.put(message(number, size=300))]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(taken) == 3
    assert "events cannot wait on disk: File too large" in caplog.text
    assert spool.put(message(99))
    assert numbers(spool) == [*taken, 99]
