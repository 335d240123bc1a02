"""Mutations that keep an input valid except for one place, which random bytes rarely achieve."""

from __future__ import annotations

import json
import random

import corpus


def mutate(target: str, data: bytes, rng: random.Random) -> bytes | None:
    """A mutation of `data`, or a new input for `target`. None if the fuzzer's own mutation is to be used."""
    if rng.random() < 0.3:
        return None
    return {"frames": _mutate_frame, "rest": _mutate_response, "stream": _mutate_scenario}[target](data, rng)


def _mutate_frame(data: bytes, rng: random.Random) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return corpus.make_frame(rng)
    return corpus.encode_json(corpus.mutate(value, rng), rng)


def _mutate_response(data: bytes, rng: random.Random) -> bytes:
    head, blank, body = data.partition(b"\r\n\r\n")
    new_head, _, new_body = corpus.make_rest_response(rng).partition(b"\r\n\r\n")
    if not blank or rng.random() < 0.2:
        return new_head + b"\r\n\r\n" + new_body
    choice = rng.randrange(3)
    if choice == 0:
        return new_head + b"\r\n\r\n" + body
    return head + b"\r\n\r\n" + (new_body if choice == 1 else _mutate_frame(body, rng))


def _mutate_scenario(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")[:300]
    at = rng.randrange(len(lines))
    choice = rng.randrange(5)
    if choice == 0:
        lines[at:at] = corpus.make_scenario(rng).split(b"\n")
    elif choice == 1:
        del lines[at]
    elif choice == 2:
        lines[at:at] = [lines[at]] * rng.choice([1, 5, 60])
    elif choice == 3:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = b"f" + _mutate_frame(lines[at][1:], rng).replace(b"\n", b" ")
    return b"\n".join(lines)
