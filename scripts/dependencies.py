"""Print what the tests on other versions of the dependencies install.

``floors``: the lowest version of each dependency of the package and its extras. ``names``: the dependencies without a
version. ``test-tools``: the tools that the tests need, with the versions of requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("cli", "keys", "sandbox")
TEST_TOOLS = (
    "hypothesis",
    "pytest",
    "pytest-cov",
    "pytest-randomly",
    "pytest-socket",
    "pytest-timeout",
    "pytest-xdist",
    "setuptools",
)


def read_dependencies(root: Path) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (entry for extra in EXTRAS for entry in project["optional-dependencies"][extra])
    return list(dict.fromkeys([*project["dependencies"], *extras]))


def get_name(requirement: str) -> str:
    return re.split(r"[\[<>=;~! ]", requirement, maxsplit=1)[0]


def get_floor(requirement: str) -> str:
    """Return the requirement of exactly the lowest version. Exits if there is no floor, or no cap."""
    found = re.fullmatch(r"([\w.-]+)>=([\w.]+),<[\w.]+", requirement)
    if found is None:
        sys.exit(f"pyproject.toml: {requirement!r} must have a floor and a cap, such as name>=1.2,<2")
    return f"{found[1]}=={found[2]}"


def read_tools(root: Path) -> list[str]:
    lines = (root / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if get_name(line) in TEST_TOOLS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("floors", "names", "test-tools"))
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to read (default: this one)")
    arguments = parser.parse_args()
    dependencies = read_dependencies(arguments.root)
    results = {
        "floors": lambda: map(get_floor, dependencies),
        "names": lambda: map(get_name, dependencies),
        "test-tools": lambda: read_tools(arguments.root),
    }
    print(*results[arguments.what](), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
