"""Made-up traffic through a load balancer: the lines, and the events that an index would read."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]

PATHS = [
    ("GET", "/", 40), ("GET", "/assets/app.css", 30), ("GET", "/api/v2/orders", 25),
    ("POST", "/api/v2/orders", 12), ("GET", "/api/v2/orders/8841", 14), ("GET", "/search", 10),
    ("PUT", "/api/v2/cart", 8), ("DELETE", "/api/v2/cart/17", 3), ("GET", "/healthz", 6),
    ("GET", "/admin/login", 2), ("POST", "/api/v2/payments", 6),
]  # fmt: skip


@dataclass(frozen=True)
class Made:
    """One entry: its bytes, and its event (address still missing)."""

    entry: bytes
    row: Row


def instant(milliseconds: int) -> str:
    """RFC 3339 with microseconds."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def header(milliseconds: int, source: str) -> bytes:
    """A receipt header, with its newline."""
    keys = {
        "at": instant(milliseconds), "node": "edge-1", "via": "syslog-tcp",
        "peer": "192.0.2.10:41922", "from": "haproxy-fra", "as": source,
    }  # fmt: skip
    return json.dumps(keys, separators=(",", ":")).encode() + b"\n"


def make(raw: bytes, milliseconds: int, source: str, **columns: Any) -> Made:
    """An entry of `raw` with its event; `columns` are what a parser found."""
    event: Row = {
        "time": milliseconds, "time_dt": instant(milliseconds), "received": instant(milliseconds),
        "source": source, "via": "syslog-tcp", "peer": "192.0.2.10:41922",
        "sender": "haproxy-fra", "node": "edge-1",
        "raw_data": raw.decode("utf-8", "backslashreplace"),
    }  # fmt: skip
    return Made(header(milliseconds, source) + raw, event | columns)


def unread(raw: bytes, milliseconds: int) -> Made:
    """A line that no parser could read."""
    reason = "no known HAProxy format fits"
    return make(raw, milliseconds, "haproxy", class_uid=0, parse_error=reason)


def request(
    milliseconds: int, *, method: str, path: str, status: int, took: int = 12,
    client: str = "198.51.100.23", port: int = 50412, server: str = "app-1",
    host: str = "shop.example", agent: str = "Mozilla/5.0 (X11; Linux x86_64)",
) -> Made:  # fmt: skip
    """One HTTP request through HAProxy."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    stamp = at.strftime("%d/%b/%Y:%H:%M:%S") + f".{milliseconds % 1000:03d}"
    raw = (
        f"<142>1 {instant(milliseconds)} edge-1 haproxy 812 - - {client}:{port} [{stamp}] "
        f"https~ web/{server} 0/0/1/{took}/{took + 1} {status} 1482 - - ---- 12/12/3/1/0 0/0 "
        f'{{{host}|{agent}}} "{method} {path} HTTP/1.1"'
    )
    columns: Row = {
        "class_uid": 4002, "category_uid": 4, "activity_id": 3, "type_uid": 400203,
        "severity_id": 1 if status < 500 else 3, "status_id": 1 if status < 400 else 2,
        "status_code": str(status), "duration": took + 1,
        "src_endpoint": {"ip": client, "port": port},
        "dst_endpoint": {"name": server, "svc_name": "web"},
        "http_request": {
            "http_method": method, "version": "HTTP/1.1", "user_agent": agent,
            "url": {"hostname": host, "path": path},
        },
        "http_response": {"code": status, "length": 1482},
        "load_balancer": {
            "name": "https", "dst_endpoint": {"name": server, "svc_name": "web"},
        },
        "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "sni": host},
        "traffic": {"bytes_out": 1482},
        "timings": {"queue": 0, "connect": 1, "response": took},
        "metadata": {"version": "1.8.0", "product": {"name": "HAProxy"}},
    }  # fmt: skip
    return make(raw.encode(), milliseconds, "haproxy", **columns)


def busy_hour(end: int, count: int, *, seed: int = 7) -> list[Made]:
    """`count` requests over the hour before `end`, with an incident in it, oldest first."""
    dice = random.Random(seed)
    hour = 3_600_000
    moments = sorted(end - hour + int(hour * dice.random() ** 0.9) for _ in range(count))
    return [_one(dice, at, (at - (end - hour)) / hour) for at in moments]


def _one(dice: random.Random, at: int, phase: float) -> Made:
    method, path, _ = dice.choices(PATHS, [weight for _, _, weight in PATHS])[0]
    if dice.random() < 0.004:
        return unread(b"127.0.0.1 - - [garbled \xff\xfe line", at)
    failing = 0.62 < phase < 0.70 and path.startswith("/api")
    status = dice.choices([200, 204, 301, 304, 404, 403], [70, 4, 3, 12, 6, 2])[0]
    if failing and dice.random() < 0.7:
        status = dice.choice([502, 503, 504])
    elif dice.random() < 0.006:
        status = 500
    return request(
        at, method=method, path=path, status=status,
        took=int(dice.lognormvariate(7.5 if status >= 502 else 2.8, 0.8)),
        client=f"{dice.choice(['198.51.100', '203.0.113'])}.{dice.randrange(2, 250)}",
        port=dice.randrange(30_000, 60_000), server=f"app-{dice.randrange(1, 4)}",
    )  # fmt: skip
