"""One request on its way: the rows that share its trace or request id, as hops in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from muniment.query.history import acts
from muniment.query.history.acts import Row
from muniment.query.history.explain import where_of

_LONGEST = 86_400_000
_AT_END = frozenset(("nginx", "ingress-nginx", "kong"))
"""Sources whose time is when the answer was sent; that of others is when the request came."""


def hops(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the hops, in the order in which the request reached them.

    `latency_ms` is how long the hop took, what is behind it included; `own_ms` what is left of it
    when the longest of what is inside of it is taken off; `gap_ms` how long after the hop before
    it began. Clocks of different machines are compared as they are. Of a hop that tells no
    latency these are null.
    """
    made = sorted((_hop(row) for row in rows), key=lambda hop: (hop["start"], -hop["reach"]))
    for place, hop in enumerate(made):
        inside = [
            other["latency_ms"]
            for other in made[place + 1 :]
            if other["latency_ms"] is not None and other["start"] < hop["start"] + _span(hop)
        ]
        own = hop["latency_ms"]
        if own is not None:
            hop["own_ms"] = own - min(own, max(inside, default=0))
        if place:
            gap = hop["start"] - made[place - 1]["start"]
            hop["gap_ms"] = gap // timedelta(milliseconds=1)
    for hop in made:
        del hop["start"], hop["reach"]
    return made


def _span(hop: Mapping[str, Any]) -> timedelta:
    return max(timedelta(milliseconds=1), _lasting(hop["latency_ms"]))


def _lasting(latency: int | None) -> timedelta:
    """A latency as a stretch of time; nonsense from a log must not leave the calendar."""
    return timedelta(milliseconds=min(latency or 0, _LONGEST))


def _hop(row: Row) -> dict[str, Any]:
    latency = latency_of(row)
    time = datetime.fromisoformat(row["time_dt"])
    source = str(row.get("source") or "").rpartition("/")[2]
    start = time - _lasting(latency) if source in _AT_END else time
    code = _of(row, "http_response", "code")
    return {
        "time": row["time_dt"],
        "source": row.get("source", ""),
        "name": _name(row),
        "what": _what(row),
        "latency_ms": latency,
        "own_ms": None,
        "gap_ms": None,
        "status": code if code is not None else row.get("status_code"),
        "request": _of(row, "http_request", "uid") or "",
        "entry": acts.place(row),
        "start": start,
        "reach": latency or 0,
    }


def latency_of(row: Row) -> int | None:
    """Returns milliseconds from the request to its answer, as the hop itself says."""
    for found in (row.get("duration"), _of(row, "http_response", "latency")):
        if isinstance(found, int):
            return max(0, found)
    timings = row.get("timings") or {}
    known = [timings.get(key) for key in ("request", "queue", "connect", "response")]
    parts = [part for part in known if isinstance(part, int) and part >= 0]
    return sum(parts) if parts else None


def _name(row: Row) -> str:
    """Where it was: frontend, backend and server, else the service, else the machine."""
    where = dict.fromkeys(where_of(row).values())
    service = _of(row, "service", "name") or _of(row, "metadata", "product", "name")
    host = _of(row, "device", "hostname") or _of(row, "device", "name")
    return "/".join(where) or str(service or host or row.get("source") or "")


def _what(row: Row) -> str:
    method, path = _of(row, "http_request", "http_method"), _of(row, "http_request", "url", "path")
    found = " ".join(str(part) for part in (method, path) if part)
    return (found or acts.operation(row))[:500]


def _of(row: Row, *path: str) -> Any:
    value: Any = row
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
