"""The reference pages say what the code does, leave nothing out, and nothing on the site asks another host."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import pytest
from browser import BROWSER_NAMES, BrowserPage, find_browser, open_browser
from doc_snippets import find_code_blocks

import binance_margin_stream as sdk
from binance_margin_stream import auth, exceptions, models, sandbox

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
CONFIGURED = ("ApiClient", "ApiKeyAuth", "Endpoints", "Timeout", "RetryPolicy", "MarginStream", "StreamSettings")


def format_default(default: object) -> str:
    if default is inspect.Parameter.empty:
        return "required"
    if default == (sdk.CROSS,):
        return "`(CROSS,)`"
    if default == sdk.Recovery():
        return "`Recovery()`"
    return "`StreamSettings()`" if default == sdk.StreamSettings() else f"`{default!r}`"


@pytest.mark.parametrize("name", CONFIGURED)
def test_every_setting_is_listed_with_its_default(name):
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", CONFIGURATION, re.MULTILINE | re.DOTALL)
    listed = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section[1], re.MULTILINE)
    parameters = inspect.signature(getattr(sdk, name)).parameters.values()
    settings = [parameter for parameter in parameters if not parameter.name.startswith("_")]
    assert listed == [(setting.name, format_default(setting.default)) for setting in settings]


def test_both_streams_have_the_same_settings():
    assert inspect.signature(sdk.MarginStream) == inspect.signature(sdk.AsyncMarginStream)


def test_every_environment_variable_is_listed():
    for name in (auth.API_KEY_VARIABLE, auth.API_SECRET_VARIABLE):
        assert f"| `{name}` |" in CONFIGURATION
        assert f"`{name}_FILE`" in CONFIGURATION


def test_every_error_is_in_the_table_and_in_the_tree():
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    errors = {*exceptions.__all__, "MalformedFrameError"}
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == sorted(errors)
    assert set(re.findall(r"\w+", re.search(r"```text\n(.*?)```", page, re.DOTALL)[1])) == errors


def test_every_gap_reason_is_in_the_table():
    reasons = re.search(r"^## Reasons\n(.*?)(?=^## )", (DOCS / "gaps.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `([^`]+)` \|", reasons[1], re.MULTILINE) == [reason.value for reason in sdk.GapReason]


def list_documented_names() -> set[str]:
    lines = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    return set(re.findall(r"^::: (\S+)$", lines, re.MULTILINE))


def test_every_name_in_the_reference_exists():
    for path in list_documented_names() - {"binance_margin_stream.sandbox.faults"}:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name)


def test_the_reference_has_every_public_name_that_is_written_by_hand():
    generated = {name for name in sdk.__all__ if name.endswith("Api")}
    generated |= {"ApiV3UserDataStreamPost200Response", "Configuration", "ErrorResponse", "ListenToken", "__version__"}
    generated |= {name for name in sdk.__all__ if hasattr(models, name)}
    names = {path.rpartition(".")[2] for path in list_documented_names()}
    assert set(sdk.__all__) - generated <= names
    assert set(sandbox.__all__) <= names


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built without a network, as CI builds it: a broken link or an unlisted page fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [str(Path(sys.executable).with_name("mkdocs")), "build", "--strict", "--site-dir", str(folder)]
    run = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert run.returncode == 0, run.stderr
    return folder


def test_a_page_asks_no_other_host_for_anything(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(?:https?:)?//', text), page
        assert not re.findall(r'<link\b[^>]*\brel="(?:stylesheet|preconnect|icon)"[^>]*href="(?:https?:)?//', text)
        assert 'class="mermaid"' not in text, page


def test_links_of_the_repository_lead_to_pages_of_the_site(site):
    generated = (site / "ListenTokenApi.html").read_text(encoding="utf-8")
    assert 'href="index.html#documentation-for-api-endpoints"' in generated
    assert 'href="index.html#ApiKeyAuth"' in generated
    home = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="gaps.html"' in home
    assert 'href="ListenTokenApi.html#sapi_v1_user_listen_token_post"' in home
    assert 'id="documentation-for-api-endpoints"' in home
    assert "README.md" not in generated


def test_docstrings_are_shown_with_their_programs(site):
    page = (site / "reference" / "stream.html").read_text(encoding="utf-8")
    assert "binance_margin_stream.stream.sync_stream.MarginStream" in page
    assert "<p>::</p>" not in page


needs_browser = pytest.mark.skipif(
    find_browser() is None, reason=f"there is no browser here: none of {', '.join(BROWSER_NAMES)}"
)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserPage]:
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


def set_width(tab: BrowserPage, width: int) -> None:
    tab.send_command(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
    )


def click(tab: BrowserPage, element: str) -> None:
    """A click that counts as the user's, as the clipboard demands."""
    tab.send_command("Runtime.evaluate", expression=f"{element}.click()", userGesture=True)


@needs_browser
@pytest.mark.parametrize("name", ["command-line", "getting-started", "sandbox"])
def test_a_copy_button_copies_the_commands_without_the_prompt(site, url, tab, name):
    tab.open(f"{url}/{name}.html")
    tab.evaluate("addEventListener('copy', () => { window.copied = document.activeElement.value }, true)")
    buttons = "[...document.querySelectorAll('pre:has(.gp) [data-clipboard-target]')]"
    copied = []
    for number in range(tab.evaluate(f"{buttons}.length")):
        click(tab, f"{buttons}[{number}]")
        copied.append(tab.evaluate("window.copied"))
    commands = [block.text for block in find_code_blocks(DOCS / f"{name}.md") if block.language == "console"]
    assert copied == [re.sub(r"^\$ ", "", text, flags=re.MULTILINE).rstrip() for text in commands]


WIDE_CODE = """[...document.querySelectorAll('.md-content pre > code')]
    .filter(code => code.scrollWidth > code.clientWidth).map(code => code.innerText)"""
BROKEN_IDENTIFIERS = """[...document.querySelectorAll('.md-content td code')]
    .filter(code => code.getClientRects().length > 1).map(code => code.innerText)"""


WIDE_PAGES = ["index", "errors", "examples", "sandbox", "migration/exchange-sdk", "migration/unicorn"]


@needs_browser
@pytest.mark.parametrize(
    ("width", "findings"), [(1280, WIDE_CODE), (390, BROKEN_IDENTIFIERS)], ids=["desktop", "phone"]
)
def test_code_fits_a_desktop_and_identifiers_do_not_break_on_a_phone(url, tab, width, findings):
    set_width(tab, width)
    for name in WIDE_PAGES:
        tab.open(f"{url}/{name}.html")
        assert tab.evaluate(findings) == [], name
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
