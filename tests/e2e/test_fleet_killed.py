"""`muniment up` itself is killed: nothing of the fleet outlives it, and it goes on afterwards."""

from __future__ import annotations

import time

from .harness.cluster import cluster
from .harness.cluster_check import assert_promises_kept
from .harness.cluster_load import Load, load
from .harness.process import alive, descendants
from .harness.waiting import wait_for


def test_nothing_outlives_up() -> None:
    with cluster(nodes=2) as fleet:
        fleet.start()
        with load(fleet, "a") as first:
            time.sleep(1)
            first.finish()
        below = descendants(fleet.process.pid)
        assert len(below) >= 6, "two nodes, one that searches, its query process, the edge"
        fleet.process.kill()
        wait_for(lambda: not any(map(alive, below)), "all processes to end", 60)
        fleet.start()
        with load(fleet, "b") as second:
            second.finish()
        both = Load([*first.writers, *second.writers], [], [*first.senders, *second.senders])
        assert_promises_kept(fleet, both)
        assert fleet.stop() == 0
