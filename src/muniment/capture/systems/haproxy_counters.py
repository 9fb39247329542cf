"""What each frontend of HAProxy served, as its lines should tell it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from muniment.capture.port import Counter
from muniment.capture.systems.haproxy_logging import Logging
from muniment.capture.systems.haproxy_state import FRONTEND, Row, number

_USUAL = Logging(null=False)
_STREAMS = ("h1_total_streams", "h2_backend_total_streams", "h3_headers")
"""What a frontend counts of each version of HTTP; the second is called so on both sides."""


def counters(
    stats: Iterable[Row],
    epoch: str,
    match: str,
    dropped: int | None,
    habits: Mapping[str, Logging] | None = None,
) -> Iterator[Counter]:
    """Yields what each frontend served: requests, and connections where it is not HTTP.

    The class is part of the query: a failed TLS handshake of an HTTP frontend is a line about a
    connection, and no request was counted for it. `habits` are those of frontends that are known;
    what does not log all that it counts, as far as a counter tells it apart, is left out.
    """
    for row in stats:
        name = row.get("pxname", "")
        if row.get("type") != FRONTEND or not name:
            continue
        logs = (habits or {}).get(name, _USUAL)
        if logs.silent:
            continue
        if row.get("mode") == "http":
            served, own = _requests(row, logs), f"class:http frontend:{quoted(name)}"
            if logs.monitor:
                own += f" NOT (load_balancer.status_detail:LR* backend:{quoted(name)})"
        elif not logs.null:
            continue  # connections without a byte are counted as others are, and have no line
        else:
            served, own = number(row.get("conn_tot", "")), f"class:network frontend:{quoted(name)}"
        if served is not None:
            yield Counter(name, served, epoch, f"({match}) {own}" if match else own, dropped)


def _requests(row: Row, logs: Logging) -> int | None:
    """Requests that a line is written of.

    `req_tot` counts connections without a byte, too; `option dontlognull` logs none. What the
    frontend answers by itself is counted as `intercepted`: the stats page, redirects, `return`, all
    of which are logged, and `monitor-uri`, which is not. Where there is one, none of them counts.
    """
    streams = [number(row.get(one, "")) for one in _STREAMS]
    served = number(row.get("req_tot", ""))
    if any(one is not None for one in streams):
        began = sum(one or 0 for one in streams)
        served = max(began, served or 0) if logs.null else began
    own = number(row.get("intercepted", "")) or 0
    return max(0, served - own) if served is not None and logs.monitor else served


def quoted(name: str) -> str:
    """Returns a name as a value of the query language."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if plain.isascii() and plain.isalnum() and name[0].isalnum():
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
