"""The output of ``make demo``, and its errors."""

from __future__ import annotations

import subprocess
import sys

DEMO = "import sys; from binance_margin_stream.demo import main; sys.exit(main())"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_demo_shows_each_step_and_ends_well():
    demo = run(DEMO)
    assert (demo.returncode, demo.stderr) == (0, "")
    steps = list(dict.fromkeys(line[:10].strip() for line in demo.stdout.splitlines() if line.strip()))
    rest_steps = ["sandbox", "", "create", "keep alive", "listen", "close", "refused"]
    stream_steps = [
        "subscribed",
        "event",
        "disconnect",
        "gap",
        "recovered",
        "renewed",
        "rotate",
        "rotated",
        "health",
        "done",
    ]
    assert steps == rest_steps + stream_steps
    assert "create a new one" in demo.stdout
    assert "500 transfers arrived, 500 of them different" in demo.stdout


def test_the_demo_says_what_is_missing():
    demo = run("import sys; sys.modules['aiohttp'] = None; " + DEMO)
    assert demo.returncode == 1
    assert "pip install 'binance-margin-stream[sandbox]'" in demo.stderr


def test_the_demo_fails_when_a_step_does():
    nothing_arrives = (
        "from binance_margin_stream.sandbox import Sandbox\nSandbox.fill_order = lambda *arguments, **more: None\n"
    )
    demo = run(nothing_arrives + DEMO)
    assert demo.returncode == 1
    assert "failed" in demo.stderr
    assert "Traceback" not in demo.stderr
