"""The results of a run as values, and the page that shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Value:
    """One figure, or the reason why there is none."""

    number: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One measurement of all clients, in the order of the columns. Less is better."""

    title: str
    template: str
    """The format of a figure, such as ``{:.1f} ms``."""
    values: Sequence[Value]


@dataclass(frozen=True)
class BenchTarget:
    """One figure of this package, with or without a target."""

    title: str
    measured: str
    target: str = ""
    reached: bool | None = None


@dataclass
class BenchReport:
    """All results of one run."""

    columns: list[tuple[str, str]]
    """The name and version of each client. This package comes first."""
    machine: str
    rows: list[Row] = field(default_factory=list)
    targets: list[BenchTarget] = field(default_factory=list)

    def to_markdown(self) -> str:
        """Both tables, with the reasons for unsupported measurements between them."""
        reasons: dict[str, int] = {}
        names = [f"{name} {version}" for name, version in self.columns]
        lines = [
            self.machine,
            "",
            _table_line(["Less is better", *names]),
            _table_line(["---", *["---:"] * len(names)]),
        ]
        lines += [_table_line([row.title, *_format_row(row, reasons)]) for row in self.rows]
        lines += ["", "▲ better than this package. Not supported:", ""]
        lines += [f"{number}. {reason}" for reason, number in reasons.items()]
        lines += [
            "",
            "This package by itself:",
            "",
            _table_line(["", "measured", "target", ""]),
            _table_line(["---"] * 4),
        ]
        marks = {True: "reached", False: "**missed**", None: ""}
        lines += [
            _table_line([target.title, target.measured, target.target, marks[target.reached]])
            for target in self.targets
        ]
        return "\n".join(lines)

    def write(self, file: Path) -> None:
        """Replace the tables between the marks of the page."""
        text = file.read_text(encoding="utf-8")
        replacement = f"{BEGIN}\n\n{self.to_markdown()}\n\n{END}"
        file.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: replacement, text, flags=re.DOTALL), encoding="utf-8")


def _format_row(row: Row, reasons: dict[str, int]) -> list[str]:
    own = row.values[0].number
    return [_format_value(row, value, own, reasons) for value in row.values]


def _format_value(row: Row, value: Value, own: float | None, reasons: dict[str, int]) -> str:
    if value.number is None:
        return f"unsupported [{reasons.setdefault(value.note, len(reasons) + 1)}]"
    better = own is not None and value.number < own
    return row.template.format(value.number) + (" ▲" if better else "") + (f" ({value.note})" if value.note else "")


def _table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
