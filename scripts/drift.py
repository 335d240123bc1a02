"""Report what changed in the exchange's own SDK since the last review: user stream calls and stream events.

``drift.py`` downloads the newest ``binance-sdk-margin-trading`` from the package index. ``drift.py FILE`` reads a wheel
of it or an OpenAPI file instead. The package is read, never imported. Every difference to
``openapi/exchange-sdk.json`` is printed, with what this package has. ``--accept`` writes that file after a review.
Exits with 0 if nothing changed, with 1 if something did, with 2 if it cannot say.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "openapi" / "margin-stream.yaml"
BASELINE = ROOT / "openapi" / "exchange-sdk.json"
SDK = "binance-sdk-margin-trading"
USER_STREAM_PATH = re.compile("listen|user-?data-?stream", re.IGNORECASE)
TYPES = {"StrictInt": "integer", "StrictStr": "string", "StrictBool": "boolean", "int": "integer", "str": "string"}

Facts = dict[str, str]
"""What is known of an interface, by subject, such as ``PUT /path: parameter listenKey`` or ``event balanceUpdate``."""


class UnreadableError(Exception):
    """The source cannot be read, or contains no user stream call."""


def read_source(file: Path) -> Facts:
    """Read a wheel, an OpenAPI file or a baseline."""
    try:
        if file.suffix == ".whl":
            facts = read_wheel(file)
        else:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            facts = read_openapi(content) if "paths" in content else dict(content["facts"])
    except (
        OSError,
        ValueError,
        SyntaxError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        yaml.YAMLError,
    ) as error:
        raise UnreadableError(f"cannot read {file.name}: {type(error).__name__}: {error}") from error
    if not any(subject.startswith(("GET", "POST", "PUT", "DELETE")) for subject in facts):
        raise UnreadableError(f"{file.name} contains no user stream call: has its layout changed?")
    return facts


def read_wheel(file: Path) -> Facts:
    with zipfile.ZipFile(file) as wheel:
        sources = {name: wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".py")}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    facts: Facts = {}
    for name, tree in trees.items():
        if "/rest_api/api/" in name:
            facts |= read_calls(tree)
    classes = {
        node.name: node
        for name, tree in trees.items()
        if "/websocket_streams/models/" in name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    for name, tree in trees.items():
        if name.endswith("_events_response.py"):
            for event, class_name in read_event_map(tree):
                facts[f"event {event}"] = ""
                facts |= read_fields(f"event {event}: field ", classes[class_name], classes)
    return facts


def read_calls(tree: ast.Module) -> Facts:
    """Read the user stream calls of one API module: the functions that send a request."""
    facts: Facts = {}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for call in ast.walk(function):
            if not isinstance(call, ast.Call):
                continue
            named = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
            if {"method", "path"} <= named.keys() and USER_STREAM_PATH.search(str(named["path"])):
                facts |= describe_call(f"{named['method']} {named['path']}", function)
    return facts


def describe_call(subject: str, function: ast.FunctionDef) -> Facts:
    facts = {subject: ""}
    parameters = function.args.args[1:]
    first_optional = len(parameters) - len(function.args.defaults)
    for index, parameter in enumerate(parameters):
        first, *rest = parameter.arg.split("_")
        name = first + "".join(part.capitalize() for part in rest)
        facts[f"{subject}: parameter {name}"] = "required" if index < first_optional else "optional"
    text = ast.get_docstring(function) or ""
    if weight := re.search(r"Weight(?:\((\w+)\))?: *(\d+)", text):
        facts[f"{subject}: weight"] = f"{weight[2]} {weight[1] or ''}".strip()
    if security := re.search(r"Security Type: *(\w+)", text):
        facts[f"{subject}: security"] = security[1]
    return facts


def read_event_map(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Iterate over the event names of a module, each with the name of its class."""
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)):
            continue
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id.endswith("EVENT_SCHEMA_MAP"):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Name):
                    yield str(key.value), value.id


