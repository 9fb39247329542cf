"""A fleet grows and shrinks under load; and it is stopped and goes on where it was."""

from __future__ import annotations

import pytest

from .harness.cluster import Cluster, cluster, edges
from .harness.cluster_check import assert_promises_kept
from .harness.cluster_load import Load, load
from .harness.waiting import wait_for


def shards_written(clients: Load) -> set[str]:
    return {kept.answer["shard"] for kept in clients.kept}


def there(fleet: Cluster) -> set[str]:
    return {name for name in fleet.status() if name.startswith("ingest")}


@pytest.mark.parametrize("edge", edges("nginx"))
def test_three_become_five_and_then_two(edge: str) -> None:
    with cluster(edge=edge) as fleet:
        fleet.start()
        with load(fleet) as clients:
            fleet.up("scale", "5")
            assert there(fleet) == {f"ingest-{number}" for number in range(1, 6)}
            wait_for(lambda: len(shards_written(clients)) == 5, "entries at every node", 120)
            clients.wait_more()
            fleet.up("scale", "2")
            assert there(fleet) == {"ingest-1", "ingest-2"}
            clients.wait_more()
            clients.finish()
            print(f"\n{clients.told(f'3, 5, 2 nodes behind {edge}')}")
        assert len(shards_written(clients)) == 5, "not every node was given entries"
        assert_promises_kept(fleet, clients)
        assert fleet.stop() == 0


def test_a_fleet_that_was_stopped_goes_on() -> None:
    with cluster(nodes=2) as fleet:
        fleet.start()
        with load(fleet, "a") as first:
            wait_for(lambda: len(shards_written(first)) == 2, "entries at both nodes")
            first.finish()
        assert fleet.stop() == 0
        fleet.start()
        with load(fleet, "b") as second:
            wait_for(lambda: len(shards_written(second)) == 2, "entries at both nodes")
            second.finish()
        both = Load([*first.writers, *second.writers], [], [*first.senders, *second.senders])
        assert shards_written(first) == shards_written(second)
        assert_promises_kept(fleet, both)
        assert fleet.stop() == 0
