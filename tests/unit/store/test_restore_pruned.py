"""A shard of which a part has expired: verified in a store, and restored, without that part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from archived_shard import AT_ONCE, LOG, NAME
from simulated_disk import SimulatedDisk
from simulator import SimulatedStore
from small_shard import DIRECTORY, GROUPS, SIGNER, live

from muniment import kernel
from muniment.log import Batch
from muniment.log.history import segment_names
from muniment.log.pruned import EXPIRED, Pruned
from muniment.log.segment import SegmentHeader, segment_first, segment_name
from muniment.log.verify import verify_shard
from muniment.store.names import pruned_key, segment_key, tree_key, verifier_key
from muniment.store.shard_copy import lay_down
from muniment.store.tree import make_companion
from muniment.trust.stores import StoreQuestion, verify_store

MINIMUM = 261
FRONTIER = SegmentHeader.read(live(GROUPS).disk, DIRECTORY / segment_name(MINIMUM)).frontier
ACT = {
    "action": EXPIRED,
    "origin": SIGNER.verifier.name,
    "minimum": MINIMUM,
    "root": kernel.root(FRONTIER).hex(),
}
WRITTEN = live(
    [
        *GROUPS,
        [Batch(kernel.pack_records([json.dumps(ACT).encode()], b'{"via":"muniment"}\n'))],
        [],
        *GROUPS,
    ]
)
ACT_AT = sum(batch.count for group in GROUPS for batch in group)
LEAVES = kernel.leaf_hashes(
    b"".join(len(e).to_bytes(2, "big") + e for e in WRITTEN.entries[256:MINIMUM])
)
NOTE = Pruned.sign(SIGNER, MINIMUM, ACT_AT, kernel.root(FRONTIER), LEAVES).note


@pytest.fixture
def store() -> SimulatedStore:
    """The sealed segments of the shard; those that have expired are gone, their companions stay."""
    found, disk = SimulatedStore("primary"), WRITTEN.disk
    found.put(verifier_key(LOG, NAME), disk.read(DIRECTORY / "verifier"))
    for name in segment_names(disk, DIRECTORY)[:-1]:
        first = segment_first(name) or 0
        companion = make_companion(disk, DIRECTORY / name, SIGNER.verifier)
        found.put(tree_key(LOG, NAME, first), companion.encode())
        if first >= MINIMUM:
            found.put(segment_key(LOG, NAME, first), disk.read(DIRECTORY / name))
    found.put(pruned_key(LOG, NAME, MINIMUM), NOTE.encode())
    return found


def found_in(store: SimulatedStore) -> list[str]:
    return [str(f) for f in verify_store(store, StoreQuestion(insist=AT_ONCE)).findings]


def test_what_has_expired_is_not_missing(store: SimulatedStore) -> None:
    assert found_in(store) == []


def test_without_the_note_it_is_missing(store: SimulatedStore) -> None:
    store.remove(pruned_key(LOG, NAME, MINIMUM))
    assert any(segment_key(LOG, NAME, 0) in finding for finding in found_in(store))


def test_it_is_laid_down_as_the_node_had_it(store: SimulatedStore) -> None:
    disk = SimulatedDisk()
    copy = lay_down(store, LOG, NAME, DIRECTORY, disk, all_segments=True)
    assert copy.whole and copy.minimum == MINIMUM
    assert disk.read(DIRECTORY / "pruned") == NOTE.encode()
    assert DIRECTORY / segment_name(0) not in disk.files()
    assert disk.read(DIRECTORY / "tiles" / "1") == WRITTEN.disk.read(DIRECTORY / "tiles" / "1")
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_a_segment_that_outlived_its_time_in_the_store_is_not_brought_back(
    store: SimulatedStore,
) -> None:
    store.put(segment_key(LOG, NAME, 0), WRITTEN.disk.read(DIRECTORY / segment_name(0)))
    disk = SimulatedDisk()
    lay_down(store, LOG, NAME, DIRECTORY, disk, all_segments=True)
    assert DIRECTORY / segment_name(0) not in disk.files()
    assert found_in(store) == []


@pytest.mark.parametrize("key", [pruned_key(LOG, NAME, MINIMUM), tree_key(LOG, NAME, 0)])
def test_a_changed_byte_of_what_vouches_for_it_is_found(store: SimulatedStore, key: str) -> None:
    data = store.backing.contents()[key]
    for offset in range(0, len(data), 7):
        bit = 1 << offset % 8
        store.backing.poke(key, data[:offset] + bytes([data[offset] ^ bit]) + data[offset + 1 :])
        names = {Path(key).name, "pruned"}
        assert any(any(name in finding for name in names) for finding in found_in(store)), offset


def test_a_note_under_another_number_is_found(store: SimulatedStore) -> None:
    store.put(pruned_key(LOG, NAME, MINIMUM + 1), NOTE.encode())
    assert any("is the note of minimum 261" in finding for finding in found_in(store))
