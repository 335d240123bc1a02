"""Generate the REST code and its pages from the spec, or check that the committed files are up to date.

``generate.py`` writes files that differ and deletes files that the spec no longer produces. ``generate.py --check``
changes nothing, lists these files and exits with 1. The inputs are the spec, the templates, ``generator-config.yaml``,
``.openapi-generator-ignore`` and the version of the package.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "binance_margin_stream"
INPUTS = ("openapi", "generator-config.yaml", ".openapi-generator-ignore")
WHOLLY_GENERATED = (f"{PACKAGE}/api", f"{PACKAGE}/models")
GENERATED_PAGE = b"[[Back to README]](../README.md)"


def read_package_version() -> str:
    source = (ROOT / PACKAGE / "_version.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    if match is None:
        sys.exit(f"generate: {PACKAGE}/_version.py has no __version__")
    return match[1]


def generate_output(root: Path, folder: Path) -> dict[str, bytes]:
    """Run the generator on the inputs in `root` and return its files by path; `folder` is scratch space."""
    for name in INPUTS:
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, folder / name)
    command = [str(Path(sys.executable).with_name("openapi-generator-cli")), "generate"]
    command += ["-c", "generator-config.yaml", "-p", f"packageVersion={read_package_version()}"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    manifest = folder / ".openapi-generator" / "FILES"
    if run.returncode or not manifest.exists():
        sys.exit(f"generate: the generator failed\n{run.stdout}{run.stderr}")
    paths = manifest.read_text(encoding="utf-8").split()
    return {path: (folder / path).read_bytes() for path in sorted(paths)}


def list_committed_files(root: Path) -> set[str]:
    """List every file under `root` that only the generator writes."""
    files = [file for place in WHOLLY_GENERATED for file in (root / place).rglob("*") if file.is_file()]
    files = [file for file in files if "__pycache__" not in file.parts]
    files += [page for page in (root / "docs").glob("*.md") if GENERATED_PAGE in page.read_bytes()]
    return {file.relative_to(root).as_posix() for file in files}


def find_differences(root: Path, fresh: dict[str, bytes]) -> dict[str, str]:
    """Return what is wrong with each file of `root` that differs from the generator's output."""
    found = dict.fromkeys(list_committed_files(root) - fresh.keys(), "stale: the spec no longer produces it")
    for path, content in fresh.items():
        file = root / path
        if not file.exists():
            found[path] = "missing"
        elif file.read_bytes() != content:
            found[path] = "differs"
    return dict(sorted(found.items()))


def write_changes(root: Path, fresh: dict[str, bytes], paths: dict[str, str]) -> None:
    for path in paths:
        file = root / path
        if path in fresh:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(fresh[path])
        else:
            file.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if anything differs")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to work on (default: this one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = generate_output(arguments.root, Path(folder))
    found = find_differences(arguments.root, fresh)
    for path, problem in found.items():
        print(f"{path}: {problem}")
    if arguments.check:
        print("run `make generate`" if found else f"{len(fresh)} generated files are up to date")
        return 1 if found else 0
    write_changes(arguments.root, fresh, found)
    print(f"{len(fresh)} generated files, {len(found)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
