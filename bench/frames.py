"""Execution reports as the exchange's documentation shows them, for everything that is measured here."""

from __future__ import annotations

import json
import random

FRAMES = 500


def report(number: int, dice: random.Random) -> dict[str, object]:
    """A fill as the exchange's documentation shows it; every number in it differs from frame to frame."""
    quantity = dice.randint(1, 500_000_000)
    price = dice.randint(1_000_000, 9_000_000_000_000)
    filled = dice.randint(1, quantity)
    quote = filled * price // 10**8
    at = 1_790_000_000_000 + 37 * number

    def money(units: int) -> str:
        return f"{units // 10**8}.{units % 10**8:08d}"

    return {
        "e": "executionReport", "E": at, "s": dice.choice(["BTCUSDT", "ETHUSDT", "SOLBTC"]),
        "c": f"web_{dice.getrandbits(96):024x}", "S": dice.choice(["BUY", "SELL"]), "o": "LIMIT", "f": "GTC",
        "q": money(quantity), "p": money(price), "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "",
        "x": "TRADE", "X": "PARTIALLY_FILLED", "r": "NONE", "i": 23_456_789_012 + number, "l": money(filled),
        "z": money(filled), "L": money(price), "n": money(filled // 1000), "N": "BNB", "T": at - 1,
        "t": 3_345_678_901 + number, "I": 59_876_543_210 + number, "w": False, "m": dice.random() < 0.5, "M": True,
        "O": at - 6000, "Z": money(quote), "Y": money(quote), "Q": "0.00000000", "W": at - 6000,
        "V": "EXPIRE_MAKER",
    }  # fmt: skip


def frames() -> list[bytes]:
    """Distinct frames, so that nothing gains from having seen the same bytes before."""
    dice = random.Random(20261122)
    return [
        json.dumps({"subscriptionId": 3, "event": report(number, dice)}, separators=(",", ":")).encode()
        for number in range(FRAMES)
    ]
