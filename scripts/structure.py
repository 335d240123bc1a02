"""Check the structure of the hand-written code: folder sizes, function lengths, import cycles, class names.

    python scripts/structure.py [--root ROOT]

Prints the figures of the package, `simulation` and `bench`. Exits with 1 if a folder has more than 15 modules, a
function has more than 60 lines, modules import each other in a cycle, or two classes of the package have the same
name. Imports inside functions and under `TYPE_CHECKING` count. Generated code, which is what `tool.coverage.run.omit`
in `pyproject.toml` matches, is exempt.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
import tomllib
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "binance_margin_stream"
FOLDERS = (PACKAGE, "simulation", "bench")
MAX_MODULES = 15
MAX_LINES = 60


def read_generated_patterns(root: Path) -> list[str]:
    """The patterns of the files that the generator writes."""
    pyproject = root / "pyproject.toml"
    tables = tomllib.loads(pyproject.read_text(encoding="utf-8")) if pyproject.exists() else {}
    patterns: list[str] = tables.get("tool", {}).get("coverage", {}).get("run", {}).get("omit", [])
    return patterns


def list_paths(root: Path) -> list[str]:
    """All modules, generated ones included, by path relative to `root`."""
    return sorted(path.relative_to(root).as_posix() for folder in FOLDERS for path in (root / folder).rglob("*.py"))


def parse_modules(root: Path) -> dict[str, ast.Module]:
    """The syntax trees of the hand-written modules, by path."""
    generated = read_generated_patterns(root)
    return {
        path: ast.parse((root / path).read_text(encoding="utf-8"))
        for path in list_paths(root)
        if not any(fnmatch(path, pattern) for pattern in generated)
    }


def count_modules(paths: Mapping[str, ast.Module]) -> dict[str, int]:
    """The number of modules directly in each folder. `__init__` is not counted."""
    counts: dict[str, int] = defaultdict(int)
    for path in paths:
        folder, _, name = path.rpartition("/")
        counts[folder] += name != "__init__.py"
    return dict(counts)


def measure_functions(modules: Mapping[str, ast.Module]) -> dict[str, int]:
    """The number of lines of each function, by its place."""
    return {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def build_import_graph(root: Path, modules: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Which hand-written module imports which, both by path."""
    paths = {_module_name(path): path for path in list_paths(root)}
    return {
        path: {paths[name] for name in _imported_modules(path, tree, paths)} & modules.keys() - {path}
        for path, tree in modules.items()
    }


def _module_name(path: str) -> str:
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    # bench/ is no package: its modules are imported by their own names.
    return name.rpartition(".")[2] if name.startswith("bench.") else name


def _imported_modules(path: str, tree: ast.Module, known: Container[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parents = path.split("/")[: -node.level] if node.level else []
            module = ".".join(filter(None, (*parents, node.module)))
            for alias in node.names:
                # `from a import b` imports the module `a.b` if there is one, and else `a`.
                name = f"{module}.{alias.name}"
                yield from (each for each in (name if name in known else module,) if each in known)


def find_cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or not."""
    reachable = {path: _find_reachable(path, graph) for path in graph}
    groups = {
        tuple(sorted(other for other in reachable[path] if path in reachable[other]))
        for path in graph
        if path in reachable[path]
    }
    return [list(group) for group in sorted(groups)]


def _find_reachable(path: str, graph: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    pending = [path]
    while pending:
        new = graph[pending.pop()] - found
        found |= new
        pending += new
    return found


def find_repeated_classes(modules: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """The class names that occur more than once in the package, with their places."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in modules.items():
        if path.startswith(f"{PACKAGE}/"):
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(f"{path}:{node.lineno}")
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}


def check(root: Path) -> list[str]:
    """Print the figures of the tree at `root`, and return what breaks a limit."""
    modules = parse_modules(root)
    counts, lengths = count_modules(modules), measure_functions(modules)
    cycles, repeated = find_cycles(build_import_graph(root, modules)), find_repeated_classes(modules)
    print("modules per folder:")
    for folder, count in sorted(counts.items()):
        print(f"  {count:3} {folder}")
    lines = sorted(lengths.values()) or [0]
    print(
        f"functions: {len(lengths):,}; lines: median {statistics.median(lines):.0f}, "
        f"p90 {lines[len(lines) * 9 // 10]}, max {lines[-1]}"
    )
    print(f"import cycles: {len(cycles)}; class names that occur twice: {len(repeated)}")
    print(f"exempt, because generated: {', '.join(read_generated_patterns(root)) or 'nothing'}")
    problems = [f"{folder}: {n} modules, at most {MAX_MODULES}" for folder, n in counts.items() if n > MAX_MODULES]
    problems += [f"{place}: {n} lines, at most {MAX_LINES}" for place, n in lengths.items() if n > MAX_LINES]
    problems += [f"import cycle: {', '.join(cycle)}" for cycle in cycles]
    problems += [f"class name {name} occurs twice: {', '.join(places)}" for name, places in repeated.items()]
    return problems


def main() -> int:
    """Check the tree, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to check (default: this one)")
    problems = check(parser.parse_args().root)
    for problem in problems:
        print(f"structure: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
