"""What pip installs: the complete package and nothing else, built without Java or network."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
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
    assert {name for name in names if "test" in name.lower()} == {
        "binance_margin_stream/pytest_plugin.py",
        "binance_margin_stream/testing.py",
    }
    assert metadata["Version"] == sdk.__version__
    assert metadata["Requires-Python"] == ">=3.11"


def test_five_packages_are_needed_at_run_time(distributions):
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as wheel:
        metadata = email.message_from_bytes(wheel.read(f"binance_margin_stream-{sdk.__version__}.dist-info/METADATA"))
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra" not in line]
    assert sorted(line.split(">")[0].split("<")[0] for line in needed) == [
        "msgspec",
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


def test_every_dependency_has_a_floor_and_a_cap():
    command = [sys.executable, str(ROOT / "scripts" / "dependencies.py"), "floors"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    floors = dict(line.split("==") for line in done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (0, "")
    assert {"aiohttp", "pydantic", "rich", "typer", "urllib3", "websockets"} <= floors.keys()
    # Older versions have known vulnerabilities.
    assert (floors["aiohttp"], floors["urllib3"]) == ("3.13.3", "2.7")


def test_a_dependency_without_a_cap_is_refused(tmp_path):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8").replace("websockets>=15,<18", "websockets>=15")
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    command = [sys.executable, str(ROOT / "scripts" / "dependencies.py"), "floors", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "'websockets>=15' must have a floor and a cap" in done.stderr


def test_the_cap_of_websockets_is_right_above_the_version_that_is_tested():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (cap,) = re.findall(r'"websockets>=\d+,<(\d+)"', text)
    assert int(cap) == int(version("websockets").partition(".")[0]) + 1


def test_the_metadata_has_urls_and_the_extras(distributions):
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as wheel:
        metadata = email.message_from_bytes(wheel.read(f"binance_margin_stream-{sdk.__version__}.dist-info/METADATA"))
    assert all(" https://" in url for url in metadata.get_all("Project-URL"))
    assert {"cli", "sandbox", "socks"} <= set(metadata.get_all("Provides-Extra"))
    needed = metadata.get_all("Requires-Dist")
    assert [line for line in needed if line.startswith("typer") and 'extra == "sandbox"' in line]
