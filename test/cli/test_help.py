"""Help, completion and errors of the command line, and that help is fast."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_program import Terminal, build_environment, run_cli
from typer.main import get_command

import binance_margin_stream as sdk
from binance_margin_stream.cli import main
from binance_margin_stream.cli.app import app
from binance_margin_stream.cli.examples import EXAMPLES
from binance_margin_stream.cli.runner import PROGRAM_NAME, ExitCode
from binance_margin_stream.sandbox.cli import app as sandbox_app

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
COMMANDS = [*EXAMPLES, "key", "token"]
LINES = [line for examples in EXAMPLES.values() for _, line in examples]


def split_arguments(line: str) -> list[str]:
    """Split a command line as the shell does."""
    inner = re.search(rf"\$\({PROGRAM_NAME} ([^)]*)\)", line)
    return shlex.split(inner[1] if inner else line.partition(" | ")[0].removeprefix(f"{PROGRAM_NAME} "))


def parse_command(arguments: list[str]) -> str:
    """Return the command that these arguments select. Raises what the parser raises."""
    if arguments[0] == "sandbox":  # which has a parser of its own
        start = (get_command(sandbox_app), f"{PROGRAM_NAME} sandbox", arguments[1:])
    else:
        start = (get_command(app), PROGRAM_NAME, arguments)
    command, path, arguments = start
    context = None
    while True:
        context = command.make_context(path, list(arguments), parent=context)
        if not hasattr(command, "commands") or not [*context._protected_args, *context.args]:
            return context.command_path
        path, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])


@pytest.mark.parametrize("line", LINES)
def test_every_example_of_a_help_page_can_be_parsed(line):
    assert parse_command(split_arguments(line)).startswith(PROGRAM_NAME)


def test_a_wrong_example_would_be_noticed():
    with pytest.raises(Exception, match="No such option"):
        parse_command(["listen", "--no-such-option"])


def test_every_command_line_of_the_documentation_can_be_parsed():
    lines = re.findall(rf"^(?:\$ )?(?:ExecStart=\S*/)?({PROGRAM_NAME} .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) > 5
    for line in lines:
        parse_command(split_arguments(line.removesuffix(" &").partition(" | ")[0].partition("  #")[0]))


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_filter_of_the_documentation_keeps_every_digit_of_an_id():
    line = '{"kind":"ExecutionReport","order_id":1234567890123456789}\n'
    (script,) = re.findall(r"listen .* \| jq -Rr '(.*)'$", PAGE.read_text(), re.MULTILINE)
    lines = line + line.replace("ExecutionReport", "BalanceUpdate")
    done = subprocess.run(["jq", "-Rr", script], input=lines, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_page_fits_the_terminal_and_shows_its_examples(command):
    page = run_cli(*command.split(), "--help", TERMINAL_WIDTH="80")
    assert (page.returncode, page.stderr) == (0, "")
    assert max(map(len, page.stdout.splitlines())) <= 80
    for _, line in EXAMPLES.get(command, ()):
        assert line in page.stdout


def test_the_exit_codes_are_explained_in_help_and_documentation():
    page = run_cli("listen", "--help").stdout
    documented = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    assert documented == [(str(code.value), code.meaning, code.restart) for code in ExitCode]
    for code in ExitCode:
        assert re.search(rf"^ *{code.value} +{re.escape(code.meaning)} +{code.restart} *$", page, re.MULTILINE)


def test_the_sandbox_help_has_the_name_that_was_typed():
    page = run_cli("sandbox", "--help")
    assert (page.returncode, page.stderr) == (0, "")
    assert f" Usage: {PROGRAM_NAME} sandbox [OPTIONS] COMMAND" in page.stdout
    wrong = run_cli("sandbox", "--port", "70000")
    assert (wrong.returncode, "--port" in wrong.stderr) == (ExitCode.USAGE, True)


def test_it_prints_its_version():
    assert run_cli("--version").stdout == f"binance-margin-stream {sdk.__version__}\n"


@pytest.mark.parametrize("extra", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(extra):
    code = f"import sys; sys.modules[{extra!r}] = None; from binance_margin_stream.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {extra} is missing: pip install 'binance-margin-stream[cli]'\n"


@pytest.mark.parametrize("command", ["", "listen", "doctor", "key create"])
def test_help_imports_nothing_that_it_does_not_need(command):
    code = (
        "import sys; from binance_margin_stream.cli import main\n"
        f"main({[*command.split(), '--help']!r})\n"
        "heavy = {'urllib3', 'websockets', 'aiohttp', 'asyncio', 'logging.config'} & sys.modules.keys()\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell):
    shown = subprocess.run(
        [sys.executable, "-c", "from binance_margin_stream.cli import main; main()"],
        env=build_environment(None, {"_BINANCE_MARGIN_STREAM_COMPLETE": f"source_{shell}"}),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "binance-margin-stream" in shown.stdout
    asked = {"COMP_WORDS": f"{PROGRAM_NAME} li", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": f"{PROGRAM_NAME} li"}
    done = run_cli(_BINANCE_MARGIN_STREAM_COMPLETE=f"complete_{shell}", _TYPER_COMPLETE_FISH_ACTION="get-args", **asked)
    assert "listen" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lisen"], "Did you mean 'listen'"),
        (["listen", "--nonsense"], "No such option: --nonsense"),
        (["listen", "extra"], ". See: binance-margin-stream listen --help"),
        (["listen"], "select an exchange: --production for the real one"),
        (["listen", "--production", "--sandbox", "http://127.0.0.1:1"], "not both"),
        (["listen", "--sandbox", "https://api.binance.com"], "is not a sandbox"),
        (["listen", "--sandbox", "127.0.0.1:1"], "http://127.0.0.1:8650"),
        (["listen", "--sandbox", "http://127.0.0.1:1", "--endpoint", "rest=ftp://x"], "NAME=URL"),
        (["listen", "--sandbox", "http://127.0.0.1:1", "--endpoint", "nonsense=http://x"], "listen-key-v2"),
        (["listen", "--sandbox", "http://127.0.0.1:1", "-i", "BTC USDT"], "not a symbol: 'BTC USDT'"),
        (["listen", "--sandbox", "http://127.0.0.1:1", "--no-cross"], "accounts is empty"),
        (["listen", "--sandbox", "http://127.0.0.1:1", "--source", "smoke"], "no source 'smoke'"),
        (["listen", "--sandbox", "http://127.0.0.1:1", "--no-cross", "-i", "BTCUSDT", "--risk"], "risk"),
        (["key", "create", "--sandbox", "http://127.0.0.1:1", "--kind", "isolated"], "--isolated SYMBOL"),
        (["key", "create", "--sandbox", "http://127.0.0.1:1", "--kind", "risk", "-i", "BTCUSDT"], "has no symbol"),
        (["token", "create", "--sandbox", "http://127.0.0.1:1", "--validity", "86401"], "--validity"),
        (["demo", "--speed"], "No such option"),
    ],
)
def test_a_wrong_command_line_gives_one_line_and_code_2(arguments, said):
    done = run_cli(*arguments, BINANCE_API_KEY="k" * 64)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "set BINANCE_API_KEY"),
        ({"BINANCE_API_KEY": "two words"}, "contains a space"),
        ({"BINANCE_API_KEY_FILE": "/no/such/file"}, "cannot read /no/such/file"),
    ],
)
def test_a_missing_or_invalid_key_is_code_78(variables, said):
    done = run_cli("listen", "--sandbox", "http://127.0.0.1:1", **variables)
    assert (done.returncode, done.stdout) == (ExitCode.NO_KEY, "")
    assert said in done.stderr


def test_verbose_shows_the_trace_and_otherwise_there_is_none():
    wrong = ["key", "create", "--sandbox", "http://127.0.0.1:1"]
    quiet, verbose = (run_cli(*wrong, *more, BINANCE_API_KEY="k" * 64) for more in ([], ["--verbose"]))
    assert quiet.returncode == verbose.returncode == ExitCode.UNREACHABLE
    assert len(quiet.stderr.splitlines()) == 1
    assert "Traceback" in verbose.stderr
    assert verbose.stderr.splitlines()[-1] == quiet.stderr.strip()
    assert "k" * 64 not in verbose.stderr


def test_a_terminal_gets_colours_unless_they_are_disabled():
    for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Terminal("--help", **more) as terminal:
            assert terminal.wait_for_exit() == 0
            assert bool(re.search(r"\x1b\[[0-9;]*3\d", terminal.raw)) is coloured


@pytest.mark.parametrize(
    "arguments", [["--help"], ["doctor", "--json", "--sandbox", "http://127.0.0.1:1"]], ids=["at once", "at the end"]
)
def test_output_into_a_full_disk_is_one_line_and_code_74(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "binance_margin_stream", *arguments],
            env=build_environment(None, {"PYTHONUNBUFFERED": ""}),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=20,
            check=False,
        )
    said = "error: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (ExitCode.OUTPUT_ERROR, said)


def test_the_entry_point_is_there_for_other_programs(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("binance-margin-stream ")


def test_a_thread_that_cannot_be_stopped_does_not_delay_the_end():
    code = (
        "import sys, threading, time; from binance_margin_stream.cli import main\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "sys.exit(main(['--version']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, f"binance-margin-stream {sdk.__version__}\n")
