"""HAProxy's log ring keeps what it logs while Muniment is away, and Muniment takes it then."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path

from .harness.haproxy import haproxy
from .harness.load import ab, exchange, request
from .harness.rows import pick
from .harness.server import serving
from .harness.waiting import wait_for

REQUESTS = 400


def test_an_outage_is_replayed_without_a_gap(tmp_path: Path) -> None:
    token = uuid.uuid4().hex
    with serving(tmp_path) as server, haproxy(tmp_path, server.syslog_port) as balancer:
        expected: Counter[str] = Counter()

        def drive(phase: str) -> None:
            path = f"/{token}/{phase}"
            expected[path] = ab(balancer.url("web", path), REQUESTS)

        def counted() -> Counter[str]:
            rows = server.rows(f"path:/{token}/* via:syslog-tcp")
            return Counter(pick(row, "http_request.url.path") for row in rows)

        drive("before")
        wait_for(lambda: counted() == expected, lambda: f"{expected}, there is {counted()}")
        server.stop()
        drive("away")
        server.start()
        wait_for(lambda: counted() == expected, lambda: f"{expected}, there is {counted()}")
        server.kill()
        drive("killed")
        server.start()
        exchange(balancer.ports["web"], request("/last"))
        wait_for(lambda: counted() == expected, lambda: f"{expected}, there is {counted()}")
