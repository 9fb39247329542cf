"""A data directory of which segments are in the store only: read there, or said not to be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from archived_shard import AT_ONCE, FIRSTS, LOG, NAME, SEGMENTS, SIZE, archive
from fake_clock import FakeClock
from simulator import SimulatedStore

from muniment.log.disk import PosixDisk
from muniment.store.archive.catalog import FileCatalog
from muniment.store.archive.recovery import evicted_item, note_evicted
from muniment.store.names import tree_key
from muniment.store.restore import Restore, Target
from muniment.store.tiered import TieredDisk
from muniment.store.tree import Companion
from muniment.trust.directory import verify_directory


@pytest.fixture
def store() -> SimulatedStore:
    found = SimulatedStore("primary")
    archive(found)
    return found


@pytest.fixture
def data(store: SimulatedStore, tmp_path: Path) -> Path:
    """A restored directory whose first two segments were evicted afterwards."""
    data, disk = tmp_path / "data", PosixDisk()
    for name in ("logs", "keys", "access", "index"):
        (data / name).mkdir(parents=True)
    work = Restore(store, Target(data, disk, FakeClock()), "", AT_ONCE)
    work.run(lambda _done, _total: None)
    work.close()
    items = {}
    for first in FIRSTS[:2]:
        tree = store.get(tree_key(LOG, NAME, first))
        companion = Companion.decode(tree, "")
        items[first] = evicted_item("primary", companion, tree, ("", ""), 0)
    (data / "archive").mkdir()
    note_evicted(disk, data / "archive", LOG, NAME, items)
    for path in SEGMENTS[:2]:
        (data / "logs" / LOG / NAME / path.name).unlink()
    return data


def tiered(data: Path, store: SimulatedStore) -> TieredDisk:
    catalog = FileCatalog(data / "archive", "primary")
    return TieredDisk(PosixDisk(), data / "logs", catalog, store)


def test_what_was_not_read_is_said_and_is_not_intact(data: Path) -> None:
    report = verify_directory(data)
    problems = [finding.problem for finding in report.findings]
    assert any("2 segments from entry 0 on are in the store only" in one for one in problems)


def test_with_the_store_all_is_read(data: Path, store: SimulatedStore) -> None:
    report = verify_directory(data, disk=tiered(data, store), jobs=2)
    assert report.intact and report.shards[0].size == SIZE


def test_a_changed_bit_in_the_store_is_found(data: Path, store: SimulatedStore) -> None:
    key = f"logs/{LOG}/{NAME}/{SEGMENTS[1].name}"
    body = bytearray(store.get(key))
    body[700] ^= 1
    store.backing.poke(key, bytes(body))
    report = verify_directory(data, disk=tiered(data, store))
    assert any(SEGMENTS[1].name in finding.file for finding in report.findings)
