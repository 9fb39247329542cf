"""A node of a fleet is cut off from the store: the network between loses all that is sent.

The fleet runs in a network namespace; each node has a link of its own to the store outside.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from muniment.settings import Durability
from muniment.up import run
from muniment.up.plan import EdgeKind, Wish

from .harness.ceph import Ceph
from .harness.cluster import LONGER, Cluster, cluster, edges
from .harness.cluster_check import assert_promises_kept
from .harness.cluster_load import load
from .harness.cluster_network import Namespace, namespace
from .harness.s3_server import ACCESS_KEY, REGION, SECRET_KEY

NODES = ("ingest-1", "ingest-2", "ingest-3", "query-1")
SECONDS = 60 if LONGER else 12
"""Less than the time after which a shard is taken over; the longer version is more."""


@pytest.fixture
def network() -> Iterator[Namespace]:
    with namespace(1 + len(NODES)) as made:
        yield made


def with_own_links(fleet: Cluster, network: Namespace, store: Ceph) -> None:
    """Makes the fleet's files, and gives each node its own way to the store."""
    url = f"s3://{store.plain_bucket()}"
    wish = Wish(
        store=url,
        durability=Durability.REPLICATED,
        edge=EdgeKind(fleet.edge),
        host=network.there(0),
        port=fleet.port,
    )
    with run.owning(fleet.folder):
        # the address of the edge is one of the namespace, not of where this runs
        fleet.token = run.make(fleet.folder, wish, lambda _: None)[2] or ""
    for number, name in enumerate(NODES, 1):
        endpoint = f"http://{network.here(number)}:{network.forward(number, store.port)}"
        keys = f'endpoint = "{endpoint}"\nallow_http = true\nregion = "{REGION}"\ntimeout = 3\n'
        keys += f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n'
        settings = fleet.places.settings(name)
        lines = settings.read_text().splitlines(keepends=True)
        told = [line + keys if line.startswith(f'url = "{url}') else line for line in lines]
        settings.write_text("".join(told))
    fleet.url = f"https://{network.there(0)}:{fleet.port}"
    fleet.wrap = ["ip", "netns", "exec", network.name]


@pytest.mark.parametrize("edge", edges("nginx"))
def test_a_node_is_cut_off_from_the_store(network: Namespace, ceph: Ceph, edge: str) -> None:
    with cluster(edge=edge) as fleet:
        with_own_links(fleet, network, ceph)
        fleet.start()
        with load(fleet) as clients:
            with network.cut(1 + NODES.index("ingest-2")):
                print(f"\nall writers were answered again after {clients.wait_more(60):.1f} s")
                time.sleep(SECONDS)
                clients.wait_more(60)
            clients.wait_more(60)
            clients.finish()
            print(clients.told(f"a node cut off from the store for {SECONDS} s behind {edge}"))
        assert {kept.answer["durability"] for kept in clients.kept} == {"replicated"}
        assert_promises_kept(fleet, clients)
        assert fleet.stop() == 0
