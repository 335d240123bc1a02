"""A real browser without a window, told what to do over its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

__all__ = ["BROWSER_NAMES", "BrowserPage", "find_browser", "open_browser"]

BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_START_SECONDS = 30.0
_SECONDS = 10.0
_KEYS = {"Tab": 9, "Escape": 27, "Enter": 13, " ": 32, "ArrowDown": 40, "ArrowUp": 38}


def find_browser() -> str | None:
    """Path of a browser, or None where there is none."""
    return next((path for path in map(shutil.which, BROWSER_NAMES) if path), None)


class BrowserPage:
    """One tab: looks at its document and presses keys, as somebody without a mouse would."""

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._last = 0
        self.console_errors: list[str] = []
        """What the page wrote to its console, exceptions of its script and breaches of its policy."""
        for domain in ("Page", "Runtime", "Log"):
            self.send_command(f"{domain}.enable")

    def send_command(self, method: str, **parameters: object) -> Any:
        self._last += 1
        request = {"id": self._last, "method": method, "params": parameters, "sessionId": self._session}
        return _send_command(self._socket, request, self._on_message)

    def open(self, url: str) -> None:
        self.send_command("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        response = self.send_command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in response, response
        return response["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression in the page is true."""
        deadline = time.monotonic() + _SECONDS
        while not self.evaluate(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                raise AssertionError(f"{expression} never came true: {self.evaluate('document.body.innerText')}")
            time.sleep(0.02)

    def press_key(self, key: str, shift: bool = False) -> None:
        """Press a key and let it go; a text of one character is typed."""
        code = _KEYS.get(key, 0)
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        known = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.send_command("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **known)
        self.send_command("Input.dispatchKeyEvent", type="keyUp", **known)

    def type_text(self, text: str) -> None:
        for character in text:
            self.press_key(character)

    def get_focused_name(self) -> str:
        """Name of the element that has the focus, as it is shown or announced."""
        return str(
            self.evaluate(
                "(e => e.getAttribute('aria-label') || (e.labels && e.labels[0] ? e.labels[0].textContent : "
                "e.getAttribute('aria-labelledby') || e.textContent.trim()))(document.activeElement)"
            )
        )

    def tab_to(self, name: str) -> None:
        """Press Tab until the element with this name has the focus."""
        for _ in range(200):
            self.press_key("Tab")
            if self.get_focused_name() == name:
                return
        raise AssertionError(f"the keyboard does not reach {name}")

    def take_screenshot(self, file: Path) -> None:
        shown = self.send_command("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shown["data"]))

    def _on_message(self, message: Any) -> None:
        if message["params"].get("entry", {}).get("source") == "network":
            return  # an answer such as 400, which the page itself shows
        if message["method"] in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.console_errors.append(json.dumps(message["params"]))


@contextlib.contextmanager
def open_browser(folder: Path) -> Iterator[BrowserPage]:
    """A browser with one tab; it and all its processes are gone afterwards."""
    program = find_browser()
    assert program is not None
    process = subprocess.Popen(
        [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        with connect(_wait_for_devtools_url(process, folder), max_size=None, proxy=None, ping_interval=None) as socket:
            yield _open_page(socket)
            _send_command(socket, {"id": 1, "method": "Browser.close"}, _ignore)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_SECONDS)


def _open_page(socket: ClientConnection) -> BrowserPage:
    tabs = _send_command(socket, {"id": 1, "method": "Target.getTargets"}, _ignore)["targetInfos"]
    target = next(tab["targetId"] for tab in tabs if tab["type"] == "page")
    attach = {"id": 2, "method": "Target.attachToTarget", "params": {"targetId": target, "flatten": True}}
    return BrowserPage(socket, _send_command(socket, attach, _ignore)["sessionId"])


def _wait_for_devtools_url(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Where the browser listens, which it writes into its folder once it does."""
    file = folder / "DevToolsActivePort"
    deadline = time.monotonic() + _START_SECONDS
    while not file.exists() or file.read_text().count("\n") < 1:
        assert process.poll() is None, "the browser did not start"
        assert time.monotonic() < deadline, "the browser does not listen"
        time.sleep(0.05)
    port, path = file.read_text().split("\n")[:2]
    return f"ws://127.0.0.1:{port}{path}"


def _send_command(socket: ClientConnection, request: dict[str, object], on_message: Callable[[Any], None]) -> Any:
    socket.send(json.dumps(request))
    while True:
        message = json.loads(socket.recv(timeout=_SECONDS))
        if message.get("id") == request["id"] and message.get("sessionId") == request.get("sessionId"):
            assert "error" not in message, message
            return message["result"]
        if "method" in message:
            on_message(message)


def _ignore(_: Any) -> None:
    """What the browser says about itself."""
