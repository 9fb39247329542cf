"""A reader gives what was written: entries, runs, tiles, bundles, proofs, while writing goes on."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_shard import (
    DIRECTORY,
    HEADER,
    SIGNER,
    Model,
    compare,
    entry,
    lines,
    new_shard,
    open_shard,
    take,
)
from simulated_disk import Fault, always

from muniment import kernel
from muniment.errors import Corrupt, NoSuchEntry
from muniment.log import Batch, Shard, ShardReader
from muniment.log.disk import PosixDisk
from muniment.log.frame import END, Frame, Kind
from muniment.log.verify import verify_shard

batches = st.lists(
    st.lists(st.text(max_size=80), min_size=1, max_size=120).map(lambda texts: lines(*texts)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25)
@given(batches, st.data())
def test_a_reader_equals_a_model_in_memory(batches: list[Batch], data: st.DataObject) -> None:
    shard, disk = new_shard()
    other = ShardReader(DIRECTORY, disk)
    expected: list[bytes] = []
    sizes = [0]
    for batch in batches:
        answer = take(shard, batch)
        assert (answer.first, answer.count) == (len(expected), batch.count)
        expected += [e for chunk in batch.chunks for e in kernel.unpack(chunk.payload)]
        sizes.append(len(expected))
        other.advance(data.draw(st.sampled_from(sizes)))
        index = data.draw(st.integers(0, len(expected) - 1))
        assert shard.reader.entry(index) == expected[index]
        if other.size:
            index = data.draw(st.integers(0, other.size - 1))
            assert other.entry(index) == expected[index]
    model = Model(expected)
    other.advance(len(expected))
    for reader in (shard.reader, other):
        compare(reader, model, sizes)
    shard.close()
    late = ShardReader(DIRECTORY, disk)
    late.advance(len(expected))
    compare(late, model, sizes)
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_a_reader_sees_what_it_was_told_of_and_no_more() -> None:
    shard, disk = new_shard()
    take(shard, lines("a", "b", "c"))
    reader = ShardReader(DIRECTORY, disk)
    for size in range(4):
        reader.advance(size)
        assert reader.size == size
        assert reader.read(0).entries == [entry(t) for t in "abc"[:size]]
        assert reader.read(size).entries == []
        for index in (-1, size, size + 1):
            with pytest.raises(NoSuchEntry):
                reader.entry(index)
    reader.advance(1)
    assert reader.size == 3
    shard.close()


def test_runs_keep_their_bounds() -> None:
    shard, _ = new_shard()
    texts = [f"{number:03d}" for number in range(300)]
    for start in range(0, 300, 7):
        take(shard, lines(*texts[start : start + 7]))
    length = len(entry("000"))
    for start, count, size in [(0, 300, 1 << 20), (5, 11, 1 << 20), (298, 9, 99), (7, 50, 0)]:
        run = shard.reader.read(start, count, size)
        assert run.first == start
        expected = texts[start : min(300, start + min(count, max(1, size // length)))]
        assert run.entries == [entry(text) for text in (expected if size else [])]
    assert shard.reader.read(3, 5, 1).entries == [entry("003")]
    shard.close()


def test_proofs_outside_the_tree_are_refused() -> None:
    shard, _ = new_shard()
    take(shard, lines("a", "b", "c"))
    for index, size in [(3, 3), (0, 4), (-1, 3)]:
        with pytest.raises(NoSuchEntry):
            shard.reader.inclusion_proof(index, size)
    for old, new in [(0, 4), (3, 2), (-1, 2)]:
        with pytest.raises(NoSuchEntry):
            shard.reader.consistency_proof(old, new)
    shard.close()


def test_a_proof_of_each_entry_under_the_published_checkpoint() -> None:
    shard, _ = new_shard()
    texts = [str(number) for number in range(40)]
    take(shard, lines(*texts))
    assert shard.wait_published(40, timeout=60)
    for index, text in enumerate(texts):
        assert shard.prove(index).check(entry(text), [SIGNER.verifier]).size == 40
    with pytest.raises(NoSuchEntry):
        shard.prove(40)
    shard.close()


def test_the_level_two_tiles_of_more_than_65_536_entries(tmp_path: Path) -> None:
    """On a real disk, with segments of their real size."""
    directory = tmp_path / "11111111"
    Shard.create(directory, SIGNER)
    shard = open_shard(PosixDisk(), directory, limits=None)
    for start in range(0, 66_000, 3_000):
        records = [b"%d" % number for number in range(start, start + 3_000)]
        take(shard, Batch(kernel.pack_records(records, b"")))
    model = Model([b"%d" % number for number in range(66_000)])
    assert shard.reader.tile(2, 0, 1) == model.tile(2, 0, 1)
    assert shard.reader.tile(1, 0, 256) == model.tile(1, 0, 256)
    assert shard.reader.tile(1, 1, 1) == model.tile(1, 1, 1)
    for level, number, width in [(2, 0, 2), (2, 1, 1), (3, 0, 1), (1, 1, 2), (0, 257, 209)]:
        with pytest.raises(NoSuchEntry):
            shard.reader.tile(level, number, width)
    random = Random(1)
    for size in (65_535, 65_536, 65_537, 66_000):
        for index in (0, size - 1, random.randrange(size)):
            assert shard.reader.inclusion_proof(index, size) == model.tree.path(index, 0, size)
        old = random.randrange(1, size)
        assert shard.reader.consistency_proof(old, size) == model.tree.proof(old, size)
    shard.close()
    assert verify_shard(directory, keys=[SIGNER.verifier]).findings == []
    assert sorted(p.name for p in (directory / "tiles").iterdir()) == ["1", "2"]


def test_an_entry_that_looks_like_the_end_of_a_segment_misleads_nobody() -> None:
    """Its sender can know where in the file it will stand; a made-up seal is still no seal."""
    shard, disk = new_shard(limits=None)
    take(shard, lines("true"))
    path = DIRECTORY / "00000000000000000000.seg"
    made_up = kernel.pack_records([b"false"], b"")[0]
    for guess in range(60, 100):
        offset = disk.size(path) + 72 + 2 + len(HEADER)
        fake = Frame(Kind.ENTRIES, 0, 1, bytes(32), made_up.payload).encode()
        listed = (0).to_bytes(8, "big") + offset.to_bytes(4, "big")
        seal = Frame(Kind.SEAL, guess, 0, bytes(32), listed).encode()
        trailer = END + (offset + len(fake)).to_bytes(8, "big")
        answer = take(shard, Batch(kernel.pack_records([fake + seal + trailer], HEADER)))
        late = ShardReader(DIRECTORY, disk)
        late.advance(answer.first + 1)
        assert late.entry(0) == entry("true")
        assert late.entry(answer.first) == HEADER + fake + seal + trailer
    shard.close()


def test_tiles_that_are_not_written_yet_are_an_error_and_not_wrong() -> None:
    shard, disk = new_shard()
    disk.plan = always("create", DIRECTORY / "tiles" / "1", Fault.FAILED)
    answer = take(shard, lines(*(str(number) for number in range(300))))
    assert answer.count == 300 and shard.reader.entry(299) == entry("299")
    with pytest.raises((Corrupt, FileNotFoundError)):
        shard.reader.tile(1, 0, 1)
    disk.plan = lambda step: None
    shard.close()
    assert shard.reader.tile(1, 0, 1) == Model([entry(str(n)) for n in range(256)]).tile(1, 0, 1)


def test_a_reader_that_nobody_needs_is_gone_at_once() -> None:
    """What it keeps is megabytes; who looks at many shards opens one after the other."""
    shard, disk = new_shard()
    take(shard, lines("a"))
    other = ShardReader(DIRECTORY, disk)
    other.advance(1)
    assert other.entry(0) == entry("a")
    gone = weakref.ref(other)
    gc.disable()
    try:
        del other
        assert gone() is None
    finally:
        gc.enable()
    shard.close()
