"""Write the SBOM of a wheel, as CycloneDX: `scripts/sbom.py WHEEL OUTPUT`.

The wheel is installed with all extras into a new environment `.venv-sbom`, whose packages are listed.
"""

from __future__ import annotations

import email
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ENVIRONMENT = Path(__file__).resolve().parent.parent / ".venv-sbom"


def read_metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def main() -> None:
    wheel, output = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    metadata = read_metadata(wheel)
    extras = ",".join(metadata.get_all("Provides-Extra", []))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(ENVIRONMENT), "--quiet"]
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(ENVIRONMENT)], check=True)
    subprocess.run([*pip, "install", f"{wheel}[{extras}]"], check=True)
    cyclonedx = [str(Path(sys.executable).with_name("cyclonedx-py")), "environment", "--output-reproducible"]
    subprocess.run([*cyclonedx, "--output-format", "JSON", "--output-file", str(output), str(ENVIRONMENT)], check=True)
    parts = {part["name"]: part["version"] for part in json.loads(output.read_text(encoding="utf-8"))["components"]}
    if parts.get(metadata["Name"]) != metadata["Version"]:
        sys.exit(f"sbom: {output.name} does not contain {metadata['Name']} {metadata['Version']}")
    print(f"{len(parts)} packages, {metadata['Name']} with {extras} among them")


if __name__ == "__main__":
    main()
