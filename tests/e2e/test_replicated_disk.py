"""A replicated node whose own disk is full: the store has it, and nothing is lost or doubled."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from random import Random

import httpx
import pytest

from .harness.ceph import Ceph
from .harness.fleet import Fleet
from .harness.server import MunimentServer
from .harness.story import Story, assert_nothing_twice
from .harness.waiting import wait_for
from .harness.writers import Kept, Sent

MIB = 1 << 20


@pytest.fixture
def fleet(tmp_path: Path, ceph: Ceph) -> Iterator[Fleet]:
    found = Fleet(tmp_path, ceph)
    yield found
    found.close()


class Batches:
    """Batches of about 200 KB that hardly compress, posted one after the other."""

    def __init__(self, server: MunimentServer) -> None:
        self.client = httpx.Client(base_url=server.url, timeout=10)
        self.kept: list[Kept] = []
        self._random = Random(1)
        self._count = 0

    def next(self) -> Sent:
        self._count += 1
        fillers = [base64.b64encode(self._random.randbytes(735)) for _ in range(200)]
        lines = [b"%d.%d %s" % (self._count, n, f) for n, f in enumerate(fillers)]
        return Sent(lines, f"batch-{self._count}")

    def post(self, sent: Sent) -> int:
        """Returns the status, or 0 where nothing is answered in time."""
        try:
            answer = sent.post(self.client)
        except httpx.TimeoutException:
            return 0
        if answer.status_code == 201:
            self.kept.append(Kept(sent, answer.json()))
        return answer.status_code


def test_a_full_disk_loses_and_doubles_nothing(fleet: Fleet, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(34 * MIB))
    server = fleet.node(small_disk / "data")
    server.start()
    batches = Batches(server)
    waiting: list[Sent] = []

    def full() -> bool:
        """Fills the disk; a batch may also fail to be taken because the store is slow."""
        status = 201
        while status == 201:
            sent = batches.next()
            status = batches.post(sent)
        assert status in (0, 503)
        waiting.append(sent)
        return "No space left" in server.http.get("/readyz").text

    wait_for(full, "the node to say that its disk is full", 120)
    assert batches.kept and server.http.get("/readyz").status_code == 503
    refused = batches.next()
    assert batches.post(refused) == 503
    waiting.append(refused)
    ballast.unlink()
    for sent in waiting:
        wait_for(lambda sent=sent: batches.post(sent) == 201, "an acknowledgement")
    story = Story(server, 1)
    story.kept = batches.kept
    story.check(0)
    assert_nothing_twice(server)
    server.stop()
    fleet.verify(server, [kept.answer["receipt"] for kept in batches.kept])
