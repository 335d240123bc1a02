"""What pip installs: the complete package and nothing else, built without Java or network."""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import binance_margin_stream as sdk

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Wheel and sdist, built without Java and network."""
    folder = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source") / "tree"
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env={"PATH": "/nowhere"})
    return folder


def test_the_wheel_holds_the_package_its_types_and_no_tests(distributions):
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        metadata = email.message_from_bytes(wheel.read(next(name for name in names if name.endswith("METADATA"))))
    tops = {name.split("/")[0] for name in names}
    assert tops == {"binance_margin_stream", f"binance_margin_stream-{sdk.__version__}.dist-info"}
    assert "binance_margin_stream/py.typed" in names
    assert "binance_margin_stream/sandbox/server/app.py" in names
    assert "binance_margin_stream/sandbox/server/page.html" in names
    assert [name for name in names if "test" in name.lower()] == ["binance_margin_stream/pytest_plugin.py"]
    assert metadata["Version"] == sdk.__version__
    assert metadata["Requires-Python"] == ">=3.11"


def test_four_packages_are_needed_at_run_time(distributions):
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as wheel:
        metadata = email.message_from_bytes(wheel.read(f"binance_margin_stream-{sdk.__version__}.dist-info/METADATA"))
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra" not in line]
    assert sorted(line.split(">")[0].split("<")[0] for line in needed) == [
        "pydantic",
        "python-dateutil",
        "urllib3",
        "websockets",
    ]


def test_the_sdist_can_be_built_from(distributions, tmp_path):
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as sdist:
        sdist.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 or newer
        sdist.extractall(tmp_path)
    (tree,) = tmp_path.iterdir()
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--outdir",
        str(tmp_path / "again"),
        str(tree),
    ]
    subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env={"PATH": "/nowhere"})
    assert list((tmp_path / "again").glob("*.whl"))
