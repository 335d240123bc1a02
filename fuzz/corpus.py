"""The inputs that the fuzzer starts from: valid frames and responses, with mutations in a few places."""

from __future__ import annotations

import json
import random
from typing import Any

LISTEN_KEY = "PLANTED-LISTEN-KEY+/of-the-exchange=="
LISTEN_TOKEN = "PLANTED-LISTEN-TOKEN+/of-the-exchange=="  # noqa: S105  # not a secret

EXECUTION_REPORT = {
    "e": "executionReport", "E": 1, "s": "BTCUSDT", "c": "x", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "1.0",
    "p": "1", "P": "0", "F": "0", "g": -1, "C": "", "x": "NEW", "X": "NEW", "r": "NONE", "i": 1, "l": "0", "z": "0",
    "L": "0", "n": "0", "N": None, "T": 1, "t": -1, "I": 1, "w": True, "m": False, "M": False, "O": 1, "Z": "0",
    "Y": "0", "Q": "0", "V": "NONE",
}  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    EXECUTION_REPORT,
    {"e": "outboundAccountPosition", "E": 1, "u": 1, "B": [{"a": "BTC", "f": "1", "l": "0"}]},
    {"e": "balanceUpdate", "E": 1, "a": "USDT", "d": "-1.5", "T": 1},
    {"e": "externalLockUpdate", "E": 1, "a": "USDT", "d": "1", "T": 1},
    {"e": "listStatus", "E": 1, "s": "BTCUSDT", "g": 1, "c": "OCO", "l": "ALL_DONE", "L": "ALL_DONE", "r": "NONE",
     "C": "x", "T": 1, "O": [{"s": "BTCUSDT", "i": 1, "c": "x"}]},
    {"e": "listenKeyExpired", "E": "1699596037418", "listenKey": LISTEN_KEY},
    {"e": "eventStreamTerminated", "E": 1},
    {"e": "serverShutdown", "E": 1},
    {"e": "MARGIN_LEVEL_STATUS_CHANGE", "E": 1, "l": "1.1", "s": "MARGIN_CALL"},
    {"e": "userLiabilityChange", "E": 1, "a": "USDT", "t": "BORROW", "p": "1", "i": "0"},
    {"e": "tomorrow", "E": 1, "x": {"y": [1, 2.5, None]}},
]  # fmt: skip
RESPONSES: list[dict[str, Any]] = [
    {
        "id": 1,
        "status": 200,
        "result": {"subscriptionId": 0, "expirationTime": 1_795_381_200_000_000},
        "rateLimits": [],
    },
    {"id": 1, "status": 200, "result": {}},
    {"id": 2, "status": 200, "result": [{"subscriptionId": 0}, {"subscriptionId": 1}]},
    {"id": 2, "status": 200, "result": [0, 1, 2]},
    {"id": 1, "status": 400, "error": {"code": -1209, "msg": "Invalid token."}},
    {"id": 1, "status": 400, "error": {"code": -2035, "msg": "Active."}},
    {"id": 1, "status": 429, "error": {"code": -1003, "msg": "m", "data": {"retryAfter": 1_795_381_200_000}}},
    {"id": None, "status": 401, "error": {"code": -2015, "msg": "Invalid API-key."}},
    {"id": 1, "result": None},
    {"code": 2, "msg": "Invalid request"},
]
CODES = [-1000, -1003, -1015, -1016, -1021, -1034, -1102, -1121, -1125, -1209, -2014, -2015, -2035, -2042, 0, 10**30]
EDGE_CASES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 200, 400, 401, 418, 429, 10**13, 10**16, 2**63, -(2**64), 10**400, 1.5, 1e308,
    "", "0", "x", "NaN", "-0", "1e999", "\ud800", "\x00", "é" * 50, LISTEN_KEY, [], {}, [[]], [{}], {"e": 1}, *CODES,
]  # fmt: skip
HEADERS = [
    ("Retry-After", ["0", "5", "1e400", "nan", "-1", "Thu, 01 Jan 9999 00:00:00 GMT", "9" * 400]),
    ("Date", ["Thu, 01 Jan 2026 00:00:00 +9999999999", "Sun, 06 Nov 1994 08:49:37", "0"]),
    ("Content-Type", ["application/json", "text/html", "a/b; charset=idna", "; charset=", "a; charset=\x00"]),
    ("Content-Encoding", ["gzip", "br", "deflate", "zstd", "identity"]),
    ("Transfer-Encoding", ["chunked", "gzip", "chunked, chunked"]),
    ("Content-Length", ["0", "5", "-1", "99999999999", "1, 2", "x"]),
    ("Location", ["http://[", "//", "https://elsewhere.invalid/", "\x00"]),
    ("X-SAPI-USED-IP-WEIGHT-1M", ["1", "x"]),
]
STATUSES = [
    200,
    200,
    200,
    201,
    204,
    206,
    301,
    302,
    304,
    400,
    401,
    403,
    404,
    408,
    410,
    418,
    429,
    451,
    500,
    503,
    100,
    103,
    999,
]
BODIES = [
    json.dumps({"listenKey": LISTEN_KEY}), json.dumps({"token": LISTEN_TOKEN, "expirationTime": 1_795_381_200_000}),
    "{}", "",
    '{"code": -1125, "msg": "This listenKey does not exist."}', "<html><title>403 Forbidden</title></html>", "[" * 5000,
    '{"code": -1003, "msg": "banned until 9999999999999."}', "null", "\ufeff{}",
]  # fmt: skip


