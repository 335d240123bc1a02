"""Adds the sandbox's page, and the modules that the package imports on first use."""  # noqa: N999 - PyInstaller demands this name

from PyInstaller.utils.hooks import (  # type: ignore[import-untyped]  # it has no annotations
    collect_data_files,
    collect_submodules,
)

datas = collect_data_files("binance_margin_stream", includes=["**/*.html", "**/py.typed"])
hiddenimports = collect_submodules("binance_margin_stream", filter=lambda name: "pytest_plugin" not in name)
