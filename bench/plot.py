"""The chart of a run: one panel per measurement, one bar per client."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from report import BenchReport, Row

OWN_COLOR, OTHER_COLOR = "#f0b90b", "#8a94a6"


def draw(report: BenchReport, file: Path) -> None:
    """Draw every row into one SVG file. The same figures give the same bytes."""
    mpl.rcParams.update({"svg.hashsalt": "comparison", "svg.fonttype": "none", "font.family": "sans-serif"})
    columns = 3
    lines = -(-len(report.rows) // columns)
    figure, panels = plt.subplots(lines, columns, figsize=(15, 2.3 * lines), layout="constrained", squeeze=False)
    for panel in panels.flat[len(report.rows) :]:
        panel.set_visible(False)
    names = [name for name, _ in report.columns]
    for panel, row in zip(panels.flat, report.rows, strict=False):
        _draw_panel(panel, row, names)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _draw_panel(panel: plt.Axes, row: Row, names: list[str]) -> None:
    values = [value.number or 0.0 for value in row.values]
    bars = panel.barh(names, values, color=[OWN_COLOR, *[OTHER_COLOR] * (len(names) - 1)])
    labels = [row.template.format(value.number) if value.number is not None else "unsupported" for value in row.values]
    panel.bar_label(bars, labels, padding=3, fontsize=8)
    panel.invert_yaxis()
    panel.margins(x=0.2)
    panel.set_title("\n".join(wrap(row.title.replace("`", ""), 60)), fontsize=9, loc="left")
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
