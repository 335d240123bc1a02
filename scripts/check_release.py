"""Check that version, changelog, citation and tag agree.

Without a tag, for every commit: the version is a semantic version, the citation has the same, and the changelog starts
with *Unreleased* or with that version. With a tag such as `v1.2.0`, for a release: the tag matches the version, and the
changelog starts with the version and its date. With ``--branch`` as well, the tag is on that branch, it is the commit
that is checked out, and the work tree has no other changes or files. In a workflow, the package names the repository
that releases it. Prints every difference and exits with 1, or prints nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "binance_margin_stream"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)((a|b|rc)[1-9]\d*)?")
_RELEASE = re.compile(r"(\S+) - (\d{4}-\d{2}-\d{2})")


def read_version(root: Path) -> str:
    source = (root / PACKAGE / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    return found[1] if found else ""


def read_sections(root: Path) -> dict[str, str]:
    """Return the sections of the changelog by heading, newest first."""
    parts = re.split(r"^## (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip((heading.strip() for heading in parts[1::2]), parts[2::2], strict=True))


def find_problems(root: Path, tag: str | None, today: date) -> list[str]:
    """Return what does not agree in the tree at `root`."""
    version, sections = read_version(root), read_sections(root)
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    first = next(iter(sections), "")
    found = []
    if not _VERSION.fullmatch(version):
        found.append(f"{PACKAGE}/_version.py: {version!r} is not a version such as 1.2.0 or 1.2.0rc1")
    if str(citation.get("version")) != version:
        found.append(f"CITATION.cff: version is {citation.get('version')}, not {version}")
    if first != "Unreleased" and not first.startswith(f"{version} - "):
        found.append(f"CHANGELOG.md: starts with {first!r}, not with 'Unreleased' or {version} and its date")
    found += [f"CHANGELOG.md: nothing under {heading!r}" for heading, text in sections.items() if not text.strip()]
    return found if tag is None else found + _check_tag(tag, version, first, today)


def _check_tag(tag: str, version: str, first: str, today: date) -> list[str]:
    if tag != f"v{version}":
        return [f"the tag is {tag}, the version is {version}: tag v{version}"]
    release = _RELEASE.fullmatch(first)
    if release is None or release[1] != version:
        return [f"CHANGELOG.md: starts with {first!r}; a release starts with '{version} - {today}'"]
    try:
        day = date.fromisoformat(release[2])
    except ValueError:
        return [f"CHANGELOG.md: {release[2]} is not a date"]
    return [f"CHANGELOG.md: {day} is in the future"] if day > today else []


def find_git_problems(root: Path, tag: str, branch: str) -> list[str]:
    """Return why the tag cannot be released from the work tree at `root`."""
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
    if commit is None:
        return [f"there is no tag {tag}"]
    found = []
    if _git(root, "rev-parse", "HEAD") != commit:
        found.append(f"{tag} is not checked out")
    if changes := _git(root, "status", "--porcelain", "--untracked-files=all"):
        found.append(f"the work tree is not clean: {', '.join(line[3:] for line in changes.splitlines())}")
    if _git(root, "merge-base", "--is-ancestor", commit, branch) is None:
        found.append(f"{tag} is not on {branch}: merge first, then tag the commit on {branch}")
    return found


def find_url_problems(root: Path, repository: str) -> list[str]:
    """Return what is missing in the package's metadata for a release from the repository with this URL."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if project.get("urls", {}).get("Repository") == repository:
        return []
    return [f'pyproject.toml: [project.urls] must contain Repository = "{repository}"']


def _git(root: Path, *arguments: str) -> str | None:
    """Return the output of git, None if it fails."""
    run = subprocess.run(("git", *arguments), cwd=root, capture_output=True, text=True, timeout=60, check=False)
    return None if run.returncode else run.stdout.strip("\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tag", nargs="?", help="the tag of the release, such as v1.2.0")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to check (default: this one)")
    parser.add_argument("--branch", help="the branch that the tag must be on, such as origin/main")
    parser.add_argument("--notes", action="store_true", help="print the changelog section of this release")
    arguments = parser.parse_args()
    found = find_problems(arguments.root, arguments.tag, datetime.now(UTC).date())
    if arguments.tag and arguments.branch:
        found += find_git_problems(arguments.root, arguments.tag, arguments.branch)
        if repository := os.environ.get("GITHUB_REPOSITORY"):
            found += find_url_problems(arguments.root, f"{os.environ['GITHUB_SERVER_URL']}/{repository}")
    for problem in found:
        print(problem, file=sys.stderr)
    if arguments.notes and not found:
        print(next(iter(read_sections(arguments.root).values())).strip())
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
