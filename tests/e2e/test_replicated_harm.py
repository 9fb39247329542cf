"""A replicated node that dies while it starts, or is stopped while the store is gone.

Each time: what was acknowledged is there, once, at its place, also for who takes over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Thread

import httpx
import pytest

from .harness.ceph import Ceph
from .harness.fleet import Fleet
from .harness.story import Story, assert_nothing_twice
from .harness.waiting import wait_for
from .test_replicated_trouble import gone
from .test_takeover import assert_all_there, kept, writers


@pytest.fixture
def fleet(tmp_path: Path, ceph: Ceph) -> Iterator[Fleet]:
    found = Fleet(tmp_path, ceph)
    yield found
    found.close()


def test_a_node_that_is_killed_while_it_starts_again_and_again(fleet: Fleet) -> None:
    """Each start claims a term; each may end anywhere in the claim or in the replay."""
    server, random = fleet.node(), Random(7)
    server.start()
    story = Story(server, 7)
    batches = story.crash(0)
    for _ in range(12):
        server.start(ready=False)
        time.sleep(random.uniform(0.5, 2.5))
        server.kill()
    server.start()
    story.repeat(batches)
    story.check(0)
    batches = story.crash(1)
    successor = fleet.successor(server)
    for _ in range(4):
        fleet.takeover(successor, kill_after=random.uniform(0.5, 3.0))
    if not list((successor.data / "logs").glob("*/*/verifier")):  # none came to its end
        fleet.takeover(successor)
    story.server = successor
    successor.start()
    story.repeat(batches)
    story.check(0)
    assert_nothing_twice(successor)


def test_a_stop_while_the_store_is_gone_is_bounded_for_all_logs_together(
    fleet: Fleet, ceph: Ceph
) -> None:
    server = fleet.node()
    config = server.data.parent / "serve.toml"
    logs = ["default", "two", "three"]
    config.write_text(f"logs = {logs}\n".replace("'", '"') + config.read_text())
    server.start()
    clients = writers(server, "before")
    wait_for(lambda: all(client.kept for client in clients), "answers")
    with gone(ceph):
        for log in logs[1:]:
            send_to(server.url, log)
        wait_for(lambda: server.http.get("/readyz").status_code == 503, "the node to say so")
        assert server.process.stop(75.0) == 0, server.process.printed()[-2000:]
        promised = kept(clients)
    server.start()
    assert_all_there(server, promised)
    assert_nothing_twice(server)


def send_to(url: str, log: str) -> None:
    """Sends an entry to a log; nobody waits for the answer."""

    def send() -> None:
        kind = {"Content-Type": "text/plain"}
        with suppress(httpx.TransportError):
            httpx.post(f"{url}/api/v1/logs/{log}/entries", content=b"one", headers=kind, timeout=90)

    Thread(target=send, daemon=True).start()
