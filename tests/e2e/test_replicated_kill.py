"""Nothing acknowledged under `replicated` is lost when a node dies and its disk with it.

A node writes under load, is killed with -9, its data directory is deleted, and another node goes
on from the stores alone: again and again, on a real gateway with Object Lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness.ceph import Ceph
from .harness.fleet import Fleet
from .harness.story import Story, assert_nothing_twice

RUNS = int(os.environ.get("MUNIMENT_TEST_DISASTERS", "20"))
SEED = 20_261_122


class Disasters(Story):
    """A story in which the node that comes back is another one, with an empty disk."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        super().__init__(fleet.node(), seed)
        self.fleet = fleet

    def come_back(self, run: int) -> None:
        """Takes over on a new disk; now and then the takeover is killed, too, and the disk lost."""
        self.server = self.fleet.successor(self.server)
        if run % 5 == 0:
            self.fleet.takeover(self.server, kill_after=self.random.uniform(0.3, 2.0))
            self.server = self.fleet.successor(self.server)
        self.fleet.takeover(self.server)
        self.server.start()

    def verify(self) -> None:
        self.fleet.verify(self.server, self.receipts)


@pytest.fixture
def fleet(tmp_path: Path, ceph: Ceph) -> Iterator[Fleet]:
    found = Fleet(tmp_path, ceph)
    yield found
    found.close()


def test_a_node_and_its_disk_are_lost_again_and_again(fleet: Fleet) -> None:
    story = Disasters(fleet, SEED)
    story.server.start()
    shard = story.server.shard()["shard"]
    for run in range(RUNS):
        batches = story.crash(run)
        story.come_back(run)
        assert story.server.shard()["shard"] == shard
        story.repeat(batches)
    assert {kept.answer["durability"] for kept in story.kept} == {"replicated"}
    story.check(0)
    assert_nothing_twice(story.server)
    story.server.stop()
    story.verify()
    print(f"\n{len(story.kept)} acknowledgements, {story.repeated} replays of kept batches")
    assert len(story.kept) > RUNS, "the runs were too short to say anything"
