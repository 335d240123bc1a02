"""Changes to an input that keep most of it as it was: valid but for one place, which blind bytes hardly ever are."""

from __future__ import annotations

import json
import random

import corpus


def mutated(target: str, data: bytes, dice: random.Random) -> bytes | None:
    """Another input for `target`, made from `data` or anew; None where changing bytes blindly is as good."""
    if dice.random() < 0.3:
        return None
    return {"frames": _frame, "rest": _rest, "answers": _story}[target](data, dice)


def _frame(data: bytes, dice: random.Random) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return corpus.frame(dice)
    return corpus.text_of(corpus.changed(value, dice), dice)


def _rest(data: bytes, dice: random.Random) -> bytes:
    head, blank, body = data.partition(b"\r\n\r\n")
    new_head, _, new_body = corpus.rest_answer(dice).partition(b"\r\n\r\n")
    if not blank or dice.random() < 0.2:
        return new_head + b"\r\n\r\n" + new_body
    choice = dice.randrange(3)
    if choice == 0:
        return new_head + b"\r\n\r\n" + body
    return head + b"\r\n\r\n" + (new_body if choice == 1 else _frame(body, dice))


def _story(data: bytes, dice: random.Random) -> bytes:
    lines = data.split(b"\n")[:300]
    at = dice.randrange(len(lines))
    choice = dice.randrange(5)
    if choice == 0:
        lines[at:at] = corpus.story(dice).split(b"\n")
    elif choice == 1:
        del lines[at]
    elif choice == 2:
        lines[at:at] = [lines[at]] * dice.choice([1, 5, 60])
    elif choice == 3:
        other = dice.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = b"f" + _frame(lines[at][1:], dice).replace(b"\n", b" ")
    return b"\n".join(lines)
