"""All nodes of a fleet are restarted, one at a time, under load."""

from __future__ import annotations

import pytest

from .harness.cluster import cluster, edges
from .harness.cluster_check import assert_promises_kept
from .harness.cluster_load import load


@pytest.mark.parametrize("edge", edges("haproxy"))
def test_a_rolling_restart_is_not_noticed(edge: str) -> None:
    with cluster(edge=edge) as fleet:
        fleet.start()
        before = fleet.status()
        with load(fleet) as clients:
            fleet.up("restart")
            clients.wait_more()
            clients.finish()
            print(f"\n{clients.told(f'a rolling restart behind {edge}')}")
        after = fleet.status()
        assert {name for name in before if before[name]["pid"] == after[name]["pid"]} == {"edge"}
        assert_promises_kept(fleet, clients)
        assert fleet.stop() == 0
