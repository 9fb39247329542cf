"""A shard that is only read: what it answers without its private key."""

from __future__ import annotations

import pytest
from archived_shard import FILES, LOG, SIZE, WRITTEN
from simulated_disk import SimulatedDisk
from small_shard import DIRECTORY, GROUPS, OTHER, SIGNER, live

from muniment import kernel
from muniment.errors import Conflict, Corrupt, NoSuchEntry, Unavailable
from muniment.log import Acknowledgement, Batch
from muniment.log.checkpoint import Checkpoint
from muniment.log.merkle import check_inclusion, leaf_hash
from muniment.log.note import Note
from muniment.store.read_only import ReadOnlyShard


@pytest.fixture
def shard() -> ReadOnlyShard:
    disk = SimulatedDisk()
    disk.make_directory(DIRECTORY / "tiles")
    for path, data in FILES.items():
        disk.poke(path, data)
    return ReadOnlyShard(LOG, DIRECTORY, disk, detail="restored")


def test_it_has_the_entries_and_a_signed_checkpoint_of_all(shard: ReadOnlyShard) -> None:
    assert (shard.size, shard.published_size, shard.origin) == (SIZE, SIZE, "a/b")
    assert shard.reader.read(0).entries == WRITTEN.entries
    note = shard.checkpoint()
    assert note is not None
    Note.parse(note).check([SIGNER.verifier])
    assert Checkpoint.of_note(note).size == SIZE
    assert shard.verifier == str(SIGNER.verifier)
    assert shard.health.ok and not shard.writable and "restored" in shard.health.reason


@pytest.mark.parametrize("index", [0, 255, 300, SIZE - 1])
def test_every_entry_can_be_proven(shard: ReadOnlyShard, index: int) -> None:
    proof = shard.prove(index)
    checkpoint = Checkpoint.of_note(proof.note)
    leaf = leaf_hash(WRITTEN.entries[index])
    check_inclusion(index, checkpoint.size, leaf, proof.path, checkpoint.root)
    with pytest.raises(NoSuchEntry):
        shard.prove(SIZE)


def test_a_batch_that_comes_again_gets_its_first_receipt(shard: ReadOnlyShard) -> None:
    batch = Batch(kernel.pack_records([b"1", b"2"], b'{"id":"n"}\n'), "n")
    assert shard.knows("n") and not shard.knows("m") and list(shard.batch_ids()) == ["n"]
    answer = shard.submit(batch).result(1)
    assert isinstance(answer, Acknowledgement) and answer.replayed and answer.count == 2
    assert answer.receipt in WRITTEN.receipts
    with pytest.raises(Conflict):
        shard.submit(Batch(kernel.pack_records([b"3"], b""), "n")).result(1)


def test_anything_new_is_refused(shard: ReadOnlyShard) -> None:
    with pytest.raises(Unavailable, match="read-only"):
        shard.offer(Batch(kernel.pack_records([b"x"], b"")), lambda _answer: None)


def test_an_empty_shard_is_shown_empty() -> None:
    shard = ReadOnlyShard(LOG, DIRECTORY, live([]).disk)
    assert (shard.size, shard.checkpoint()) == (0, None)


@pytest.mark.parametrize("moment", range(len(GROUPS) + 1))
def test_it_ends_where_the_last_whole_commit_ended(moment: int) -> None:
    """As another node left it that was fenced, or killed."""
    written = live(GROUPS)
    disk = written.moments[moment]
    for path, data in disk.files().items():
        if path.suffix == ".seg" and moment:
            disk.poke(path, data + b"MNMF torn")
    entries = sum(batch.count for group in GROUPS[:moment] for batch in group)
    assert ReadOnlyShard(LOG, DIRECTORY, disk).size == entries


def test_another_signature_is_found() -> None:
    disk = live(GROUPS).disk
    disk.poke(DIRECTORY / "verifier", f"{OTHER.verifier}\n".encode())
    with pytest.raises(Corrupt, match="signed"):
        ReadOnlyShard(LOG, DIRECTORY, disk)
