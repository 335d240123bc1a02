"""The examples of the help pages. A test parses each of them."""

from __future__ import annotations

from binance_margin_stream.terminal import help_pages

__all__ = ["EXAMPLES", "format_examples"]

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("a demonstration without an account", "demo"),
        ("a sandbox exchange, in another terminal", "sandbox"),
        ("check the key and the connection", "doctor --sandbox http://127.0.0.1:8650"),
        ("follow the real account", "listen --production"),
    ),
    "listen": (
        ("a live table of the cross account", "listen --production"),
        ("two isolated accounts, not the cross account", "listen --production --no-cross -i BTCUSDT -i ETHUSDT"),
        ("with margin calls, as JSON for another program", "listen --production --risk --json | jq .kind"),
        ("as a service: exit at a gap, reconcile, restart", "listen --production --json --exit-on-gap"),
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
    "key close": (("for all clients of the account", "key close --production"),),
    "token create": (
        ("of the cross account, masked", "token create --production"),
        ("of an isolated account, for an hour", "token create --production -i BTCUSDT --validity 3600"),
    ),
    "doctor": (
        ("before you trade", "doctor --production"),
        ("for monitoring", "doctor --production --json"),
        ("against a sandbox", "doctor --sandbox http://127.0.0.1:8650"),
    ),
    "relay": (
        ("one key on one machine", "relay --production --name desk --embedded /var/lib/relay"),
        ("a reader of two, with NATS elsewhere", "relay --production --name desk --nats nats://nats1"),
        (
            "many keys: submit the jobs, and take some",
            "relay --production --nats nats://nats1 --jobs keys.yml",
        ),
        ("another host for them", "relay --production --nats nats://nats1 --from-queue"),
    ),
    "demo": (("against a sandbox inside the program", "demo"),),
}
"""By command: the purpose and the command line, without the program name unless that occurs inside."""


def format_examples(command: str) -> str:
    """Return the examples of a command for its help page."""
    return help_pages.format_examples(EXAMPLES[command])
