"""Takeovers against an owner who writes on, against another takeover, and back again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .harness.ceph import Ceph
from .harness.fleet import Fleet
from .harness.server import LOG, MunimentServer
from .harness.waiting import wait_for
from .test_takeover import assert_all_there, kept, writers


@pytest.fixture
def fleet(tmp_path: Path, ceph: Ceph) -> Iterator[Fleet]:
    found = Fleet(tmp_path, ceph)
    yield found
    found.close()


def test_owners_that_are_fenced_while_they_write_archive_and_clean(fleet: Fleet) -> None:
    """None is stopped or told: each finds the fence, and archives on beside the next owner."""
    owner = fleet.node()
    owner.start()
    shard, promised = owner.shard()["shard"], []
    for number in range(4):
        clients = writers(owner, f"owner-{number}")
        wait_for(lambda: all(len(client.kept) > 40 for client in clients), "answers")  # noqa: B023
        successor = fleet.node()
        fleet.takeover(successor)
        successor.start()
        assert successor.shard()["shard"] == shard
        wait_for(lambda: all(client.refused for client in clients), "refusals")  # noqa: B023
        promised += kept(clients)
        assert_all_there(successor, promised)
        owner = successor
    last = writers(owner, "last")
    promised += kept(last, 3)
    assert_all_there(owner, promised)
    wait_for(lambda: is_well(owner), "a well node and archive")
    owner.stop()
    fleet.verify(owner, [one.answer["receipt"] for one in promised])


def is_well(server: MunimentServer) -> bool:
    """Whether a node is ready and so is its archive."""
    answer = server.http.get("/readyz")
    return answer.status_code == 200 and all(one["ok"] for one in answer.json()["stores"])


def test_two_takeovers_at_once(fleet: Fleet) -> None:
    owner = fleet.node()
    owner.start()
    shard = owner.shard()["shard"]
    clients = writers(owner, "owner")
    wait_for(lambda: all(client.kept for client in clients), "answers")
    both = [fleet.node(), fleet.node()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fleet.takeover, both))
    for server in both:
        server.start()
    answers = [server.accepted(b"after", kind="text/plain") for server in both]
    (won,) = [n for n, answer in enumerate(answers) if answer["shard"] == shard]
    promised = kept(clients)
    assert_all_there(both[won], promised)
    lost = both[1 - won]
    (log,) = lost.get("/api/v1/logs")["logs"]
    assert {one["shard"] for one in log["shards"]} > {shard}


def test_there_and_back_again(fleet: Fleet) -> None:
    """The first node takes its shard back, once the folder that it only reads is moved away."""
    one, other = fleet.node(), fleet.node()
    one.start()
    shard = one.shard()["shard"]
    promised = kept(writers(one, "one"), 3)
    fleet.takeover(other)
    other.start()
    promised += kept(writers(other, "other"), 3)
    one.restart()  # it learns of the fence, and keeps what it has, to be read
    one.stop()
    with pytest.raises(AssertionError, match="move that folder away"):
        fleet.takeover(one)
    shutil.move(one.data / "logs" / LOG / shard, one.data.parent / "moved")
    fleet.takeover(one)
    one.start()
    (log,) = one.get("/api/v1/logs")["logs"]
    assert shard in {found["shard"] for found in log["shards"]}
    wait_for(lambda: other.append(b"late").status_code == 503, "the other one to refuse")
    clients = writers(one, "again")
    wait_for(lambda: all(client.kept for client in clients), "answers")
    again = kept(clients)
    assert shard in {found.answer["shard"] for found in again}
    stored = {found.answer["shard"] for found in again}
    assert stored, "nothing was taken"
    for found in promised:
        entry = one.entry(found.first, shard)
        assert entry.endswith(found.sent.lines[0])
