"""`scripts/structure.py` and the import contracts report each planted violation, and nothing else."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "binance_margin_stream"
SUB_PACKAGES = sorted(
    path.parent.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*/__init__.py")
    if path.parent.name not in ("api", "models") or path.parent.parent != PACKAGE
)


@pytest.fixture
def tree(tmp_path):
    """A small tree that is within every limit, at each limit."""
    write(tmp_path, "binance_margin_stream/__init__.py", "")
    for number in range(15):
        write(tmp_path, f"binance_margin_stream/module{number}.py", f"class Name{number}: pass\n")
    write(tmp_path, "simulation/driver.py", make_function(60))
    write(tmp_path, "bench/report.py", "class Name1: pass\n")
    return tmp_path


def write(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def make_function(lines):
    return "def function():\n" + "    pass\n" * (lines - 1)


def run_structure(root):
    command = [sys.executable, ROOT / "scripts" / "structure.py", "--root", root]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)


def test_a_tree_at_the_limits_passes(tree):
    done = run_structure(tree)
    assert done.returncode == 0, done.stderr
    assert " 15 binance_margin_stream\n" in done.stdout
    assert "functions: 1; lines: median 60, p90 60, max 60\n" in done.stdout
    assert "import cycles: 0; class names that occur twice: 0\n" in done.stdout


PLANTED = {
    "a sixteenth module": (
        {"binance_margin_stream/one_more.py": ""},
        "binance_margin_stream: 16 modules, at most 15",
    ),
    "a long function": (
        {"simulation/network.py": make_function(61)},
        "simulation/network.py:1 function: 61 lines, at most 60",
    ),
    "a long nested method": (
        {"bench/plot.py": "class Plot:\n    async def draw(self):\n" + "        pass\n" * 60},
        "bench/plot.py:2 draw: 61 lines, at most 60",
    ),
    "a cycle": (
        {
            "simulation/network.py": "from simulation.plan import Plan\n",
            "simulation/plan.py": "import simulation.network\n",
        },
        "import cycle: simulation/network.py, simulation/plan.py",
    ),
    "a cycle of deferred, type-only and relative imports": (
        {
            "simulation/network.py": "def deferred():\n    from simulation import plan\n",
            "simulation/plan.py": "if TYPE_CHECKING:\n    from .faults import Fault\n",
            "simulation/faults.py": "from . import network\n",
        },
        "import cycle: simulation/faults.py, simulation/network.py, simulation/plan.py",
    ),
    "a cycle through the package root": (
        {
            "binance_margin_stream/__init__.py": "from binance_margin_stream.module1 import Name1\n",
            "binance_margin_stream/module1.py": "import binance_margin_stream\n",
        },
        "import cycle: binance_margin_stream/__init__.py, binance_margin_stream/module1.py",
    ),
    "a cycle in bench": (
        {"bench/plot.py": "import frames\n", "bench/frames.py": "from plot import draw\n"},
        "import cycle: bench/frames.py, bench/plot.py",
    ),
    "a class name twice": (
        {"binance_margin_stream/http/client.py": "\nclass Name1: pass\n"},
        "class name Name1 occurs twice: binance_margin_stream/http/client.py:2, binance_margin_stream/module1.py:1",
    ),
}


@pytest.mark.parametrize(("files", "message"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_reported(tree, files, message):
    for path, text in files.items():
        write(tree, path, text)
    done = run_structure(tree)
    assert done.returncode == 1
    assert done.stderr == f"structure: {message}\n"


def test_generated_code_is_exempt(tree):
    pattern = "binance_margin_stream/api/*"
    write(tree, "pyproject.toml", f"[tool.coverage.run]\nomit = ['{pattern}']\n")
    write(tree, "binance_margin_stream/api/calls.py", f"class Name1: pass\n{make_function(61)}")
    done = run_structure(tree)
    assert done.returncode == 0, done.stderr
    assert f"exempt, because generated: {pattern}\n" in done.stdout


@pytest.fixture(scope="module")
def package_copy(tmp_path_factory):
    root = tmp_path_factory.mktemp("contracts")
    shutil.copytree(PACKAGE, root / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def lint_imports(root):
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    environment = os.environ | {"COLUMNS": "500", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=50)


@pytest.mark.parametrize(
    ("importer", "imported", "message"),
    [
        ("sandbox.config", "stream.settings", "sandbox is not allowed to import {}.stream"),
        ("sandbox.config", "auth", "sandbox is not allowed to import {}.auth"),
        ("auth", "sandbox.config", "auth is not allowed to import {}.sandbox"),
        ("http.retry", "stream.accounts", "http is not allowed to import {}.stream"),
        ("stream.protocol.buffer", "http.retry", "stream.protocol is not allowed to import {}.http"),
        ("stream.protocol.buffer", "stream.io.engine", "stream.protocol is not allowed to import {}.stream.io"),
        ("stream.accounts", "stream.events.base", "stream.accounts is not allowed to import {}.stream.events"),
        ("stream.io.engine", "stream.sync_stream", "stream.io is not allowed to import {}.stream.sync_stream"),
        ("sandbox.model.orders", "sandbox.exchange", "sandbox.model is not allowed to import {}.sandbox.exchange"),
        ("sandbox.faults.random", "sandbox.control.http", "sandbox.faults is not allowed to import {}.sandbox.control"),
        ("cli.doctor.report", "cli.listen.dashboard", "cli.doctor is not allowed to import {}.cli.listen"),
    ],
)
def test_a_planted_import_breaks_a_contract(package_copy, importer, imported, message):
    file = package_copy / PACKAGE.name / f"{importer.replace('.', '/')}.py"
    text = file.read_text()
    file.write_text(f"{text}\n\ndef planted():\n    import {PACKAGE.name}.{imported}\n")
    try:
        done = lint_imports(package_copy)
    finally:
        file.write_text(text)
    assert done.returncode == 1
    assert f"{PACKAGE.name}.{message.format(PACKAGE.name)}" in done.stdout
    assert f"{PACKAGE.name}.{importer} -> {PACKAGE.name}.{imported} " in done.stdout


@pytest.mark.parametrize("folder", SUB_PACKAGES)
def test_a_sub_package_says_what_it_holds_and_what_it_may_import(folder):
    """The modules after "never" are checked against the imports; every module that is named exists."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text())) or ""
    summary, _, rules = docstring.partition("\n")
    assert summary.endswith(".")
    (rule,) = re.findall(r"May import .+?\.(?=\s|$)", rules, re.DOTALL)
    allowed, _, never = rule.partition("never")
    forbidden = [resolve(folder, name) for name in re.findall(r"`([\w.]+)`", never)]
    assert all(resolve(folder, name) for name in re.findall(r"`([\w.]+)`", allowed))
    imported = {name for file in (PACKAGE / folder).rglob("*.py") for name in find_imports(file)}
    assert not [(name, place) for name in imported for place in forbidden if f"{name}.".startswith(f"{place}.")]


def test_the_architecture_page_names_only_files_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`([\w./-]+\.(?:py|yaml|md|toml))`", text))
    parents = (ROOT, PACKAGE, ROOT / "test" / "support")
    assert len(names) > 30
    assert not [name for name in names if not any((parent / name).exists() for parent in parents)]


def resolve(folder, name):
    """The full name of a module that a docstring names, relative to a parent of its folder or to the package."""
    parts = folder.split("/")
    for depth in range(len(parts), -1, -1):
        path = PACKAGE.joinpath(*parts[:depth], *name.split("."))
        if path.is_dir() or path.with_suffix(".py").exists():
            return ".".join(path.relative_to(ROOT).parts)
    raise AssertionError(f"{folder}/__init__.py names {name}, which does not exist")


def find_imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