def wrap_event(event: Any, rng: random.Random) -> Any:
    """An event in the envelope of one of the hosts."""
    host = rng.randrange(4)
    if host == 0:
        return event
    return {"stream": LISTEN_KEY, "data": event} if host == 1 else {"subscriptionId": rng.randrange(4), "event": event}


def mutate(value: Any, rng: random.Random) -> Any:
    """`value` with one change: an element is replaced, removed, added or repeated."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        if rng.random() < 0.1:
            return {each: inner for each, inner in value.items() if each != name}
        if rng.random() < 0.1:
            return value | {rng.choice("eEsXiIt") + rng.choice(["", "new"]): rng.choice(EDGE_CASES)}
        return value | {name: mutate(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], mutate(value[at], rng), *value[at:] * rng.choice([1, 1, 2, 50])]
    return rng.choice(EDGE_CASES)


def encode_json(value: Any, rng: random.Random) -> bytes:
    """JSON text, sometimes with unusual spaces or escapes."""
    separators = (",", ":") if rng.random() < 0.9 else (" , ", " : ")
    return json.dumps(value, separators=separators, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def make_frame(rng: random.Random) -> bytes:
    """An event or a response, valid or with mutations."""
    value = wrap_event(rng.choice(EVENTS), rng) if rng.random() < 0.6 else dict(rng.choice(RESPONSES))
    if "id" in value and rng.random() < 0.7:
        value["id"] = rng.randrange(1, 12)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
        value = mutate(value, rng)
    return encode_json(value, rng)


def make_rest_response(rng: random.Random) -> bytes:
    """A byte that selects the call, and an HTTP response that may be invalid."""
    lines = [f"HTTP/1.1 {rng.choice(STATUSES)} {rng.choice(['OK', '', 'x' * 300])}"]
    lines += [f"{name}: {rng.choice(values)}" for name, values in rng.sample(HEADERS, rng.choice([0, 0, 1, 1, 2, 3]))]
    body = rng.choice(BODIES).encode()
    if rng.random() < 0.3:
        body = encode_json(
            mutate({"code": rng.choice(CODES), "msg": "m", "listenKey": LISTEN_KEY, "token": LISTEN_TOKEN}, rng), rng
        )
    return bytes([rng.randrange(256)]) + "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


def make_scenario(rng: random.Random) -> bytes:
    """A scenario of a stream, one step per line: frames, time that passes, connections that are lost."""
    lines = []
    for _ in range(rng.randrange(1, 40)):
        kind = rng.random()
        if kind < 0.8:
            lines.append(b"f" + make_frame(rng).replace(b"\n", b" "))
        else:
            lines.append(
                rng.choice([b"t1", b"t9", b"t99", b"t4000", b"c", b"b", b"p", b"o", b"i", b"r", b"R", b"g", b"a", b"k"])
            )
    return b"\n".join(lines)
