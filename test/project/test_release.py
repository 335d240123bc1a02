"""Releases: reproducible archives, and versions that agree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import binance_margin_stream as sdk

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NEXT = f"## {sdk.__version__} - 2026-01-02\n\n### Added\n\n- Something.\n"


def run_script(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment
    )


@pytest.fixture
def tree(tmp_path):
    """The files that the check of a release reads, for a test to change."""
    for name in ("CHANGELOG.md", "CITATION.cff", "binance_margin_stream/_version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def replace_in_file(file: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, file.read_text(encoding="utf-8"), count=1)
    assert count
    file.write_text(text, encoding="utf-8")


def test_the_same_commit_is_built_to_the_same_bytes(tmp_path):
    run = run_script("build_reproducible", "--outdir", tmp_path, SOURCE_DATE_EPOCH="1700000000")
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 2
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert {part.date_time[:3] for part in wheel.infolist()} == {(2023, 11, 14)}
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as sdist:
        members = sdist.getmembers()
    assert {(member.mtime, member.uid, member.uname) for member in members} == {(1_700_000_000, 0, "")}
    assert members == sorted(members, key=lambda member: Path(member.name))


def test_a_build_that_depends_on_where_it_runs_is_refused(tmp_path):
    tree = tmp_path / "tree"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), str(tree)], check=True)
    with (tree / "setup.py").open("a", encoding="utf-8") as setup:
        setup.write("open('binance_margin_stream/where.py', 'w').write(f'HERE = {__file__!r}\\n')\n")
    run = run_script("build_reproducible", "--root", tree, "--outdir", tmp_path / "dist")
    assert run.returncode == 1
    assert "two builds differ in binance_margin_stream" in run.stderr
    assert not (tmp_path / "dist").exists()


def test_version_changelog_and_citation_agree():
    assert run_script("check_release").returncode == 0


def test_a_tag_needs_its_version_with_a_day_on_top_of_the_changelog(tree):
    tag = f"v{sdk.__version__}"
    assert "a release starts with" in run_script("check_release", tag, "--root", tree).stderr
    replace_in_file(tree / "CHANGELOG.md", r"## Unreleased\n", NEXT)
    run = run_script("check_release", tag, "--root", tree, "--notes")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("### Added\n\n- Something.")


@pytest.mark.parametrize(
    ("file", "pattern", "by", "complaint"),
    [
        ("binance_margin_stream/_version.py", r'(__version__ = )".+"', r'\1"9.9.9"', "CITATION.cff: version is"),
        ("binance_margin_stream/_version.py", r'(__version__ = )".+"', r'\1"1.0"', "is not a version"),
        ("CITATION.cff", r"\nversion: .+", "\nversion: 0.0.1", "CITATION.cff: version is 0.0.1"),
        ("CHANGELOG.md", r"## \d.+", "## 9.9.9 - 2026-01-02", "starts with '9.9.9"),
        ("CHANGELOG.md", r"2026-01-02", "2026-02-30", "2026-02-30 is not a date"),
        ("CHANGELOG.md", r"2026-01-02", "2199-01-02", "is in the future"),
        ("CHANGELOG.md", r"## \d", "## Unreleased\n\n## 1", "nothing under 'Unreleased'"),
    ],
)
def test_what_does_not_agree_stops_a_release(tree, file, pattern, by, complaint):
    replace_in_file(tree / "CHANGELOG.md", r"## Unreleased\n", NEXT)
    replace_in_file(tree / file, pattern, by)
    run = run_script("check_release", f"v{sdk.__version__}", "--root", tree, "--notes")
    assert (run.returncode, run.stdout) == (1, "")
    assert complaint in run.stderr


def test_a_tag_of_another_version_stops_a_release(tree):
    replace_in_file(tree / "CHANGELOG.md", r"## Unreleased\n", NEXT)
    assert "tag v" in run_script("check_release", "v9.9.9", "--root", tree).stderr


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(file):
    uses = re.findall(r"uses: (.+)", file.read_text(encoding="utf-8"))
    assert uses
    for action in uses:
        assert re.match(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\b", action)


def test_one_action_is_one_version_everywhere():
    uses = {line for file in WORKFLOWS for line in re.findall(r"uses: (\S+)", file.read_text(encoding="utf-8"))}
    assert len(uses) == len({action.partition("@")[0] for action in uses})


def test_what_builds_a_release_cannot_publish_and_what_publishes_builds_nothing():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    jobs = workflow["jobs"]
    assert workflow["permissions"] == {}
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]
    assert "secrets." not in text
