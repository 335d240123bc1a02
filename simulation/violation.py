"""What has to hold, by number and name."""

from __future__ import annotations

__all__ = ["PROPERTIES", "Violation"]

PROPERTIES = {
    1: "each event is delivered exactly once, or lies in a gap that was reported before any later event",
    2: "no gap is reported where nothing could have been missed",
    3: "nothing is sent that the limits forbid, nor during a ban",
    4: "two minutes after the last fault every account is live",
    5: "what is remembered stays within its bounds",
    6: "what is fatal surfaces within a minute and ends all requests; nothing else does",
    7: "nothing that comes makes the life cycle raise an error",
}


class Violation(Exception):  # noqa: N818  # what it is, not that something went wrong here
    """A property does not hold: its number, and what was seen."""

    def __init__(self, number: int, detail: str) -> None:
        super().__init__(number, detail)
        self.number = number
        self.detail = detail

    def __str__(self) -> str:
        return f"property {self.number} ({PROPERTIES[self.number]}): {self.detail}"
