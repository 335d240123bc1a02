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
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TAG = f"v{sdk.__version__}"
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


@pytest.fixture
def repository(tmp_path):
    """A repository whose main branch has a tag that could be released."""
    root = tmp_path / "repository"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), str(root)], check=True)
    for name in ("scripts/check_release.py", "scripts/build_reproducible.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    replace_in_file(root / "CHANGELOG.md", r"## Unreleased\n", NEXT)
    run_git(root, "checkout", "--quiet", "-B", "main")
    commit(root, "release")
    run_git(root, "tag", TAG)
    return root


def run_git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.invalid"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, timeout=60)


def commit(root: Path, message: str) -> None:
    run_git(root, "add", "--all")
    run_git(root, "commit", "--quiet", "--allow-empty", "--message", message)


def check_repository(root: Path, **environment: str) -> list[str]:
    run = run_script("check_release", TAG, "--branch", "main", "--root", root, GITHUB_REPOSITORY="", **environment)
    assert run.returncode == bool(run.stderr)
    return run.stderr.splitlines()


def test_a_tag_on_main_with_a_clean_tree_can_be_released(repository):
    assert check_repository(repository) == []


def test_a_dirty_tree_stops_a_release(repository):
    (repository / "setup.py").write_text("changed")
    (repository / "binance_margin_stream" / "planted.py").write_text("")
    (problem,) = check_repository(repository)
    assert problem == "the work tree is not clean: setup.py, binance_margin_stream/planted.py"


def test_a_tag_that_is_not_on_main_stops_a_release(repository):
    run_git(repository, "checkout", "--quiet", "-b", "other")
    commit(repository, "elsewhere")
    run_git(repository, "tag", "--force", TAG)
    assert check_repository(repository) == [f"{TAG} is not on main: merge first, then tag the commit on main"]


def test_a_tag_that_is_not_checked_out_or_not_there_stops_a_release(repository):
    commit(repository, "later")
    assert check_repository(repository) == [f"{TAG} is not checked out"]
    run_git(repository, "tag", "--delete", TAG)
    assert check_repository(repository) == [f"there is no tag {TAG}"]


def test_a_release_names_the_repository_that_it_comes_from(repository):
    workflow = {"GITHUB_SERVER_URL": "https://code.example", "GITHUB_REPOSITORY": "owner/name"}
    run = run_script("check_release", TAG, "--branch", "main", "--root", repository, **workflow)
    assert run.stderr == 'pyproject.toml: [project.urls] must contain Repository = "https://code.example/owner/name"\n'
    replace_in_file(
        repository / "pyproject.toml",
        r"\[project.urls\]\n",
        '[project.urls]\nRepository = "https://code.example/owner/name"\n',
    )
    commit(repository, "name the repository")
    run_git(repository, "tag", "--force", TAG)
    assert run_script("check_release", TAG, "--branch", "main", "--root", repository, **workflow).returncode == 0


def test_a_tag_is_built_from_its_own_files(repository, tmp_path):
    (repository / "binance_margin_stream" / "planted.py").write_text("")
    run_git(repository, "add", "--all")
    run = run_script("build_reproducible", "--tag", TAG, "--root", repository, "--outdir", tmp_path / "dist")
    assert run.returncode == 0, run.stderr
    with zipfile.ZipFile(next((tmp_path / "dist").glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert "binance_margin_stream/auth.py" in names
    assert "binance_margin_stream/planted.py" not in names


def get_jobs(workflow: str) -> dict[str, dict[str, object]]:
    text = (ROOT / ".github" / "workflows" / f"{workflow}.yml").read_text(encoding="utf-8")
    jobs: dict[str, dict[str, object]] = yaml.safe_load(text)["jobs"]
    return jobs


def test_the_job_that_generates_may_only_read_and_the_job_that_writes_runs_git_only():
    jobs = get_jobs("regenerate")
    assert jobs["generate"]["permissions"] == {"contents": "read"}
    assert jobs["propose"]["permissions"] == {"contents": "write", "pull-requests": "write"}
    commands = "\n".join(step.get("run", "") for step in jobs["propose"]["steps"])
    assert not re.search(r"\b(python|pip|make|npm|java)\b", commands)


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("binance_margin_stream/api/risk_stream_api.py", False),
        ("docs/RiskStreamApi.md", False),
        (".github/workflows/ci.yml", True),
        ("Makefile", True),
        ("binance_margin_stream/sandbox/server/page.html", True),
    ],
)
def test_a_patch_of_anything_but_generated_code_is_refused(path, refused, tmp_path):
    """Runs the command of the workflow itself."""
    steps = get_jobs("regenerate")["propose"]["steps"]
    (script,) = [step["run"] for step in steps if step.get("name") == "Apply the patch"]
    run_git(tmp_path, "init", "--quiet")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("old\n")
    commit(tmp_path, "before")
    (tmp_path / path).write_text("new\n")
    patch = subprocess.run(["git", "diff", "--binary"], cwd=tmp_path, capture_output=True, check=True).stdout
    run_git(tmp_path, "checkout", ".")
    temporary = tmp_path / ".git" / "temporary"
    temporary.mkdir()
    (temporary / "generated.patch").write_bytes(patch)
    run = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"RUNNER_TEMP": str(temporary)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode == refused, run.stderr
    assert (tmp_path / path).read_text() == ("old\n" if refused else "new\n")


@pytest.mark.parametrize("lock", ["generate", "release"])
def test_the_workflows_install_tools_by_hash_in_the_versions_of_the_developers(lock):
    text = (ROOT / ".github" / "requirements" / f"{lock}.txt").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    locked = dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", "\n".join(lines), re.MULTILINE))
    assert locked
    assert all("--hash=sha256:" in line for line in lines)
    developers = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([^\s;]+)", developers, re.MULTILINE))
    shared = locked.keys() & pinned.keys()
    assert {name: locked[name] for name in shared} == {name: pinned[name] for name in shared}
    tools = re.search(rf"^{'GENERATOR' if lock == 'generate' else 'RELEASE'}_TOOLS := (.+)$", MAKEFILE, re.MULTILINE)
    assert {name.partition("[")[0] for name in tools[1].split()} <= shared
    workflow = (ROOT / ".github" / "workflows" / f"{lock.replace('generate', 'regenerate')}.yml").read_text("utf-8")
    assert f"--require-hashes --only-binary :all: --requirement .github/requirements/{lock}.txt" in workflow


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
    assert jobs["verify"]["permissions"] == jobs["build"]["permissions"] == {"contents": "read"}
    assert not [step for step in jobs["build"]["steps"] if re.search(r"\.ci/run|pytest|make ", step.get("run", ""))]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]
    assert "secrets." not in text
