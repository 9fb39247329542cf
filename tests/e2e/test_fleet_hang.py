"""A node that hangs without dying: it takes connections, and answers nothing."""

from __future__ import annotations

import time

import pytest

from .harness.cluster import LONGER, cluster, edges
from .harness.cluster_check import assert_promises_kept
from .harness.cluster_load import load

SECONDS = 60 if LONGER else 15


@pytest.mark.parametrize("edge", edges("nginx"))
def test_a_node_that_hangs_is_passed_over(edge: str) -> None:
    with cluster(edge=edge) as fleet:
        fleet.start()
        with load(fleet) as clients:
            with fleet.hanging("ingest-1"):
                print(f"\nall writers were answered again after {clients.wait_more(60):.1f} s")
                time.sleep(SECONDS)
                clients.wait_more()
            clients.wait_more()
            clients.finish()
            print(clients.told(f"a node hung for {SECONDS} s behind {edge}"))
        assert_promises_kept(fleet, clients)
        assert fleet.stop() == 0
