"""Verification in passing: of an empty shard, beside a writer, in parallel, after a bad header."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_clock import FakeClock
from live_shard import DIRECTORY, SIGNER, lines, new_shard, take
from simulated_disk import SimulatedDisk

from muniment import kernel
from muniment.log import Batch, Shard
from muniment.log.disk import PosixDisk
from muniment.log.verify import verify_shard


def test_an_empty_shard_is_intact() -> None:
    shard, disk = new_shard()
    for _ in range(2):
        report = verify_shard(DIRECTORY, disk=disk, keys=[SIGNER.verifier])
        assert (report.findings, report.size, report.segments) == ([], 0, 0)
        shard.close()


def test_a_shard_that_is_being_written_is_intact_at_every_byte() -> None:
    """A reader may see any beginning of what the writer appends."""
    shard, disk = new_shard()
    take(shard, lines("a", "b"))
    assert shard.wait_published(2, 60)
    take(shard, lines(*(str(number) for number in range(300))))
    before = disk.copy()
    for text in "cdef":
        take(shard, lines(text * 100, id_=text))
    shard.close()
    assert len(disk.names(DIRECTORY)) > len(before.names(DIRECTORY))  # a new segment
    for path, whole in disk.files().items():
        known = before.files().get(path, b"")
        assert whole.startswith(known)
        for length in range(len(known), len(whole), 7):
            seen = before.copy()
            seen.poke(path, whole[:length])
            report = verify_shard(DIRECTORY, disk=seen, live=True)
            assert [str(finding) for finding in report.findings] == []
            assert report.size >= 302
        before.poke(path, whole)  # the next file is written to after this one


def test_damage_beside_a_writer_is_found() -> None:
    shard, disk = new_shard()
    take(shard, lines("a", "b"))
    shard.close()
    for path, whole in disk.files().items():
        for offset in range(0, len(whole), 5):
            damaged = disk.copy()
            damaged.poke(path, whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
            assert verify_shard(DIRECTORY, disk=damaged, live=True).findings, (path, offset)


def test_tiles_under_a_published_checkpoint_cannot_be_short_beside_a_writer() -> None:
    shard, disk = new_shard()
    take(shard, lines(*(str(number) for number in range(600))))
    shard.close()
    for length in range(64):
        damaged = disk.copy()
        damaged.poke(DIRECTORY / "tiles" / "1", disk.files()[DIRECTORY / "tiles" / "1"][:length])
        (finding,) = verify_shard(DIRECTORY, disk=damaged, live=True).findings
        assert finding.file.endswith("tiles/1")


def test_the_segments_may_be_ahead_of_the_checkpoints_that_were_read_first() -> None:
    clock = FakeClock()
    shard, disk = new_shard(clock=clock)
    for number in range(4):
        take(shard, lines("x"))
        assert shard.wait_published(number + 1, 60)
        clock.seconds += 2
    shard.close()
    path = DIRECTORY / "checkpoints"
    whole = disk.files()[path]
    for length in range(0, len(whole), 9):
        seen = disk.copy()
        seen.poke(path, whole[:length])
        assert verify_shard(DIRECTORY, disk=seen, live=True).findings == []
        assert verify_shard(DIRECTORY, disk=seen).findings


def test_segments_in_parallel_give_the_same_report(tmp_path: Path) -> None:
    disk = PosixDisk()
    directory = tmp_path / "11111111"
    Shard.create(directory, SIGNER)
    for number in range(3):
        shard = Shard.open(directory, SIGNER, log="web")
        take(shard, lines(*(f"{number} {n}" for n in range(200))))
        shard.close()
    alone = verify_shard(directory, disk=disk)
    together = verify_shard(directory, disk=disk, jobs=2)
    assert alone == together and alone.findings == []
    assert alone.size == 600 and alone.checkpoints == 3


@pytest.mark.parametrize("header", ["[" * 60_000, "{", "null", "[]", '{"id":[]}', '{"id":{}}', ""])
def test_whatever_stands_in_a_receipt_header_verification_does_not_fall(header: str) -> None:
    shard, disk = new_shard(limits=None)
    records = [header.encode() + b"\nx"]
    take(shard, Batch(kernel.pack_records(records, b""), "some-id"))
    shard.close()
    report = verify_shard(DIRECTORY, disk=disk)
    assert report.size in (0, 1)
    assert all(finding.file.endswith(".seg") for finding in report.findings)


def test_a_batch_id_must_be_that_of_its_entries() -> None:
    for id_ in ("right", "wrong"):
        shard, disk = new_shard()
        header = json.dumps({"id": "right"}).encode() + b"\n"
        take(shard, Batch(kernel.pack_records([b"x"], header), id_))
        shard.close()
        assert bool(findings(disk)) == (id_ == "wrong")


def findings(disk: SimulatedDisk) -> list[str]:
    return [str(finding) for finding in verify_shard(DIRECTORY, disk=disk).findings]
