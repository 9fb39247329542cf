"""A shard laid down from a store: byte for byte what it was, and what is missing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from archived_shard import (
    ARCHIVED,
    AT_ONCE,
    FILES,
    FIRSTS,
    LOG,
    NAME,
    SEGMENTS,
    SIZE,
    WRITTEN,
    archived,
)
from simulated_disk import SimulatedDisk
from simulator import Fault, SimulatedStore
from small_shard import DIRECTORY, SIGNER

from muniment.errors import Conflict, StoreFailing, UnknownShard
from muniment.log import Shard, history
from muniment.log.checkpoint import Checkpoint
from muniment.log.frame import Kind
from muniment.log.history import all_places
from muniment.log.verify import verify_shard
from muniment.store.disk import StoreDisk
from muniment.store.names import pruned_key, segment_key, tree_key, verifier_key
from muniment.store.shard_copy import lay_down
from muniment.store.shard_growth import Copy
from muniment.store.tree import Companion


def laid(store: SimulatedStore, disk: SimulatedDisk, **options: bool) -> Copy:
    return lay_down(store, LOG, NAME, DIRECTORY, disk, **{"all_segments": True, **options})


def test_a_whole_shard_comes_back_byte_for_byte() -> None:
    disk = SimulatedDisk()
    copy = laid(archived(), disk)
    assert disk.files() == FILES
    assert (copy.size, copy.missing, copy.findings, copy.fetched) == (SIZE, [], [], 4)
    assert copy.whole and copy.newest == ARCHIVED[-1]
    assert verify_shard(DIRECTORY, disk=disk).findings == []
    Shard.open(DIRECTORY, SIGNER, log=LOG, disk=disk).close()


def test_a_second_run_fetches_nothing_and_changes_nothing() -> None:
    disk, store = SimulatedDisk(), archived()
    laid(store, disk)
    store.calls.clear()
    copy = laid(store, disk)
    assert (copy.fetched, copy.kept) == (0, 4) and disk.files() == FILES
    reads = [call for call in store.calls if call.operation.startswith("get")]
    assert not [call for call in reads if call.key.endswith(".seg")]


def test_a_base_for_a_takeover_has_the_newest_segments_and_the_whole_tree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "BYTES_FOR_IDS", 0)
    disk = SimulatedDisk()
    copy = laid(archived(), disk, all_segments=False)
    left_out = SEGMENTS[:2]
    assert disk.files() == {path: FILES[path] for path in FILES if path not in left_out}
    assert copy.whole and copy.size == SIZE
    Shard.open(DIRECTORY, SIGNER, log=LOG, disk=disk).close()


def test_a_base_for_a_takeover_ends_before_an_upload_that_was_cut_off() -> None:
    """The node died between companion and segment: the write-ahead objects have the rest."""
    store, disk = archived(), SimulatedDisk()
    store.backing.poke(segment_key(LOG, NAME, FIRSTS[-1]), None)
    copy = laid(store, disk, all_segments=False)
    assert copy.whole and copy.size == FIRSTS[-1]
    Shard.open(DIRECTORY, SIGNER, log=LOG, disk=disk).close()
    assert not laid(store, SimulatedDisk()).whole  # a restore has to say so


def test_a_store_that_lags_gives_what_it_has() -> None:
    disk = SimulatedDisk()
    copy = laid(archived(segments=2), disk)
    assert copy.size == FIRSTS[2] and copy.whole
    assert copy.newest is not None and Checkpoint.of_note(copy.newest).size <= copy.size
    assert verify_shard(DIRECTORY, disk=disk).findings == []
    Shard.open(DIRECTORY, SIGNER, log=LOG, disk=disk).close()


@pytest.mark.parametrize("first", FIRSTS)
def test_a_missing_segment_is_named_with_its_entries(first: int) -> None:
    store, disk = archived(), SimulatedDisk()
    store.backing.poke(segment_key(LOG, NAME, first), None)
    copy = laid(store, disk)
    stop = dict(zip(FIRSTS, [*FIRSTS[1:], SIZE], strict=True))[first]
    assert copy.missing == [(first, stop)] and copy.size == SIZE
    assert [finding.file for finding in copy.findings] == [segment_key(LOG, NAME, first)]


def test_a_segment_missing_with_its_companion_is_missing_all_the_same() -> None:
    store, disk = archived(), SimulatedDisk()
    for key in (segment_key(LOG, NAME, FIRSTS[1]), tree_key(LOG, NAME, FIRSTS[1])):
        store.backing.poke(key, None)
    copy = laid(store, disk)
    assert copy.missing == [(FIRSTS[1], FIRSTS[2])]
    assert set(disk.files()) >= {SEGMENTS[0], SEGMENTS[2]}


def test_a_missing_or_broken_companion_is_made_up_for() -> None:
    store, disk = archived(), SimulatedDisk()
    store.backing.poke(tree_key(LOG, NAME, FIRSTS[0]), None)
    store.backing.poke(tree_key(LOG, NAME, FIRSTS[1]), b"rubbish")
    assert laid(store, disk).whole
    assert disk.files() == FILES


@pytest.mark.parametrize("first", FIRSTS)
def test_a_changed_segment_is_not_laid_down(first: int) -> None:
    store, disk = archived(), SimulatedDisk()
    key = segment_key(LOG, NAME, first)
    data = bytearray(store.backing.contents()[key])
    data[len(data) // 2] ^= 1
    store.backing.poke(key, bytes(data))
    copy = laid(store, disk)
    assert [finding.file for finding in copy.findings] == [key]
    assert copy.missing and copy.missing[0][0] == first
    assert DIRECTORY / Path(key).name not in disk.files()


def test_nothing_that_is_there_and_differs_is_overwritten() -> None:
    for path in FILES:
        disk, store = SimulatedDisk(), archived()
        laid(store, disk)
        disk.poke(path, b"something else")
        before = disk.files()
        with pytest.raises(Conflict, match=path.name):
            laid(store, disk)
        assert disk.files() == before


def test_a_damaged_file_of_an_earlier_run_is_fetched_anew() -> None:
    for path in FILES:
        disk, store = SimulatedDisk(), archived()
        laid(store, disk)
        disk.poke(path, FILES[path][:-1] + b"?")
        assert laid(store, disk, replace_damaged=True).whole
        assert disk.files() == FILES


def test_what_goes_on_behind_the_copy_stays() -> None:
    """The directory of a node that wrote on after the store's last segment."""
    disk = WRITTEN.disk.copy()
    copy = laid(archived(segments=2), disk)
    assert copy.size == FIRSTS[2] and disk.files() == WRITTEN.disk.files()


