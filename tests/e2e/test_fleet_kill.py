"""Nodes of a fleet die under load, one after the other: nothing acknowledged is lost or doubled."""

from __future__ import annotations

import os
import time
from random import Random

import pytest

from .harness.cluster import Cluster, cluster, edges
from .harness.cluster_check import assert_promises_kept
from .harness.cluster_load import load
from .harness.fluent_bit import fluent_bit
from .harness.server import LOG
from .harness.waiting import wait_for

KILLS = int(os.environ.get("MUNIMENT_TEST_DISASTERS", "5"))
NODES = ("ingest-1", "ingest-2", "ingest-3")


@pytest.mark.parametrize("edge", edges("haproxy", "nginx"))
def test_nodes_are_killed_one_after_the_other(edge: str) -> None:
    random = Random(20_261_121)
    with cluster(edge=edge) as fleet:
        fleet.start()
        with load(fleet) as clients:
            for name in [*NODES, "query-1", *(random.choice(NODES) for _ in range(KILLS - 4))]:
                time.sleep(random.uniform(0.5, 1.5))
                fleet.kill(name)
                clients.wait_more()
                fleet.wait_ready(name)
            clients.finish()
            print(f"\n{clients.told(f'{KILLS} kills behind {edge}')}")
        assert_promises_kept(fleet, clients)
        assert fleet.stop() == 0


@pytest.mark.parametrize("edge", edges("haproxy"))
def test_a_fluent_bit_ships_on_through_kills(edge: str) -> None:
    with cluster(edge=edge) as fleet:
        fleet.start()
        client = fleet.places.identity("client")
        forward = {
            "name": "forward",
            "host": "localhost",
            "port": fleet.plan.forward,
            "require_ack_response": "on",
            "tls": "on",
            "tls.verify": "on",
            "tls.ca_file": fleet.ca,
            "tls.crt_file": client.certificate,
            "tls.key_file": client.key,
        }
        written = 0
        with fluent_bit(fleet.folder.parent, [forward]) as shipper:
            for name in (None, *NODES):
                for _ in range(20):
                    shipper.write(*(f"bit {number}" for number in range(written, written + 50)))
                    written += 50
                    time.sleep(0.05)
                if name is not None:
                    fleet.kill(name)
                    fleet.wait_ready(name)
            wait_for(
                lambda: shipped(fleet)[1] == written,
                lambda: f"{written}: {shipped(fleet)} {shipper.process.printed()[-2000:]}",
                120,
            )
        assert shipped(fleet) == [written, written, 0, written - 1]


def shipped(fleet: Cluster) -> list[int]:
    """Rows, different numbers, the lowest and the highest."""
    number = "CAST(regexp_extract(raw_data, 'bit ([0-9]+)', 1) AS BIGINT)"
    (row,) = fleet.sql(
        f"SELECT count(*), count(DISTINCT {number}), min({number}), max({number}) "
        f"FROM \"{LOG}\" WHERE regexp_matches(raw_data, 'bit [0-9]+')"
    )
    return [int(value or 0) for value in row]


@pytest.mark.parametrize("edge", edges("haproxy"))
def test_a_node_dies_with_its_disk_and_another_takes_its_shard_over(edge: str) -> None:
    with cluster("--durability", "replicated", edge=edge) as fleet:
        fleet.start()
        with load(fleet) as clients:
            time.sleep(2)
            fleet.up("kill", "ingest-2", "--disk")
            print(f"\nall writers were answered again after {clients.wait_more():.1f} s")
            time.sleep(20)  # the takeover comes after fifteen
            fleet.up("start", "ingest-2")
            clients.wait_more()
            clients.finish()
            print(clients.told(f"a node and its disk gone behind {edge}"))
        assert {kept.answer["durability"] for kept in clients.kept} == {"replicated"}
        assert_promises_kept(fleet, clients)
        assert fleet.stop() == 0
