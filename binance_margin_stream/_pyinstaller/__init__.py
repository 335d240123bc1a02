"""Hooks for PyInstaller, which finds this folder through the entry point ``pyinstaller40``.

May import the standard library and PyInstaller; never `stream`, `http` or `sandbox`.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["get_hook_dirs"]


def get_hook_dirs() -> list[str]:
    """The folders with hooks."""
    return [str(Path(__file__).parent)]
