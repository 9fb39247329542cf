"""The data: JSON access lines of 300 bytes that compress about as real ones do."""

from __future__ import annotations

import json
import random

LINE_BYTES = 300
START_MS = 1_790_000_000_000

_PATHS = ("/", "/login", "/api/v1/orders", "/api/v1/orders/{n}", "/static/app.js", "/cart/{n}")
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
    "curl/8.9.1",
)


def line(number: int, dice: random.Random) -> bytes:
    """Returns one line of exactly LINE_BYTES bytes, without its newline."""
    event = {
        "time": START_MS + number,
        "action": dice.choice(("GET", "GET", "GET", "POST")),
        "resource": dice.choice(_PATHS).format(n=dice.randrange(100_000)),
        "status": dice.choice((200, 200, 200, 200, 304, 404, 500)),
        "client": f"10.{dice.randrange(4)}.{dice.randrange(256)}.{dice.randrange(256)}",
        "request_id": f"{dice.getrandbits(96):024x}",
        "agent": dice.choice(_AGENTS),
        "pad": "",
    }
    text = json.dumps(event, separators=(",", ":"))
    event["pad"] = "x" * (LINE_BYTES - len(text))
    return json.dumps(event, separators=(",", ":")).encode()[:LINE_BYTES]


def dense_line(number: int, dice: random.Random) -> bytes:
    """Returns a line of as many bytes that hardly compresses: as costly to store as it is long."""
    alphabet = [chr(c) for c in range(0x20, 0x7F) if chr(c) not in '"\\']
    head = f'{{"time":{START_MS + number},"resource":"'
    text = "".join(dice.choices(alphabet, k=LINE_BYTES - len(head) - 2))
    return f'{head}{text}"}}'.encode()


def bodies(count: int, size: int, seed: int = 1, *, dense: bool = False) -> list[bytes]:
    """Returns `count` NDJSON bodies of about `size` bytes, whole lines each.

    They compress as real ones do, or hardly where they are `dense`.
    """
    dice = random.Random(seed)
    make = dense_line if dense else line
    per_body = max(1, size // (LINE_BYTES + 1))
    return [
        b"\n".join(make(body * per_body + i, dice) for i in range(per_body)) + b"\n"
        for body in range(count)
    ]
