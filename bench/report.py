"""What a run found, as values, and the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Cell:
    """One figure; or, where there is none, why."""

    value: float | None = None
    words: str = ""


@dataclass(frozen=True)
class Row:
    """One measurement over all contestants, in the order of the columns; less is better."""

    title: str
    form: str
    """How a figure is written, such as ``{:.1f} ms``."""
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Goal:
    """One figure of this package that has a goal, or is given without one."""

    title: str
    measured: str
    goal: str = ""
    reached: bool | None = None


@dataclass
class Page:
    """Everything of one run."""

    columns: list[tuple[str, str]]
    """Name and version of each contestant; this package comes first."""
    machine: str
    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def markdown(self) -> str:
        """Both tables, with the reasons of those who cannot below."""
        reasons: dict[str, int] = {}
        names = [f"{name} {version}" for name, version in self.columns]
        lines = [self.machine, "", _line(["Less is better", *names]), _line(["---", *["---:"] * len(names)])]
        lines += [_line([row.title, *_written(row, reasons)]) for row in self.rows]
        lines += ["", "▲ better than this package. Those who cannot:", ""]
        lines += [f"{number}. {reason}" for reason, number in reasons.items()]
        lines += ["", "This package by itself:", "", _line(["", "measured", "goal", ""]), _line(["---"] * 4)]
        marks = {True: "reached", False: "**missed**", None: ""}
        lines += [_line([goal.title, goal.measured, goal.goal, marks[goal.reached]]) for goal in self.goals]
        return "\n".join(lines)

    def write(self, page: Path) -> None:
        """Put the tables between the marks of the page."""
        text = page.read_text(encoding="utf-8")
        found = f"{BEGIN}\n\n{self.markdown()}\n\n{END}"
        page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: found, text, flags=re.DOTALL), encoding="utf-8")


def _written(row: Row, reasons: dict[str, int]) -> list[str]:
    own = row.cells[0].value
    return [_cell(row, cell, own, reasons) for cell in row.cells]


def _cell(row: Row, cell: Cell, own: float | None, reasons: dict[str, int]) -> str:
    if cell.value is None:
        return f"cannot [{reasons.setdefault(cell.words, len(reasons) + 1)}]"
    better = own is not None and cell.value < own
    return row.form.format(cell.value) + (" ▲" if better else "") + (f" ({cell.words})" if cell.words else "")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
