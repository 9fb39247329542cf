"""A shard in a store, read as if it lay on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from archived_shard import ARCHIVED, AT_ONCE, FILES, SEGMENTS, SIZE, THERE, WRITTEN, archived
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator import Fault, SimulatedStore

from muniment.errors import StoreFailing
from muniment.log import ShardReader
from muniment.log.disk import Disk
from muniment.log.verify import verify_shard
from muniment.store.disk import StoreDisk, shard_names
from muniment.store.inventory import Inventory


@pytest.fixture
def store() -> SimulatedStore:
    return archived(versioned=True)


@pytest.fixture
def disk(store: SimulatedStore) -> Iterator[StoreDisk]:
    found = StoreDisk(store, insist=AT_ONCE, block=512)
    yield found
    found.close()


def test_it_shows_what_a_local_folder_has(disk: StoreDisk) -> None:
    local = {THERE / path.relative_to("a/b"): data for path, data in FILES.items()}
    assert disk.names(THERE) == sorted({path.relative_to(THERE).parts[0] for path in local})
    assert disk.names(THERE / "tiles") == ["1"]
    for path, data in local.items():
        assert disk.read(path) == data and disk.size(path) == len(data)
    assert disk.names(Path("logs/a")) == ["b"] and disk.names(Path("logs")) == ["a"]
    assert shard_names(disk.inventory) == [("a", "b")]


def test_it_is_a_disk_for_verification_and_for_a_reader(disk: Disk) -> None:
    report = verify_shard(THERE, trust=ARCHIVED, disk=disk)
    assert (report.findings, report.size) == ([], SIZE)
    reader = ShardReader(THERE, disk)
    reader.advance(SIZE)
    assert reader.read(0).entries == WRITTEN.entries
    assert [reader.entry(index) for index in (SIZE - 1, 0, 300)] == [
        WRITTEN.entries[index] for index in (SIZE - 1, 0, 300)
    ]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2_000), st.none() | st.integers(0, 2_000), st.integers(1, 700))
def test_any_range_is_that_of_the_file(offset: int, length: int | None, block: int) -> None:
    disk = StoreDisk(archived(), insist=AT_ONCE, block=block)
    path = SEGMENTS[0]
    data = FILES[path]
    end = len(data) if length is None else offset + length
    assert disk.read(THERE / path.name, offset, length) == data[offset:end]
    disk.close()


def test_a_segment_that_is_read_in_order_is_fetched_once(
    store: SimulatedStore, disk: StoreDisk
) -> None:
    assert verify_shard(THERE, disk=disk).findings == []
    digests = [disk.digest(THERE / path.name) for path in SEGMENTS]
    assert digests == [sha256(FILES[path]).digest() for path in SEGMENTS]
    fetched = [
        call.key
        for call in store.calls
        if call.operation == "get_range" and call.key.endswith(".seg")
    ]
    blocks = sum(-(-len(FILES[path]) // 512) for path in SEGMENTS)
    assert len(fetched) == blocks


def test_the_first_version_is_read_whatever_came_later(store: SimulatedStore) -> None:
    for key in list(store.backing.contents()):
        store.put(key, b"later")
        store.backing.hide(key)
    disk = StoreDisk(store, insist=AT_ONCE)
    assert verify_shard(THERE, disk=disk).findings == []
    disk.close()


def test_what_is_not_there_is_not_found(disk: StoreDisk) -> None:
    for path in ("logs/a/b/x", "logs/a/b/pruned", "logs/a/b/tiles/2", "logs/a/b/tiles/0"):
        with pytest.raises(FileNotFoundError):
            disk.read(Path(path))
        with pytest.raises(FileNotFoundError):
            disk.size(Path(path))
    with pytest.raises(FileNotFoundError):
        disk.names(Path("logs/a/c"))


def test_what_goes_after_it_was_listed_is_not_found(store: SimulatedStore, disk: StoreDisk) -> None:
    store.remove(str(THERE / SEGMENTS[0].name))
    with pytest.raises(FileNotFoundError):
        disk.read(THERE / SEGMENTS[0].name)


def test_a_store_that_fails_for_a_moment_is_asked_again(
    store: SimulatedStore, disk: StoreDisk
) -> None:
    store.faults.next(Fault.BUSY, "get_range", "", times=2)
    assert disk.read(THERE / SEGMENTS[0].name) == FILES[SEGMENTS[0]]


def test_a_store_that_goes_on_failing_is_no_missing_file(
    store: SimulatedStore, disk: StoreDisk
) -> None:
    store.faults.always(Fault.UNREACHABLE, "get_range", "")
    with pytest.raises(StoreFailing):
        disk.read(THERE / SEGMENTS[0].name)
    store.faults.clear()
    assert disk.read(THERE / SEGMENTS[0].name) == FILES[SEGMENTS[0]]


def test_a_listing_that_ends_early_is_no_short_store(store: SimulatedStore) -> None:
    store.page = 2
    store.faults.always(Fault.CUT, "versions", "")
    with pytest.raises(StoreFailing):
        Inventory.of(store, "logs/", AT_ONCE)


def test_nothing_can_be_written(disk: StoreDisk) -> None:
    path = THERE / "x"
    for write in (
        lambda: disk.create(path),
        lambda: disk.append(path),
        lambda: disk.make_directory(path),
        lambda: disk.sync_directory(path),
        lambda: disk.remove(path),
        lambda: disk.rename(path, path),
        lambda: disk.seal(path),
    ):
        with pytest.raises(OSError, match="Read-only"):
            write()


@pytest.mark.fuzz
@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["verifier", *(f"{n:020d}{s}" for n in (0, 261) for s in (".seg", ".tree"))]
        ),
        st.binary(max_size=400),
    )
)
def test_any_bytes_in_a_store_give_a_report(contents: dict[str, bytes]) -> None:
    store = SimulatedStore()
    for name, data in contents.items():
        store.put(str(THERE / name), data)
    if not contents:
        return
    disk = StoreDisk(store, insist=AT_ONCE)
    assert verify_shard(THERE, disk=disk).findings
    disk.close()
