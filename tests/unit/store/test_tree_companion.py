"""A companion says of a segment what the tree needs, and says it the same way after a decode."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shard import NOTES, OTHER, SEGMENTS, SHARD, SIGNER, TILES, flips

from muniment import kernel
from muniment.errors import Corrupt
from muniment.store.tree import Companion, make_companion

COMPANIONS = [make_companion(SHARD.disk, path, SIGNER.verifier) for path in SEGMENTS[:2]]
LEAVES = b"".join(sha256(b"\x00" + entry).digest() for entry in SHARD.entries)


def test_all_companions_together_make_the_checkpoints_and_the_tiles() -> None:
    assert [c.first for c in COMPANIONS] == [0, 261]
    assert [c.sealed for c in COMPANIONS] == [True, True]
    notes = "".join(note for c in COMPANIONS for note in c.notes)
    assert notes
    assert SHARD.disk.read(NOTES).decode().startswith(notes)
    hashes = b"".join(c.tiles[0] for c in COMPANIONS if c.tiles)
    assert hashes == SHARD.disk.read(TILES)


def test_a_companion_states_which_bytes_its_segment_has() -> None:
    for companion, path in zip(COMPANIONS, SEGMENTS[:2], strict=True):
        data = SHARD.disk.read(path)
        assert (companion.length, companion.digest) == (len(data), sha256(data).digest())


def test_leaves_are_those_of_the_incomplete_tile_as_far_as_they_are_in_the_segment() -> None:
    for companion in COMPANIONS:
        start = companion.leaves_first
        assert start == max(companion.first, companion.size // 256 * 256)
        assert companion.leaves == LEAVES[32 * start : 32 * companion.size]


def test_frontiers_follow_each_other_and_end_in_the_root() -> None:
    for before, after in pairwise(COMPANIONS):
        assert (before.size, before.end) == (after.first, after.start)
    assert COMPANIONS[-1].root == kernel.root(kernel.extend(b"", 0, LEAVES[: 32 * 304])[0])


def test_it_is_the_same_after_encoding_and_decoding() -> None:
    for companion in COMPANIONS:
        assert Companion.decode(companion.encode(), "c") == companion
        companion.check(SIGNER.verifier, "c")


def test_a_companion_of_another_key_is_refused() -> None:
    with pytest.raises(Corrupt, match="signed by"):
        COMPANIONS[0].check(OTHER.verifier, "c")
    with pytest.raises(Corrupt, match="origin"):
        replace(COMPANIONS[0], origin="x").check(SIGNER.verifier, "c")


def test_notes_out_of_order_or_with_another_root_are_refused() -> None:
    first = COMPANIONS[0]
    assert first.notes
    with pytest.raises(Corrupt, match="between"):
        replace(COMPANIONS[1], notes=first.notes).check(SIGNER.verifier, "c")


def test_a_flipped_bit_anywhere_is_found() -> None:
    for companion in COMPANIONS:
        data = companion.encode()
        for _, changed in flips(data, 0, len(data))[::7]:
            with pytest.raises(Corrupt):
                Companion.decode(changed, "c")


def test_frontiers_and_hashes_that_contradict_each_other_are_refused() -> None:
    other = bytes(32)
    for companion in COMPANIONS:
        lies = [replace(companion, end=other + companion.end[32:])]
        if companion.hashes:
            lies.append(replace(companion, hashes=other + companion.hashes[32:]))
        if companion.leaves:
            lies.append(replace(companion, leaves=other + companion.leaves[32:]))
        for lie in lies:
            with pytest.raises(Corrupt):
                Companion.decode(lie.encode(), "c")


def test_a_segment_without_entries_gets_none() -> None:
    with pytest.raises(Corrupt, match="entries"):
        make_companion(SHARD.disk, SEGMENTS[2], SIGNER.verifier)


def test_a_segment_that_does_not_verify_gets_no_companion() -> None:
    disk = SHARD.disk.copy()
    data = bytearray(disk.read(SEGMENTS[0]))
    data[len(data) // 2] ^= 1
    disk.poke(SEGMENTS[0], bytes(data))
    with pytest.raises(Corrupt):
        make_companion(disk, SEGMENTS[0], SIGNER.verifier)


@pytest.mark.fuzz
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_a_companion_or_corrupt(data: bytes, signed: bool) -> None:
    """`signed` gives the bytes a right CRC, so that the search gets behind it."""
    if signed:
        data = b"MUNITRE1" + data
        data += kernel.crc32c(data).to_bytes(4, "big")
    try:
        decoded = Companion.decode(data, "c")
    except Corrupt:
        return
    assert decoded.encode() == data


@pytest.mark.fuzz
@given(st.sampled_from(COMPANIONS), st.data())
def test_a_changed_companion_with_a_right_crc_is_decoded_as_it_is_or_corrupt(
    companion: Companion, data: st.DataObject
) -> None:
    body = bytearray(companion.encode()[:-4])
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    whole = bytes(body) + kernel.crc32c(bytes(body)).to_bytes(4, "big")
    try:
        decoded = Companion.decode(whole, "c")
    except Corrupt:
        return
    assert decoded.encode() == whole
