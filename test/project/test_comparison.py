"""The page of the comparison marks better figures of other clients, and gives reasons for missing ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench"))

from report import BEGIN, END, BenchReport, BenchTarget, Row, Value  # noqa: E402  # bench/ is not a package

COLUMNS = [("this package", "1.0"), ("another client", "2.0")]


@pytest.fixture
def report():
    return BenchReport(COLUMNS, "a machine")


def test_only_a_better_figure_of_another_client_is_marked(report):
    report.rows = [
        Row("slower here", "{:.1f} s", [Value(2.0), Value(1.0)]),
        Row("not", "{:.0f}", [Value(1.0), Value(1.0)]),
    ]
    assert "| slower here | 2.0 s | 1.0 s ▲ |" in report.to_markdown()
    assert "| not | 1 | 1 |" in report.to_markdown()


def test_an_unsupported_measurement_is_not_zero_and_its_reason_occurs_once(report):
    report.rows = [Row(name, "{:.0f}", [Value(0.0, "notified"), Value(note="no stream")]) for name in ("a", "b")]
    found = report.to_markdown()
    assert "| a | 0 (notified) | unsupported [1] |" in found
    assert "| b | 0 (notified) | unsupported [1] |" in found
    assert found.count("1. no stream") == 1


def test_a_missed_target_is_marked(report):
    report.targets = [
        BenchTarget("speed", "2", "at most 1", False),
        BenchTarget("size", "1", "at most 2", True),
        BenchTarget("age", "3"),
    ]
    found = report.to_markdown()
    assert "| speed | 2 | at most 1 | **missed** |" in found
    assert "| size | 1 | at most 2 | reached |" in found
    assert "| age | 3 |  |  |" in found


def test_a_run_replaces_the_tables_of_the_previous_run(report, tmp_path):
    file = tmp_path / "performance.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    report.write(file)
    report.write(file)
    text = file.read_text()
    assert "old" not in text
    assert text.count("a machine") == 1
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_the_page_of_this_project_has_the_marks():
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert text.index(BEGIN) < text.index(END)
