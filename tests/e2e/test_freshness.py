"""An acknowledged entry is there by its index at once, and found by search soon after."""

from __future__ import annotations

import statistics
import time
import uuid

from .conftest import Edge
from .harness.load import exchange, request
from .harness.rows import pick
from .harness.server import MunimentServer, split_entry
from .harness.waiting import wait_for

ROUNDS = 20
NEVER = 30.0
"""Seconds after which an entry counts as not found; how soon it is found is measured, printed."""


def test_an_acknowledged_entry_is_found(muniment_server: MunimentServer) -> None:
    server, waited = muniment_server, []
    for number in range(ROUNDS):
        token = uuid.uuid4().hex
        answer = server.accepted(f"round {number} {token}".encode())
        acknowledged = time.monotonic()

        entry = server.entry(answer["first"], answer["shard"])  # at once: no waiting here

        assert split_entry(entry)[1] == f"round {number} {token}".encode()
        wait_for(lambda t=token: server.search(t)["rows"], "the entry in a search", NEVER)
        waited.append(time.monotonic() - acknowledged)
    report("acknowledged to found", waited)


def test_an_answered_request_is_found(edge: Edge) -> None:
    waited = []
    for _ in range(ROUNDS):
        path = f"/{uuid.uuid4().hex}"
        exchange(edge.haproxy.ports["web"], request(path))
        answered = time.monotonic()

        rows = wait_for(
            lambda p=path: edge.muniment.search(f"path:{p} via:syslog-udp")["rows"],
            "the request in a search",
            NEVER,
        )

        waited.append(time.monotonic() - answered)
        assert [pick(row, "http_request.url.path") for row in rows] == [path]
    report("answered by HAProxy to found", waited)


def report(what: str, seconds: list[float]) -> None:
    ordered = sorted(1000 * one for one in seconds)
    middle = statistics.median(ordered)
    print(f"\n{what}: median {middle:.0f} ms, largest {ordered[-1]:.0f} ms of {len(ordered)}")
