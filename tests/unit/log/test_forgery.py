"""Entries changed by somebody who knows the format and has no key, or has the key and no past."""

from __future__ import annotations

from pathlib import Path

import pytest
from forger import Forger, drop, keep, sign_with
from simulated_disk import SimulatedDisk
from small_shard import (
    DIRECTORY,
    FILES,
    GROUPS,
    NOTES,
    OTHER,
    SEGMENTS,
    SHARD,
    SIGNER,
    VERIFIER,
    findings,
    live,
    named,
    opens_unharmed,
    reader,
)

from muniment import kernel
from muniment.errors import Corrupt, ProofInvalid
from muniment.log import Batch
from muniment.log.checkpoint import Checkpoint
from muniment.log.frame import Frame, Kind
from muniment.log.proof_file import ProofFile
from muniment.log.recovery import open_tail

INDEXES = [0, 100, 249, 250, 251, 260, 261, 300, 301, 302, 303]


def segment_of(index: int) -> Path:
    return SEGMENTS[0] if index < 261 else SEGMENTS[1]


def forged(index: int, **arguments: object) -> SimulatedDisk:
    forger = Forger(SHARD.disk.copy(), DIRECTORY, {index: b"other"}, **arguments)  # type: ignore[arg-type]
    return forger.work()


def test_the_forger_knows_the_format() -> None:
    same = Forger(SHARD.disk.copy(), DIRECTORY, {}, sign_with(SIGNER)).work()
    assert same.files() == FILES


@pytest.mark.parametrize("index", INDEXES)
def test_a_forged_segment_does_not_fit_its_checkpoints_or_the_next_one(index: int) -> None:
    path = segment_of(index)
    disk = forged(index, only=path)
    assert disk.files()[path] != FILES[path]
    assert named(disk, path, *SEGMENTS[SEGMENTS.index(path) + 1 :][:1])


@pytest.mark.parametrize("index", INDEXES)
def test_a_forged_log_does_not_fit_the_signatures(index: int) -> None:
    disk = forged(index, sign=keep)
    found = findings(disk)
    later = [str(path) for path in SEGMENTS[SEGMENTS.index(segment_of(index)) :]]
    assert found and found[0].file in later
    with pytest.raises(Corrupt):
        opens_unharmed(disk)


@pytest.mark.parametrize("index", INDEXES)
def test_a_forged_log_signed_by_another_key_is_not_this_log(index: int) -> None:
    disk = forged(index, sign=sign_with(OTHER))
    later = [str(path) for path in SEGMENTS]
    assert findings(disk)[0].file in later
    with pytest.raises(Corrupt):
        opens_unharmed(disk)
    disk.poke(VERIFIER, f"{OTHER.verifier}\n".encode())
    assert findings(disk) == []  # now it is another log, whole in itself
    assert [f.file for f in findings(disk, keys=[SIGNER.verifier])] == [str(VERIFIER)]
    assert findings(disk, trust=SHARD.receipts[-1:])


@pytest.mark.parametrize("index", INDEXES)
def test_the_key_holder_cannot_forge_against_a_kept_receipt(index: int) -> None:
    disk = forged(index, sign=sign_with(SIGNER))
    assert findings(disk, keys=[SIGNER.verifier]) == []
    for receipt in SHARD.receipts:
        size = Checkpoint.of_note(receipt).size
        assert bool(findings(disk, trust=[receipt])) == (size > index)


def test_a_log_without_its_checkpoints_is_found_with_a_receipt() -> None:
    disk = Forger(SHARD.disk.copy(), DIRECTORY, {}, sign=drop).work()
    disk.poke(NOTES, None)
    assert findings(disk) == []
    assert findings(disk, trust=SHARD.receipts[-1:]) == []
    forged_too = forged(3, sign=drop)
    forged_too.poke(NOTES, None)
    assert findings(forged_too)


def test_nobody_without_the_key_can_put_a_frame_behind_the_last_checkpoint() -> None:
    disk = SHARD.disk.copy()
    (chunk,) = kernel.pack_records([b"backdated"], b"")
    with_it, _ = kernel.extend(*_end_of(disk), chunk.leaves)
    frame = Frame(Kind.ENTRIES, 304, 1, kernel.root(with_it), chunk.payload)
    last = SEGMENTS[-1]
    disk.poke(last, disk.files()[last] + frame.encode())
    assert named(disk, last)
    with pytest.raises(Corrupt):
        open_tail(disk, DIRECTORY, SIGNER.verifier)


def _end_of(disk: SimulatedDisk) -> tuple[bytes, int]:
    tail = open_tail(disk.copy(), DIRECTORY, SIGNER.verifier)
    return tail.frontier, tail.size


@pytest.mark.parametrize("index", [0, 250, 260])
def test_a_start_does_not_sign_a_history_that_is_not_under_its_checkpoint(index: int) -> None:
    """After the last checkpoint stand whole segments; their headers are under no signature."""
    shard = live([*GROUPS[:5], *([Batch(kernel.pack_records([b"u"], b""))] for _ in range(8))])
    last = shard.moments[-1]
    assert open_tail(last.copy(), DIRECTORY, SIGNER.verifier).size == 269
    for spared in ([], [SEGMENTS[1]]):
        forger = Forger(last.copy(), DIRECTORY, {index: b"other"}, verbatim=True, spared=spared)
        with pytest.raises(Corrupt):
            open_tail(forger.work(), DIRECTORY, SIGNER.verifier)
        assert findings(forger.disk)


@pytest.mark.parametrize("index", INDEXES)
def test_a_proof_from_forged_files_proves_nothing(index: int) -> None:
    disk = forged(index, sign=sign_with(OTHER))
    path = reader(disk).inclusion_proof(index, 304)
    proof = ProofFile(index, tuple(path), SHARD.receipts[-1])
    with pytest.raises(ProofInvalid):
        proof.check(b"other", [SIGNER.verifier])


def test_a_batch_id_that_is_not_that_of_the_entries_is_found() -> None:
    disk = Forger(SHARD.disk.copy(), DIRECTORY, {}, ids={"n": "m"}).work()
    assert named(disk, SEGMENTS[0])