def test_the_first_version_of_every_key_counts() -> None:
    store, disk = archived(versioned=True), SimulatedDisk()
    for key in list(store.backing.contents()):
        store.put(key, b"overwritten")
        store.backing.hide(key)
    assert laid(store, disk).whole
    assert disk.files() == FILES


@pytest.mark.parametrize("data", [b"", b"\xff", b"x+y", FILES[DIRECTORY / "verifier"] * 2, None])
def test_a_shard_without_its_verifier_is_not_laid_down(data: bytes | None) -> None:
    store, disk = archived(), SimulatedDisk()
    store.backing.poke(verifier_key(LOG, NAME), data)
    copy = laid(store, disk)
    assert [finding.file for finding in copy.findings] == [verifier_key(LOG, NAME)]
    assert disk.files() == {} and not copy.whole


def test_a_pruned_note_of_another_key_is_not_believed() -> None:
    store, disk = archived(), SimulatedDisk()
    store.put(pruned_key(LOG, NAME, FIRSTS[1]), b"muniment.dev/pruned/v1\n")
    copy = laid(store, disk)
    assert [finding.file for finding in copy.findings] == ["logs/a/b/pruned"]
    assert SEGMENTS[0] in disk.files()


def test_a_store_without_the_shard_says_so() -> None:
    with pytest.raises(UnknownShard, match="a/b"):
        laid(SimulatedStore(), SimulatedDisk())


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.CREDENTIALS])
def test_a_copy_is_interrupted_at_every_call_and_goes_on(fault: Fault) -> None:
    disk, number = SimulatedDisk(), 0
    while True:
        store = archived()
        store.page = 2
        store.faults.plan = lambda call, at=number: fault if call.number >= at else None  # type: ignore[misc]
        source = None
        try:
            source = StoreDisk(store, insist=AT_ONCE)
            lay_down(store, LOG, NAME, DIRECTORY, disk, all_segments=True, source=source)
        except StoreFailing:
            number += 1
        else:
            break
        finally:
            if source is not None:
                source.close()
    assert number > 5 and disk.files() == FILES


def test_a_companion_that_lies_does_not_hide_its_segment() -> None:
    store, disk = archived(), SimulatedDisk()
    key = tree_key(LOG, NAME, FIRSTS[1])
    true = Companion.decode(store.backing.contents()[key], key)
    store.backing.poke(key, replace(true, digest=bytes(32)).encode())
    copy = laid(store, disk)
    assert disk.files() == FILES and copy.missing == []
    assert [finding.file for finding in copy.findings] == [segment_key(LOG, NAME, FIRSTS[1])]
    assert laid(store, disk).kept == len(FIRSTS) and disk.files() == FILES


def test_a_last_segment_that_was_cut_and_sealed_again_is_found_by_its_companion() -> None:
    store, disk = archived(), SimulatedDisk()
    path = SEGMENTS[-1]
    places = all_places(WRITTEN.disk, path)
    entries = [place for place in places if place.header.kind is Kind.ENTRIES]
    cut = FILES[path][: entries[-1].offset]
    store.backing.poke(segment_key(LOG, NAME, FIRSTS[-1]), cut)
    copy = laid(store, disk)
    assert copy.missing == [(entries[-1].header.first, SIZE)] and not copy.whole