def read_fields(prefix: str, model: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Facts:
    """Read the fields of a model by their names on the wire, with those of nested models."""
    facts: Facts = {}
    for node in model.body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call)):
            continue
        alias = next((word.value for word in node.value.keywords if word.arg == "alias"), None)
        name = str(alias.value) if isinstance(alias, ast.Constant) else ast.unparse(node.target)
        kind = ast.unparse(node.annotation).removeprefix("Optional[").removesuffix("]")
        item = kind.removeprefix("List[").removesuffix("]")
        if item in classes:
            facts |= read_fields(f"{prefix}{name}.", classes[item], classes)
        facts[prefix + name] = "array" if item != kind else TYPES.get(kind, kind)
    return facts


def read_openapi(spec: Mapping[str, Any]) -> Facts:
    facts: Facts = {}
    for path, operations in spec["paths"].items():
        for method, operation in operations.items() if USER_STREAM_PATH.search(path) else ():
            if method not in ("get", "post", "put", "delete"):
                continue
            subject = f"{method.upper()} {path}"
            facts[subject] = ""
            for parameter in (*operations.get("parameters", ()), *operation.get("parameters", ())):
                if "$ref" in parameter:
                    parameter = spec["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
                facts[f"{subject}: parameter {parameter['name']}"] = (
                    "required" if parameter.get("required") else "optional"
                )
            if "x-weight" in operation:
                facts[f"{subject}: weight"] = f"{operation['x-weight']} {operation.get('x-weight-scope', '')}".strip()
    return facts


def read_own() -> Facts:
    """Read this package: its spec, and its event models."""
    from msgspec import Struct

    from binance_margin_stream.stream.events.exact_reader import event_classes
    from binance_margin_stream.stream.events.record_fields import fields_by_name

    def list_fields(prefix: str, model: type[Struct]) -> Iterator[str]:
        for field in fields_by_name(model).values():
            if field.wire_name is not None:
                yield f"{prefix}{field.wire_name}"
                if field.row_type is not None:
                    yield from list_fields(f"{prefix}{field.wire_name}.", field.row_type)

    facts = read_openapi(yaml.safe_load(SPEC.read_text(encoding="utf-8")))
    for event, model in event_classes().items():
        facts |= dict.fromkeys([f"event {event}", *list_fields(f"event {event}: field ", model)], "")
    return facts


def compare(old: Facts, new: Facts, own: Facts) -> list[str]:
    """Describe each difference in one line. What one of the two formats cannot express is not compared."""
    lines = []
    for subject in sorted(old.keys() | new.keys()):
        parent, _, detail = subject.partition(": ")
        if old.get(subject) == new.get(subject) or (detail and (parent not in old or parent not in new)):
            continue
        if detail in ("weight", "security") and not (subject in old and subject in new):
            continue
        if subject.startswith("event ") and not all(
            any(key.startswith("event ") for key in side) for side in (old, new)
        ):
            continue
        lines.append(describe_difference(subject, old.get(subject), new.get(subject), own))
    return lines


def describe_difference(subject: str, old: str | None, new: str | None, own: Facts) -> str:
    here = f" (here: {own[subject] or 'yes'})" if subject in own else " (here: no)"
    if subject.endswith(": security"):
        here = ""  # the spec has names of its own for this
    if old is None:
        return f"appeared  {subject}{here}"
    if new is None:
        return f"vanished  {subject}{here}"
    return f"changed   {subject}: {old} -> {new}{here}"


def download_sdk(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), SDK]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    wheels = list(folder.glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        raise UnreadableError(f"cannot download {SDK}: {run.stderr.strip().splitlines()[-1:]}")
    return wheels[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "source", nargs="?", type=Path, help="a wheel or an OpenAPI file (default: download the newest)"
    )
    parser.add_argument(
        "--baseline", type=Path, default=BASELINE, help="what to compare with: also a wheel or OpenAPI file"
    )
    parser.add_argument("--accept", action="store_true", help="write the baseline, after a review")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = arguments.source or download_sdk(Path(folder))
            new = read_source(source)
        if arguments.accept:
            content = {"source": source.name, "facts": dict(sorted(new.items()))}
            arguments.baseline.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            return 0
        lines = compare(read_source(arguments.baseline), new, read_own())
    except UnreadableError as error:
        print(f"drift: {error}", file=sys.stderr)
        return 2
    print(f"{source.name}, compared with {arguments.baseline.name}")
    print("\n".join(lines) or "nothing changed")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
