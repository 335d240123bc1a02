"""The execution reports that all measurements use, with the fields of the exchange's documentation."""

from __future__ import annotations

import json
import random

FRAME_COUNT = 500


def make_execution_report(number: int, rng: random.Random) -> dict[str, object]:
    """The report of a fill. Its numbers differ from frame to frame."""
    quantity = rng.randint(1, 500_000_000)
    price = rng.randint(1_000_000, 9_000_000_000_000)
    filled = rng.randint(1, quantity)
    quote = filled * price // 10**8
    at = 1_790_000_000_000 + 37 * number

    def format_amount(units: int) -> str:
        return f"{units // 10**8}.{units % 10**8:08d}"

    return {
        "e": "executionReport", "E": at, "s": rng.choice(["BTCUSDT", "ETHUSDT", "SOLBTC"]),
        "c": f"web_{rng.getrandbits(96):024x}", "S": rng.choice(["BUY", "SELL"]), "o": "LIMIT", "f": "GTC",
        "q": format_amount(quantity), "p": format_amount(price), "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "",
        "x": "TRADE", "X": "PARTIALLY_FILLED", "r": "NONE", "i": 23_456_789_012 + number, "l": format_amount(filled),
        "z": format_amount(filled), "L": format_amount(price), "n": format_amount(filled // 1000), "N": "BNB",
        "T": at - 1,
        "t": 3_345_678_901 + number, "I": 59_876_543_210 + number, "w": False, "m": rng.random() < 0.5, "M": True,
        "O": at - 6000, "Z": format_amount(quote), "Y": format_amount(quote), "Q": "0.00000000", "W": at - 6000,
        "V": "EXPIRE_MAKER",
    }  # fmt: skip


def make_frames() -> list[bytes]:
    """Distinct frames, so that no cache of decoded values can help."""
    rng = random.Random(20261122)
    return [
        json.dumps({"subscriptionId": 3, "event": make_execution_report(number, rng)}, separators=(",", ":")).encode()
        for number in range(FRAME_COUNT)
    ]
