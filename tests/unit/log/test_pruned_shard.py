"""A shard whose first segments have expired: what remains is read, proved, verified, continued."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_shard import DIRECTORY, SIGNER, Model, entry, lines, new_shard, open_shard, take
from pruning import HurryingClock, firsts, note_of, prune, remove_segments, state_act
from simulated_disk import SimulatedDisk

from muniment.errors import Corrupt, Expired, InputError, NoSuchEntry, SignatureInvalid
from muniment.log import Shard, ShardReader
from muniment.log.checkpoint import Checkpoint, split_notes
from muniment.log.committer import CHECKPOINTS
from muniment.log.disk import write_file
from muniment.log.merkle import check_consistency, check_inclusion, leaf_hash
from muniment.log.note import Note, Signer
from muniment.log.pruned import PRUNED, Pruned, parse_pruned
from muniment.log.segment import segment_name
from muniment.log.tiles import DIRECTORY as TILES
from muniment.log.verify import verify_shard

PIECES = 12
PIECE = 100


@pytest.fixture
def written() -> tuple[Shard, SimulatedDisk]:
    """A shard of many small segments, 1,200 entries, each commit of 100 published."""
    shard, disk = new_shard(clock=HurryingClock())
    for piece in range(PIECES):
        texts = [f"entry {piece * PIECE + number} {'x' * 8}" for number in range(PIECE)]
        found = take(shard, lines(*texts))
        assert shard.wait_published(found.first + found.count, 30)
    return shard, disk


def checkpoints(disk: SimulatedDisk) -> list[Checkpoint]:
    data = disk.read(DIRECTORY / CHECKPOINTS).decode()
    return [Checkpoint.of_note(text) for text in split_notes(data)]


def middle(disk: SimulatedDisk, least: int = 1) -> int:
    """The beginning of a segment that is not at a multiple of 256."""
    return next(first for first in firsts(disk) if first >= least and first % 256)


def entries_of(shard: Shard) -> list[bytes]:
    return [shard.reader.entry(index) for index in range(shard.reader.minimum, shard.size)]


def assert_proofs(reader: ShardReader, entries: list[bytes], disk: SimulatedDisk) -> None:
    """Every remaining entry is proved under every checkpoint from the minimum on."""
    minimum = reader.minimum
    found = [one for one in checkpoints(disk) if one.size >= minimum]
    for one in found:
        assert reader.root_at(one.size) == one.root
        for index in range(minimum, one.size, 7):
            path = reader.inclusion_proof(index, one.size)
            leaf = leaf_hash(entries[index - minimum])
            check_inclusion(index, one.size, leaf, path, one.root)
    for old, new in pairwise(found):
        path = reader.consistency_proof(old.size, new.size)
        check_consistency(old.size, new.size, path, old.root, new.root)


def test_entries_below_the_minimum_have_expired(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    minimum = middle(disk, 300)
    prune(shard, disk, minimum)
    reader = ShardReader(DIRECTORY, disk)
    reader.advance(shard.size)
    assert reader.minimum == minimum
    for index in (0, minimum - 1):
        for call in (reader.entry, reader.packed, reader.read, reader.root_after):
            with pytest.raises(Expired, match="has expired"):
                call(index)
    assert reader.entry(minimum) == shard.reader.entry(minimum)
    assert reader.packed(minimum).first == minimum
    with pytest.raises(NoSuchEntry):
        reader.entry(shard.size)
    shard.close()


def test_tiles_are_as_tlog_tiles_asks(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    model = Model(entries_of(shard))
    minimum = middle(disk, 600)
    prune(shard, disk, minimum)
    reader = ShardReader(DIRECTORY, disk)
    reader.advance(1200)
    cut = minimum // 256
    for number in range(cut):
        with pytest.raises(Expired):
            reader.tile(0, number)
        with pytest.raises(Expired):
            reader.entry_bundle(number)
    with pytest.raises(Expired):
        reader.entry_bundle(cut)
    for width in (1, minimum % 256, minimum % 256 + 1, 256):
        assert reader.tile(0, cut, width) == model.tile(0, cut, width)
    assert reader.tile(1, 0, 4) == model.tile(1, 0, 4)
    assert reader.entry_bundle(cut + 1) == model.bundle(cut + 1, 256)
    shard.close()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), rounds=st.integers(1, 3))
def test_all_proofs_of_what_remains_hold(seed: int, rounds: int) -> None:
    random = Random(seed)
    shard, disk = new_shard(clock=HurryingClock())
    for _ in range(random.randrange(4, 9)):
        count = random.randrange(1, 180)
        found = take(shard, lines(*[f"{random.random()}" for _ in range(count)]))
        assert shard.wait_published(found.first + found.count, 30)
    for _ in range(rounds):
        places = [first for first in firsts(disk)[:-1] if first > shard.reader.minimum]
        if places:
            prune(shard, disk, random.choice(places))
        assert_proofs(shard.reader, entries_of(shard), disk)
        fresh = ShardReader(DIRECTORY, disk)
        fresh.advance(shard.size)
        assert_proofs(fresh, entries_of(shard), disk)
    shard.close()
    report = verify_shard(DIRECTORY, disk=disk)
    assert report.findings == []


def test_it_is_intact_and_goes_on(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    minimum = middle(disk, 500)
    prune(shard, disk, minimum)
    shard.close()
    report = verify_shard(DIRECTORY, disk=disk)
    assert report.findings == []
    assert (report.minimum, report.size) == (minimum, 1201)
    again = open_shard(disk, clock=HurryingClock())
    assert again.reader.minimum == minimum
    take(again, lines("after"))
    assert again.reader.entry(1201) == entry("after")
    prune(again, disk, firsts(disk)[2])
    again.close()
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_segments_that_are_still_there_are_no_finding(
    written: tuple[Shard, SimulatedDisk],
) -> None:
    shard, disk = written
    minimum = middle(disk, 500)
    prune(shard, disk, minimum, remove=False)
    disk.remove(DIRECTORY / segment_name(firsts(disk)[1]))
    shard.close()
    report = verify_shard(DIRECTORY, disk=disk)
    assert report.findings == []
    assert any("still to be removed" in note for note in report.notes)
    open_shard(disk).close()


def test_a_missing_segment_without_a_note_is_found(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    shard.close()
    minimum = firsts(disk)[3]
    remove_segments(disk, minimum)
    report = verify_shard(DIRECTORY, disk=disk)
    assert f"begins with entry {minimum}, entry 0 is next" in str(report.findings[0])


def test_a_missing_segment_behind_the_minimum_is_found(
    written: tuple[Shard, SimulatedDisk],
) -> None:
    shard, disk = written
    prune(shard, disk, firsts(disk)[3])
    shard.close()
    disk.remove(DIRECTORY / segment_name(firsts(disk)[0]))
    report = verify_shard(DIRECTORY, disk=disk)
    assert report.findings and "is next" in str(report.findings[0])


def test_a_removed_note_is_found(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    prune(shard, disk, firsts(disk)[3])
    shard.close()
    disk.remove(DIRECTORY / PRUNED)
    assert verify_shard(DIRECTORY, disk=disk).findings


def test_a_note_beyond_the_truth_is_found(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    note = note_of(shard, firsts(disk)[4], state_act(shard, firsts(disk)[3]))
    shard.close()
    write_file(disk, DIRECTORY / PRUNED, note.note.encode())
    remove_segments(disk, note.minimum)
    report = verify_shard(DIRECTORY, disk=disk)
    assert "which says something else" in str(report.findings)


def test_a_log_cut_short_behind_its_note_is_found(
    written: tuple[Shard, SimulatedDisk],
) -> None:
    shard, disk = written
    shard.close()
    minimum = firsts(disk)[3]
    edge = shard.reader.tile(0, minimum // 256, minimum % 256) if minimum % 256 else b""
    note = Pruned.sign(SIGNER, minimum, 5_000, shard.reader.root_at(minimum), edge)
    write_file(disk, DIRECTORY / PRUNED, note.note.encode())
    remove_segments(disk, minimum)
    report = verify_shard(DIRECTORY, disk=disk)
    assert "rolled back or cut short: here are 1200 entries" in str(report.findings)


def test_a_note_beyond_the_end_is_found(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    note = Pruned.sign(SIGNER, 5_000, 6_000, bytes(32), bytes(32 * (5_000 % 256)))
    shard.close()
    write_file(disk, DIRECTORY / PRUNED, note.note.encode())
    assert "the rest is missing" in str(verify_shard(DIRECTORY, disk=disk).findings)


@pytest.mark.parametrize("field", ["root", "edge", "act"])
def test_a_note_with_other_hashes_is_found(
    written: tuple[Shard, SimulatedDisk], field: str
) -> None:
    shard, disk = written
    minimum = middle(disk, 500)
    good = note_of(shard, minimum, state_act(shard, minimum))
    changed = {"root": bytes(32), "edge": bytes(len(good.edge)), "act": minimum + 1}
    said = {"act": good.act, "root": good.root, "edge": good.edge} | {field: changed[field]}
    note = Pruned.sign(SIGNER, minimum, **said)  # type: ignore[arg-type]
    shard.close()
    write_file(disk, DIRECTORY / PRUNED, note.note.encode())
    remove_segments(disk, minimum)
    assert verify_shard(DIRECTORY, disk=disk).findings


def test_tile_hashes_of_expired_entries_are_bound(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    prune(shard, disk, middle(disk, 800))
    shard.close()
    path = DIRECTORY / TILES / "1"
    data = bytearray(disk.read(path))
    for bit in range(0, 3 * 32 * 8, 37):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        write_file(disk, path, bytes(flipped))
        assert verify_shard(DIRECTORY, disk=disk).findings, bit
    write_file(disk, path, bytes(data))
    assert verify_shard(DIRECTORY, disk=disk).findings == []


def test_checkpoints_of_expired_entries_are_signed_and_in_order(
    written: tuple[Shard, SimulatedDisk],
) -> None:
    shard, disk = written
    prune(shard, disk, middle(disk, 800))
    shard.close()
    path = DIRECTORY / CHECKPOINTS
    notes = split_notes(disk.read(path).decode())
    other = Signer(SIGNER.verifier.name, bytes(32)).sign(Note.parse(notes[0]).text)
    for wrong in ([*notes[1::-1], *notes[2:]], [other, *notes[1:]]):
        write_file(disk, path, "".join(wrong).encode())
        assert "expected the checkpoints up to" in str(verify_shard(DIRECTORY, disk=disk).findings)


def test_checkpoints_kept_elsewhere(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    old = split_notes(disk.read(DIRECTORY / CHECKPOINTS).decode())
    receipt = SIGNER.sign(str(Checkpoint(SIGNER.verifier.name, 42, shard.reader.root_at(42))))
    lie = SIGNER.sign(str(Checkpoint(SIGNER.verifier.name, 1_100, bytes(32))))
    prune(shard, disk, middle(disk, 800))
    shard.close()
    assert verify_shard(DIRECTORY, disk=disk, trust=old).findings == []
    report = verify_shard(DIRECTORY, disk=disk, trust=[receipt])
    assert report.findings == [] and "cannot be compared" in report.notes[0]
    assert "another history" in str(verify_shard(DIRECTORY, disk=disk, trust=[lie]).findings)


def test_a_note_that_does_not_hold_stops_the_shard(written: tuple[Shard, SimulatedDisk]) -> None:
    shard, disk = written
    shard.close()
    write_file(disk, DIRECTORY / PRUNED, b"nothing\n")
    with pytest.raises(Corrupt, match="a pruned note signed by"):
        open_shard(disk)
    assert "a pruned note signed by" in str(verify_shard(DIRECTORY, disk=disk).findings)


@pytest.mark.fuzz
@given(st.binary(max_size=600))
def test_any_bytes_are_a_note_or_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_pruned(data, "pruned", SIGNER.verifier)


@pytest.mark.fuzz
@given(st.text(max_size=300), st.integers(0, 3))
def test_signed_nonsense_is_refused(text: str, cut: int) -> None:
    good = Pruned.sign(SIGNER, 256, 300, bytes(32), b"")
    lines_ = Note.parse(good.note).text.split("\n")
    lines_[cut] = text.replace("\n", " ")
    body = "\n".join(lines_)
    if body == Note.parse(good.note).text:
        return
    try:
        found = Pruned.parse(SIGNER.sign(body), SIGNER.verifier)
    except (InputError, SignatureInvalid):
        return
    assert found != good
