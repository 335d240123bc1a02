"""The hook for programs that are built with PyInstaller."""

from __future__ import annotations

import importlib
import runpy
from importlib.metadata import distribution
from pathlib import Path


def test_the_hook_adds_the_page_and_the_lazy_modules() -> None:
    (entry,) = distribution("binance-margin-stream").entry_points.select(group="pyinstaller40", name="hook-dirs")
    (folder,) = entry.load()()
    hook = runpy.run_path(str(Path(folder) / "hook-binance_margin_stream.py"))
    collected = {Path(source).name: target for source, target in hook["datas"]}
    assert Path(collected["page.html"]) == Path("binance_margin_stream/sandbox/server")
    needed = {"binance_margin_stream.sandbox.sandbox", "binance_margin_stream.stream.sync_stream"}
    assert needed <= set(hook["hiddenimports"])
    for name in needed:
        assert importlib.import_module(name)
