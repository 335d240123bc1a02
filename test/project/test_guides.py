"""Every block on a page that is written by hand is run, or at least read; the examples say what they should."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from doc_snippets import ROOT, CodeBlock, find_code_blocks, find_handwritten_pages, run_against_sandbox, run_program

from binance_margin_stream.sandbox import Sandbox

OF_FILES = "docs/testing-your-bot"
"""Its Python blocks are files that belong together; test_testing_guide.py runs them."""
BLOCKS = [block for page in find_handwritten_pages() for block in find_code_blocks(page)]
EXPECTED_OUTPUT = {
    "follow": "0.50000000 BTCUSDT filled at 60000.00000000",
    "follow_async": "order 1 is FILLED",
    "many_accounts": "49 accounts on 1 connection",
    "reconcile": "booked -60.00000000, the exchange reports -60",
    "watch": "alert   subscription lost cross",
}
ELSEWHERE = {
    ".",
    "cd",
    "curl",
    "docker",
    "git",
    "install",
    "journalctl",
    "mkdir",
    "pytest",
    "python3",
    "sudo",
    "systemctl",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def select_blocks(*languages: str) -> list[CodeBlock]:
    return [block for block in BLOCKS if block.language in languages and block.title in ("", "binance_margin_stream")]


OF_STORED_EVENTS = "docs/beyond-one-machine"
"""Its Python blocks need a NATS server; test/relay/test_page.py runs them."""
OURS = [
    block for block in select_blocks("python") if block.page not in ("README", OF_FILES, OF_STORED_EVENTS)
]  # which have tests of their own
ALONE = [block for block in OURS if "Sandbox(" in block.text or "ApiKeyAuth" not in block.text]
FOR_PRODUCTION = [block for block in OURS if block not in ALONE]
OTHERS = [block for block in BLOCKS if block.language == "python" and block not in select_blocks("python")]


@pytest.mark.parametrize("block", ALONE, ids=str)
def test_a_program_without_a_key_of_its_own_runs_as_it_stands(block):
    assert run_program("-c", block.text)


@pytest.mark.parametrize("block", FOR_PRODUCTION, ids=str)
def test_a_program_for_production_runs_against_a_sandbox(block):
    with Sandbox() as exchange:
        assert run_against_sandbox(block.text, exchange)


@pytest.mark.parametrize("block", OTHERS, ids=str)
def test_a_program_for_another_library_is_python_and_names_its_version(block):
    compile(block.text, block.page, "exec")
    assert re.search(r"\d+\.\d+\.\d+", block.title)


@pytest.mark.parametrize("block", select_blocks("console"), ids=str)
def test_a_command_exists(block):
    commands = [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]
    assert commands
    for command in commands:
        check_command(shlex.split(command, comments=True))


def check_command(words: list[str]) -> None:
    match words:
        case ["export", setting]:
            assert setting.startswith("BINANCE_API_")
        case ["make", *targets]:
            assert set(targets) <= TARGETS
        case ["pip", "install", wanted]:
            name, extras = re.fullmatch(r"([\w-]+)(?:\[([\w,]+)\])?(?:[~=]=[\d.]+)?", wanted).groups()
            assert name == PROJECT["name"]
            assert set((extras or "").split(",")) - {""} <= PROJECT["optional-dependencies"].keys()
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module)
        case ["python", file]:
            assert file.endswith(".py")
        case [program, *_] if "/" in program:
            assert (ROOT / program).is_file()
        case [program, *_]:
            assert program in ELSEWHERE | PROJECT.get("scripts", {}).keys()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language not in ("python", "console")], ids=str)
def test_what_is_no_program_can_be_read(block):
    READERS[block.language](block.text)


def read_dockerfile(text: str) -> None:
    lines = text.replace("\\\n", "").splitlines()
    assert {line.split()[0] for line in lines if line} <= {"FROM", "RUN", "COPY", "USER", "ENV", "HEALTHCHECK", "CMD"}
    for command in re.findall(r"^(?:HEALTHCHECK.* )?CMD (.+)$", "\n".join(lines), re.MULTILINE):
        assert json.loads(command)


def read_ini(text: str) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    assert parser.sections()


READERS = {
    "dockerfile": read_dockerfile,
    "ini": read_ini,
    "json": json.loads,
    "text": str,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}


@pytest.mark.parametrize("name", EXPECTED_OUTPUT)
def test_an_example_runs(name):
    assert EXPECTED_OUTPUT[name] in run_program(str(ROOT / "examples" / f"{name}.py"))


def test_every_example_is_run():
    others = {file.stem for file in (ROOT / "examples").glob("*.py")} - set(EXPECTED_OUTPUT)
    # It needs ccxt; `make interop` runs it.
    assert others == {"grid_bot"}
    assert "grid_bot.py" in (ROOT / "interop" / "grid.py").read_text(encoding="utf-8")


def test_every_page_is_looked_at():
    assert {"README", "docs/gaps", "docs/getting-started", "docs/errors"} <= {block.page for block in BLOCKS}
    assert len(find_handwritten_pages()) > len([*Path(ROOT).glob("*.md")]) + 10
