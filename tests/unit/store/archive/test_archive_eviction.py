"""A segment leaves the local disk only after two whole reads of the store gave its bytes."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from carried_shard import (
    LIMITS,
    LOG,
    SEGMENTS,
    SHARD,
    SIGNER,
    Node,
    grow_at_once,
    originals_of,
    same_bytes,
    settle,
    simulated,
)
from simulator import Fault, SimulatedStore

from muniment import kernel
from muniment.errors import StoreFailing
from muniment.log import Batch, Shard, ShardReader
from muniment.log.disk import PosixDisk
from muniment.log.history import segment_names
from muniment.log.verify import verify_shard
from muniment.store.archive import Archive, Cache
from muniment.store.archive.catalog import FileCatalog
from muniment.store.names import segment_key
from muniment.store.tiered import Catalog, TieredDisk

KEY = segment_key(LOG, SHARD, 0)
SMALL = Cache(size=1)


def tiered(node: Node, catalog: Catalog) -> TieredDisk:
    return TieredDisk(PosixDisk(), node.data / "logs", catalog, store_of(node))


def read_all(node: Node, catalog: Catalog) -> list[bytes]:
    reader = ShardReader(node.directory, tiered(node, catalog))
    reader.advance(node.size)
    found: list[bytes] = []
    while len(found) < node.size:
        found += reader.read(len(found)).entries
    return found


@pytest.fixture
def evicted(node: Node) -> Archive:
    node.cache = SMALL
    archive = node.archive()
    settle(archive)
    return archive


def test_all_but_the_newest_two_segments_go(node: Node, evicted: Archive) -> None:
    names = segment_names(PosixDisk(), node.directory)
    assert len(names) == 2
    remote = evicted.evicted(LOG, SHARD)
    assert sorted(remote) == [n * 2 * 97 for n in range(SEGMENTS - 1)]
    assert evicted.status().evicted[0].segments == SEGMENTS - 1


def test_nothing_goes_without_bounds(node: Node) -> None:
    settle(node.archive())
    assert len(node.sealed()) == SEGMENTS


def test_age_alone_takes_the_old_ones(node: Node) -> None:
    node.cache = Cache(age=timedelta(days=1))
    archive = node.archive()
    settle(archive)
    assert len(node.sealed()) == SEGMENTS  # sealed just now, by any clock
    node.clock.seconds += 10_000 * 86_400
    settle(archive)
    assert len(node.sealed()) == 1


def test_size_takes_the_oldest_and_no_more_than_it_must(node: Node) -> None:
    sizes = [path.stat().st_size for path in node.sealed()]
    node.cache = Cache(size=sum(sizes) - sizes[0] - 1)
    archive = node.archive()
    settle(archive)
    assert len(archive.evicted(LOG, SHARD)) == 2


def test_nothing_goes_while_it_is_not_confirmed(node: Node) -> None:
    node.cache = SMALL
    store_of(node).faults.always(Fault.FLIPPED, "get_range", KEY)
    archive = node.archive()
    settle(archive)
    assert (node.directory / "00000000000000000000.seg").exists()
    assert 0 not in archive.evicted(LOG, SHARD)


def test_nothing_goes_when_the_second_read_gives_other_bytes(node: Node) -> None:
    settle(node.archive())
    node.cache = SMALL
    original = originals_of(node)["00000000000000000000.seg"]
    store = store_of(node)
    version = next(iter(store.versions(KEY))).version
    store.backing.poke(KEY, original[:-1] + bytes([original[-1] ^ 1]), version=version)
    archive = node.archive()
    settle(archive)
    assert (node.directory / "00000000000000000000.seg").read_bytes() == original
    assert 0 not in archive.evicted(LOG, SHARD)
    assert node.actions() == ["archive.conflict"]
    assert archive.covered(LOG, SHARD) == 0  # no longer taken for confirmed


def test_each_evicted_byte_was_read_twice(node: Node, evicted: Archive) -> None:
    reads = [c.key for c in store_of(node).calls if c.operation == "get_range"]
    for first in evicted.evicted(LOG, SHARD):
        assert reads.count(segment_key(LOG, SHARD, first)) == 2


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.FLIPPED])
def test_a_fault_at_any_call_loses_nothing(node: Node, entries: list[bytes], fault: Fault) -> None:
    settle(node.archive())
    node.cache = SMALL
    before = len(store_of(node).calls)
    keep = node.data.with_name("keep")
    shutil.copytree(node.data, keep)
    settle(node.archive())
    calls = len(store_of(node).calls) - before
    assert calls == 2 * (SEGMENTS - 1)  # a piece of each companion and each segment
    for number in range(calls):
        shutil.rmtree(node.data)
        shutil.copytree(keep, node.data)
        store = store_of(node)
        store.faults.at_call(len(store.calls) + number, fault)
        archive = node.archive()
        archive.lanes[0]._try_round()
        store.faults.clear()
        assert read_all(node, archive) == entries[: node.size]
        assert read_all(node, FileCatalog(node.books, "primary")) == entries[: node.size]


def test_evicted_entries_are_read_from_the_store(
    node: Node, evicted: Archive, entries: list[bytes]
) -> None:
    assert read_all(node, evicted) == entries[: node.size]
    assert read_all(node, FileCatalog(node.books, "primary")) == entries[: node.size]


def test_a_shard_with_evicted_segments_verifies_opens_and_proves(
    node: Node, evicted: Archive
) -> None:
    disk = tiered(node, evicted)
    report = verify_shard(node.directory, disk=disk)
    assert report.findings == []
    assert report.segments == SEGMENTS + 1
    shard = Shard.open(node.directory, SIGNER, log=LOG, disk=disk, limits=LIMITS)
    assert shard.prove(3).index == 3
    shard.close()


@pytest.mark.parametrize("busy", [False, True])
def test_a_shard_opens_and_takes_entries_while_the_store_is_away(node: Node, busy: bool) -> None:
    if busy:
        grow_at_once(node.data, 6)
    node.cache = SMALL
    evicted = node.archive()
    settle(evicted)
    assert len(evicted.evicted(LOG, SHARD)) >= SEGMENTS - 2
    store_of(node).faults.always(Fault.UNREACHABLE)
    disk = tiered(node, evicted)
    shard = Shard.open(node.directory, SIGNER, log=LOG, disk=disk, limits=LIMITS)
    before = shard.size
    shard.submit(Batch(kernel.pack_records([b"new"], b"{}\n"))).result()
    assert shard.reader.entry(before) == b"{}\nnew"
    shard.close()


def test_a_store_that_is_away_makes_reads_fail_and_not_lie(node: Node, evicted: Archive) -> None:
    reader = ShardReader(node.directory, tiered(node, evicted))
    reader.advance(node.size)
    store_of(node).faults.always(Fault.UNREACHABLE)
    with pytest.raises(StoreFailing):
        reader.entry(0)
    assert reader.entry(node.size - 1)
    store_of(node).faults.clear()
    assert reader.entry(0)


def test_other_bytes_of_the_store_are_found(node: Node, evicted: Archive) -> None:
    store = store_of(node)
    data = store.get(KEY)
    version = next(iter(store.versions(KEY))).version
    for offset in range(0, len(data), 41):
        changed = data[:offset] + bytes([data[offset] ^ 4]) + data[offset + 1 :]
        store.backing.poke(KEY, changed, version=version)
        assert verify_shard(node.directory, disk=tiered(node, evicted)).findings, offset


def test_a_delete_marker_or_a_later_version_does_not_hide_what_was_read_back(
    node: Node, evicted: Archive, entries: list[bytes]
) -> None:
    store = store_of(node)
    store.backing.hide(KEY)
    store.put(segment_key(LOG, SHARD, 2 * 97), b"over it")
    assert read_all(node, evicted) == entries[: node.size]


def test_lost_books_are_made_anew_from_the_store(
    node: Node, evicted: Archive, entries: list[bytes]
) -> None:
    evicted.stop(0)
    node.lose_books()
    archive = node.archive()
    assert archive.covered(LOG, SHARD) == 0
    settle(archive)
    assert archive.covered(LOG, SHARD) == node.size
    assert read_all(node, archive) == entries[: node.size]


def test_lost_books_come_back_though_the_objects_were_deleted(
    node: Node, evicted: Archive, entries: list[bytes]
) -> None:
    evicted.stop(0)
    node.lose_books()
    store_of(node).backing.hide(KEY)
    archive = node.archive()
    settle(archive)
    assert read_all(node, archive) == entries[: node.size]


def test_a_backup_that_comes_later_gets_evicted_segments_too(node: Node) -> None:
    originals = originals_of(node)
    backup = simulated("backup")
    backup.faults.always(Fault.UNREACHABLE)
    node.cache, node.stores = SMALL, [*node.stores, backup]
    archive = node.archive()
    settle(archive)
    assert len(node.sealed()) == 1
    backup.faults.clear()
    shutil.rmtree(node.books / f"{LOG}.{SHARD}")  # the outbox may be lost as well
    settle(archive)
    same_bytes(node, backup, originals)
    assert not list((node.books / f"{LOG}.{SHARD}").glob(".*"))


def test_removing_an_evicted_segment_forgets_it(node: Node, evicted: Archive) -> None:
    disk = tiered(node, evicted)
    name = "00000000000000000000.seg"
    assert name in disk.names(node.directory)
    disk.remove(node.directory / name)
    assert name not in disk.names(node.directory)
    assert 0 not in FileCatalog(node.books, "primary").evicted(LOG, SHARD)
    with pytest.raises(FileNotFoundError):
        disk.read(node.directory / name)


def store_of(node: Node) -> SimulatedStore:
    store = node.stores[0]
    assert isinstance(store, SimulatedStore)
    return store
