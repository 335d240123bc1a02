"""Generate clients in other languages from the spec, into a scratch folder; fail if the generator warns.

The spec is for everybody: a name that is reserved in one of these languages, or a construct that its generator does not
support, shows as a warning. Every call of the spec must be in the output.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

SPEC = Path(__file__).resolve().parent.parent / "openapi" / "margin-stream.yaml"
# `type` is a reserved word of Go and Rust; the name on the wire stays.
_TYPE = ("--name-mappings", "type=kind", "--parameter-name-mappings", "type=kind")
LANGUAGES = {
    # The Go generator also makes a model name of every name.
    "go": (".go", (*_TYPE, "--model-name-mappings", "type=Kind")),
    "java": (".java", ()),
    # The Rust generator makes a model name of every media type, and warns of its own choice.
    "rust": (".rs", ("--model-name-mappings", "application/json=ApplicationJson", *_TYPE)),
    "typescript-fetch": (".ts", ()),
}
"""The file extension and the options of each generator."""


def find_problems(language: str, spec: Path, folder: Path) -> list[str]:
    """Generate a client into `folder`. Return the generator's warnings, and the paths that the client does not have."""
    extension, options = LANGUAGES[language]
    command = [str(Path(sys.executable).with_name("openapi-generator-cli")), "generate", "-g", language, *options]
    command += ["-i", str(spec), "-o", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    lines = (run.stdout + run.stderr).splitlines()
    problems = [line for line in dict.fromkeys(lines) if " WARN " in line or " ERROR " in line]
    if run.returncode:
        return problems or [f"the generator exits with {run.returncode}"]
    source = "".join(file.read_text(encoding="utf-8") for file in folder.rglob(f"*{extension}"))
    paths = yaml.safe_load(spec.read_text(encoding="utf-8"))["paths"]
    return problems + [f"{path} is not in the client" for path in paths if path not in source]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--spec", type=Path, default=SPEC, help="the spec (default: that of this tree)")
    parser.add_argument("languages", nargs="*", help=f"the generators (default: {', '.join(LANGUAGES)})")
    arguments = parser.parse_args()
    languages = arguments.languages or list(LANGUAGES)
    if unknown := set(languages) - LANGUAGES.keys():
        parser.error(f"no such generator: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(max_workers=2) as executor:
        found = executor.map(lambda name: find_problems(name, arguments.spec, Path(folder) / name), languages)
        problems = [f"{name}: {problem}" for name, lines in zip(languages, found, strict=True) for problem in lines]
    print("\n".join(problems) or f"{', '.join(languages)}: generated without a warning")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
