"""The examples in the help pages; a test runs each through the parser, so that none can rot."""

from __future__ import annotations

__all__ = ["EXAMPLES", "format_examples"]

_PROGRAM = "binance-margin-stream"

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("see it work, without any account", "demo"),
        ("an exchange of your own, in another terminal", "sandbox"),
        ("is everything well?", "doctor --sandbox http://127.0.0.1:8650"),
        ("follow the real account", "listen --production"),
    ),
    "listen": (
        ("a live table of the cross account", "listen --production"),
        ("two isolated accounts and no cross account", "listen --production --no-cross -i BTCUSDT -i ETHUSDT"),
        ("margin calls, too, as JSON for another program", "listen --production --risk --json | jq .kind"),
        ("as a service: end at a gap, reconcile, start again", "listen --production --json --exit-on-gap"),
        ("against a sandbox", "listen --sandbox http://127.0.0.1:8650"),
    ),
    "key create": (
        ("the current kind, masked", "key create --production"),
        ("into a variable", 'BINANCE_LISTEN_KEY="$(binance-margin-stream key create --production --show)"'),
        ("margin calls and liability changes", "key create --production --kind risk"),
    ),
    "key keepalive": (
        ("the key in BINANCE_LISTEN_KEY", "key keepalive --production"),
        ("from a file, or - for standard input", "key keepalive --production --listen-key-file listen.key"),
    ),
    "key close": (("for every client of the account", "key close --production"),),
    "token create": (
        ("of the cross account, masked", "token create --production"),
        ("of an isolated account, for an hour", "token create --production -i BTCUSDT --validity 3600"),
    ),
    "doctor": (
        ("before money is at stake", "doctor --production"),
        ("for a monitor", "doctor --production --json"),
        ("against a sandbox", "doctor --sandbox http://127.0.0.1:8650"),
    ),
    "demo": (("everything, against a sandbox inside", "demo"),),
}
"""By command: what for, and the command line; where it begins with the program's name only in parts, it is whole."""


def format_examples(command: str) -> str:
    """The last part of a help page."""
    lines = ["[bold]Examples[/bold]"]
    for purpose, line in EXAMPLES[command]:
        whole = line if _PROGRAM in line else f"{_PROGRAM} {line}"
        lines.append(f"  [dim]# {purpose}[/dim]")
        lines.append(f"  {whole}")
    return "\n".join(lines)
