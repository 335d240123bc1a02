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

__all__ = ["NAMES", "Page", "browsing", "found"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_START_SECONDS = 30.0
_SECONDS = 10.0
_KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40, "ArrowUp": 38}


def found() -> str | None:
    """Path of a browser, or None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Page:
    """One tab: looks at its document and presses keys, as somebody without a mouse would."""

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._last = 0
        self.complaints: list[str] = []
        """What the page wrote to its console, exceptions of its script and breaches of its policy."""
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> Any:
        self._last += 1
        request = {"id": self._last, "method": method, "params": parameters, "sessionId": self._session}
        return _call(self._socket, request, self._notice)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def look(self, expression: str) -> Any:
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression in the page is true."""
        deadline = time.monotonic() + _SECONDS
        while not self.look(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                raise AssertionError(f"{expression} never came true: {self.look('document.body.innerText')}")
            time.sleep(0.02)

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key and let it go; a text of one character is typed."""
        code = _KEYS.get(key, 0)
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        known = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def type(self, text: str) -> None:
        for character in text:
            self.press(character)

    def focused(self) -> str:
        """Name of the element that has the focus, as it is shown or announced."""
        return str(
            self.look(
                "(e => e.getAttribute('aria-label') || (e.labels && e.labels[0] ? e.labels[0].textContent : "
                "e.getAttribute('aria-labelledby') || e.textContent.trim()))(document.activeElement)"
            )
        )

    def tab_to(self, name: str) -> None:
        """Press Tab until the element with this name has the focus."""
        for _ in range(200):
            self.press("Tab")
            if self.focused() == name:
                return
        raise AssertionError(f"the keyboard does not reach {name}")

    def picture(self, file: Path) -> None:
        shown = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shown["data"]))

    def _notice(self, message: Any) -> None:
        if message["params"].get("entry", {}).get("source") == "network":
            return  # an answer such as 400, which the page itself shows
        if message["method"] in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(message["params"]))


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Page]:
    """A browser with one tab; it and all its processes are gone afterwards."""
    program = found()
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
        with connect(_address(process, folder), max_size=None, proxy=None, ping_interval=None) as socket:
            yield _tab(socket)
            _call(socket, {"id": 1, "method": "Browser.close"}, _ignore)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_SECONDS)


def _tab(socket: ClientConnection) -> Page:
    tabs = _call(socket, {"id": 1, "method": "Target.getTargets"}, _ignore)["targetInfos"]
    target = next(tab["targetId"] for tab in tabs if tab["type"] == "page")
    attach = {"id": 2, "method": "Target.attachToTarget", "params": {"targetId": target, "flatten": True}}
    return Page(socket, _call(socket, attach, _ignore)["sessionId"])


def _address(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Where the browser listens, which it writes into its folder once it does."""
    file = folder / "DevToolsActivePort"
    deadline = time.monotonic() + _START_SECONDS
    while not file.exists() or file.read_text().count("\n") < 1:
        assert process.poll() is None, "the browser did not start"
        assert time.monotonic() < deadline, "the browser does not listen"
        time.sleep(0.05)
    port, path = file.read_text().split("\n")[:2]
    return f"ws://127.0.0.1:{port}{path}"


def _call(socket: ClientConnection, request: dict[str, object], notice: Callable[[Any], None]) -> Any:
    socket.send(json.dumps(request))
    while True:
        message = json.loads(socket.recv(timeout=_SECONDS))
        if message.get("id") == request["id"] and message.get("sessionId") == request.get("sessionId"):
            assert "error" not in message, message
            return message["result"]
        if "method" in message:
            notice(message)


def _ignore(_: Any) -> None:
    """What the browser says about itself."""
