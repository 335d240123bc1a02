"""The committed generated files are up to date, and every difference is listed."""

from __future__ import annotations

import difflib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREE = ("openapi", "docs", "generator-config.yaml", ".openapi-generator-ignore", "binance_margin_stream")
API = "binance_margin_stream/api/margin_stream_api.py"
PAGE = "docs/RiskStreamApi.md"


def generate(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "generate.py"), "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def tree(tmp_path):
    """A copy of the input and output of the generator."""
    for name in TREE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def remove_risk_stream(spec: str) -> str:
    start, end = spec.index("  /sapi/v1/margin/listen-key:"), spec.index("components:\n  securitySchemes")
    return spec[:start] + "\n" + spec[end:]


def read_files(tree: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in tree.rglob("*") if file.is_file()}


@pytest.mark.timeout(300)
def test_the_check_lists_every_file_that_is_not_up_to_date(tree):
    assert generate(tree, "--check").returncode == 0
    before = read_files(tree)

    (tree / API).write_text((tree / API).read_text() + "# by hand\n")
    (tree / PAGE).unlink()
    (tree / "binance_margin_stream/models/left_over.py").touch()
    check = generate(tree, "--check")
    assert check.returncode == 1
    assert f"{API}: differs" in check.stdout
    assert f"{PAGE}: missing" in check.stdout
    assert "binance_margin_stream/models/left_over.py: stale" in check.stdout
    assert "make generate" in check.stdout

    assert generate(tree).returncode == 0
    assert read_files(tree) == before


@pytest.mark.timeout(300)
def test_a_file_that_the_spec_no_longer_produces_is_removed(tree):
    spec = tree / "openapi/margin-stream.yaml"
    spec.write_text(remove_risk_stream(spec.read_text()))
    check = generate(tree, "--check")
    assert check.returncode == 1
    for path in (PAGE, "binance_margin_stream/api/risk_stream_api.py"):
        assert f"{path}: stale" in check.stdout
        assert (tree / path).exists(), "a check changes nothing"
    generate(tree)
    assert not (tree / PAGE).exists()
    assert (tree / "binance_margin_stream/http/client.py").exists()
    assert generate(tree, "--check").returncode == 0


def test_an_invalid_spec_fails_with_the_output_of_the_generator(tree):
    (tree / "openapi/margin-stream.yaml").write_text("openapi: [")
    run = generate(tree)
    assert run.returncode != 0
    assert "the generator failed" in run.stderr
    assert (tree / API).exists()


@pytest.mark.parametrize(
    ("template", "removed", "added"),
    [
        (
            "api",
            [
                "from pydantic import validate_call, Field, StrictFloat, StrictStr, StrictInt",
                "from {{packageName}}.api_client import ApiClient, RequestSerialized",
            ],
            [
                "from pydantic import Field, StrictFloat, StrictStr, StrictInt",
                "from {{packageName}}.api_client import RequestSerialized",
                "from {{packageName}}.http.client import ApiClient",
                "from {{packageName}}.validation import validate_call",
                "ApiClient.check_instance(api_client, type(self).__name__)",
            ],
        ),
        (
            "model",
            [],
            [
                "{{^oneOf}}{{^anyOf}}",
                "from {{packageName}}.validation import protect_model",
                "",
                "protect_model({{classname}}, secret_fields=({{#vars}}{{#vendorExtensions.x-secret}}"
                '"{{name}}", {{/vendorExtensions.x-secret}}{{/vars}}))',
                "{{/anyOf}}{{/oneOf}}",
            ],
        ),
    ],
)
def test_a_template_of_code_differs_from_the_stock_one_in_these_lines_only(template, removed, added):
    (package,) = importlib.util.find_spec("openapi_generator_cli").submodule_search_locations
    with zipfile.ZipFile(Path(package) / "openapi-generator.jar") as jar:
        stock = jar.read(f"python/{template}.mustache").decode()
    ours = (ROOT / "openapi" / "templates" / f"{template}.mustache").read_text()
    reason, _, ours = ours.partition("\n}}\n")
    assert "Why this override" in reason
    lines = list(difflib.ndiff(stock.splitlines(), ours.splitlines()))
    found = {mark: [line[2:].strip() for line in lines if line.startswith(mark)] for mark in "-+"}
    assert found == {"-": removed, "+": added}


def check_languages(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "check_languages.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.timeout(150)
def test_clients_in_other_languages_are_generated_without_a_warning():
    check = check_languages()
    assert check.stdout == "go, java, rust, typescript-fetch: generated without a warning\n"
    assert check.returncode == 0


def test_a_name_that_is_reserved_in_another_language_fails_the_check(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text((ROOT / "openapi/margin-stream.yaml").read_text().replace("ErrorResponse", "Error"))
    check = check_languages("--spec", str(spec), "typescript-fetch")
    assert "Error (model name matches existing language type)" in check.stdout
    assert check.returncode == 1
