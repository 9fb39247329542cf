"""What the server must give, or what stands in the way of its start."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from muniment.cli.client import Server, Unreachable
from muniment.cli.diagnosis import FAIL, OK, WARN, Found
from muniment.cli.failure import advice_for
from muniment.data_names import LOGS
from muniment.errors import AccessDenied, MunimentError, TryLater

LAG_WARNING = 10_000

EDGE_READY = {"ready": True}
"""What an edge says at `/readyz`: it knows whether nodes are ready, and nothing of their shards."""


def look_at_server(
    url: str, token: str | None, ca: Path | None, data: Path, syslog: str
) -> Iterator[Found]:
    """Yields what a running server says of itself, or whether one could be started."""
    try:
        with Server(url, token, ca) as server:
            health = server.get_json("/healthz")
            if not isinstance(health, dict):
                raise Unreachable(f"{url} is no Muniment server")
            yield Found("server", OK, f"{url} answers")
            yield from _ready(server)
            yield _access(server)
    except Unreachable as error:
        yield from _not_there(url, error, data, syslog)
    except MunimentError as error:
        yield Found("server", FAIL, f"{url}: {error.detail}")


def _ready(server: Server) -> Iterator[Found]:
    try:
        answer = server.get_json("/readyz")
    except TryLater as error:
        yield Found("readiness", FAIL, error.detail)
        return
    if answer == EDGE_READY:
        yield Found("readiness", OK, "an edge: nodes are ready; ask them for their shards")
        return
    shards = answer.get("shards", [])
    bad = [shard for shard in shards if not shard.get("ok")]
    for shard in bad:
        place = f"{shard.get('log')}/{shard.get('shard')}"
        yield Found("readiness", FAIL, f"{place}: {shard.get('reason')}")
    if not bad:
        size = sum(int(shard.get("size", 0)) for shard in shards)
        yield Found("readiness", OK, f"{len(shards)} shards take entries; {size:,} entries so far")
    yield _search(answer.get("search", {}))


def _search(search: dict[str, Any]) -> Found:
    if not search.get("ok"):
        reason = search.get("reason", "no reason given")
        return Found("index", FAIL, f"{reason}; entries are taken all the same")
    lag = _lag(search)
    if lag > LAG_WARNING:
        return Found("index", WARN, f"{lag:,} entries cannot be searched yet")
    return Found("index", OK, f"{lag:,} entries cannot be searched yet")


def _lag(value: object) -> int:
    """The sum of all members called `lag`, wherever the answer has them."""
    if not isinstance(value, dict):
        return sum(map(_lag, value)) if isinstance(value, list) else 0
    own = value.get("lag")
    if isinstance(own, int):
        return own
    return sum(map(_lag, value.values()))


def _access(server: Server) -> Found:
    try:
        server.get_json("/api/v1/logs")
    except AccessDenied as error:
        return Found("access", WARN, f"{error.detail}; {advice_for(error)}".rstrip("; "))
    return Found("access", OK, "this user may read")


def _not_there(url: str, error: Unreachable, data: Path, syslog: str) -> Iterator[Found]:
    running = _in_use(data)
    parts = urlsplit(url)
    if running:
        yield Found("server", FAIL, f"one is running on {data}, but {error.detail}")
        return
    yield Found("server", WARN, f"none at {url}; `muniment serve` starts one")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    yield from _port("port", parts.hostname or "", port, (socket.SOCK_STREAM,))
    if syslog != "off":
        host, _, number = syslog.rpartition(":")
        if not number.isdigit() or int(number) > 65_535:
            yield Found("syslog port", FAIL, f"{syslog!r} is no address; write IP:PORT")
            return
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        yield from _port("syslog port", host.strip("[]"), int(number), kinds)


def _in_use(data: Path) -> bool:
    from muniment.cli.failure import Failure
    from muniment.cli.index import claimed

    if not (data / LOGS).is_dir():
        return False
    try:
        with claimed(data):
            return False
    except (Failure, OSError):
        return True


def _port(
    check: str, host: str, port: int, kinds: tuple[socket.SocketKind, ...]
) -> Iterator[Found]:
    """Whether a port of this machine is free; of another machine nothing can be said."""
    names = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}
    try:
        family, *_, address = socket.getaddrinfo(host, port)[0]
    except OSError as error:
        yield Found(check, FAIL, f"{host}: {error.strerror}")
        return
    for kind in kinds:
        with socket.socket(family, kind) as found:
            if kind == socket.SOCK_STREAM:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                found.bind(address)
            except OSError as error:
                elsewhere = error.errno == errno.EADDRNOTAVAIL
                reason = "not an address of this machine" if elsewhere else error.strerror
                result = WARN if elsewhere else FAIL
                yield Found(check, result, f"{names[kind]} {host}:{port}: {reason}")
                return
    yield Found(check, OK, f"{host}:{port} is free ({' and '.join(names[k] for k in kinds)})")
