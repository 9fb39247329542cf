"""A node of a fleet whose disk is full: the others take what it cannot, until it has room again."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest

from .harness.cluster import Cluster, cluster, edges
from .harness.cluster_check import assert_promises_kept
from .harness.cluster_load import load

NODE = "ingest-2"
LEFT = 64 << 10
"""Bytes that are left at first; the load takes them at once."""


def fill(disk: Path) -> Path:
    """Takes all of a file system but a little; returns the file to remove."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(b"x" * LEFT):
                pass
        file.truncate(file.tell() - LEFT)
    return filler


def move(fleet: Cluster, disk: Path) -> None:
    """Gives the node a disk of its own, with all that it has."""
    data = fleet.folder / NODE / "data"
    fleet.up("kill", NODE)
    shutil.copytree(data, disk, dirs_exist_ok=True)
    shutil.rmtree(data)
    data.symlink_to(disk)
    fleet.up("start", NODE)
    fleet.wait_ready(NODE)


@pytest.mark.parametrize("edge", edges("haproxy"))
def test_a_node_without_room_is_passed_over(small_disk: Path, edge: str) -> None:
    with cluster(edge=edge) as fleet:
        fleet.start()
        move(fleet, small_disk)
        with load(fleet) as clients:
            clients.wait_more()
            filler = fill(small_disk)
            time.sleep(8)
            print(f"\nbytes left on the disk: {shutil.disk_usage(small_disk).free:,}")
            clients.wait_more()
            filler.unlink()
            time.sleep(2)
            clients.wait_more()
            clients.finish()
            print(clients.told(f"a full disk behind {edge}"))
        assert_promises_kept(fleet, clients)
        assert fleet.stop() == 0
