"""Build wheel and sdist reproducibly, and check it by building twice.

Only files known to git are built, in a copy whose modes and times do not depend on this machine. With ``--tag``, they
are the files of that tag, from ``git archive``, whatever the work tree contains. Every timestamp in the archives is
that of the last commit, or of the tag, or `SOURCE_DATE_EPOCH`. The second build uses another folder and time zone.
Exits with 1 if the two differ.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def git(*arguments: str, root: Path) -> str:
    return subprocess.run(("git", *arguments), cwd=root, capture_output=True, text=True, check=True).stdout


def choose_epoch(root: Path, commit: str) -> int:
    """Return the timestamp of all files, in seconds since 1970."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--pretty=%ct", commit, root=root))


def extract_tag(root: Path, tag: str, tree: Path, epoch: int) -> None:
    """Extract the files of a tag into `tree`."""
    archive = tree.with_suffix(".tar")
    archive.parent.mkdir(parents=True, exist_ok=True)
    git("archive", "--format=tar", f"--output={archive}", f"refs/tags/{tag}", root=root)
    with tarfile.open(archive) as files:
        files.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 or newer
        files.extractall(tree)  # noqa: S202 - git made it a moment ago
    archive.unlink()
    for path in tree.rglob("*"):
        if path.is_file():
            path.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
        os.utime(path, (epoch, epoch))


def copy_tree(root: Path, tree: Path, epoch: int) -> None:
    """Copy the files of `root` that git knows, as they are in the work tree."""
    for name in git("ls-files", "-z", root=root).split("\0"):
        source, target = root / name, tree / name
        if name and source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
            os.utime(target, (epoch, epoch))


def build(tree: Path, folder: Path, epoch: int, zone: str) -> None:
    """Build wheel and sdist of `tree` into `folder`."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(tree)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "TZ": zone}
    run = subprocess.run(
        command, env=environment, umask=0o022, capture_output=True, text=True, timeout=300, check=False
    )
    if run.returncode:
        sys.exit(f"dist: the build failed\n{run.stdout}{run.stderr}")
    (sdist,) = folder.glob("*.tar.gz")
    repack(sdist, epoch)


def repack(sdist: Path, epoch: int) -> None:
    """Rewrite the archive: sorted, with one timestamp, and without owners."""
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(sdist) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 or newer
            archive.extractall(scratch)  # noqa: S202 - it was made a moment ago
        with (
            open(sdist, "wb") as file,
            gzip.GzipFile("", "wb", 9, file, mtime=epoch) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path in sorted(Path(scratch).rglob("*")):
                member = archive.gettarinfo(path, path.relative_to(scratch).as_posix())
                member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
                member.mode = 0o755 if path.is_dir() or member.mode & 0o100 else 0o644
                archive.addfile(member, open(path, "rb") if path.is_file() else None)  # noqa: SIM115


def compute_digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def find_differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the names of the files that differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outdir", type=Path, default=ROOT / "dist", help="the output folder (default: dist)")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to build (default: this one)")
    parser.add_argument("--tag", help="build the files of this tag instead of the work tree")
    arguments = parser.parse_args()
    epoch = choose_epoch(arguments.root, "HEAD" if arguments.tag is None else f"refs/tags/{arguments.tag}")
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for name, zone in (("first", "UTC"), ("second", "Asia/Kolkata")):
            tree = Path(folder, name, "tree")
            if arguments.tag is None:
                copy_tree(arguments.root, tree, epoch)
            else:
                extract_tag(arguments.root, arguments.tag, tree, epoch)
            build(tree, Path(folder, name, "dist"), epoch, zone)
            results.append(compute_digests(Path(folder, name, "dist")))
        if different := find_differences(*results):
            print(f"dist: two builds differ in {', '.join(different)}", file=sys.stderr)
            return 1
        arguments.outdir.mkdir(parents=True, exist_ok=True)
        for name, digest in results[0].items():
            shutil.copyfile(Path(folder, "first", "dist", name), arguments.outdir / name)
            print(f"{digest}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
