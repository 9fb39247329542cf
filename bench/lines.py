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


def bodies(count: int, size: int, seed: int = 1) -> list[bytes]:
    """Returns `count` NDJSON bodies of about `size` bytes, whole lines each."""
    dice = random.Random(seed)
    per_body = max(1, size // (LINE_BYTES + 1))
    return [
        b"\n".join(line(body * per_body + i, dice) for i in range(per_body)) + b"\n"
        for body in range(count)
    ]
