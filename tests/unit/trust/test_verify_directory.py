"""Verification of a whole data directory: every file in it is looked at and accounted for."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment import kernel
from muniment.access.caller import Scope
from muniment.access.tokens import Tokens
from muniment.errors import NotFound
from muniment.log import Batch, Shard
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Signer
from muniment.trust.directory import evidence_bytes, shard_directories, verify_directory

SHARDS = {("edge", "0a0a0a0a"): 1, ("edge", "0b0b0b0b"): 2, ("admin", "0c0c0c0c"): 3}


def signer(log: str, shard: str) -> Signer:
    return Signer(f"muniment.local/{log}/{shard}", bytes([SHARDS[log, shard]] * 32))


def write(directory: Path, log: str, shard: str, *records: bytes) -> str:
    """Puts entries into a shard and returns the receipt."""
    opened = Shard.open(directory / "logs" / log / shard, signer(log, shard), log=log)
    answer = opened.submit(Batch(kernel.pack_records(records, b"{}\n"))).result(60)
    opened.close()
    return answer.receipt


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pristine") / "data"
    for name in ("keys", "access", "index"):
        (directory / name).mkdir(parents=True)
    Tokens.open(directory / "access" / "tokens.json").create("admin", list(Scope))
    for log, shard in SHARDS:
        Shard.create(directory / "logs" / log / shard, signer(log, shard))
        key = directory / "keys" / f"{log}.{shard}.key"
        key.write_text(signer(log, shard).export() + "\n")
        write(directory, log, shard, b"a", b"b", b"c")
    return directory


@pytest.fixture
def data(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "data")


def named(data: Path) -> list[str]:
    """The files that the findings name, below the directory."""
    findings = verify_directory(data).findings
    return [str(Path(finding.file).relative_to(data)) for finding in findings]


def test_an_untouched_directory_is_intact(data: Path) -> None:
    report = verify_directory(data)
    assert report.intact and report.findings == [] and report.notes == []
    origins = [shard.origin for shard in report.shards]
    assert sorted(origins) == sorted(f"muniment.local/{log}/{shard}" for log, shard in SHARDS)
    assert all(shard.size == 3 and shard.segments == 1 for shard in report.shards)
    assert sum(shard.bytes for shard in report.shards) == evidence_bytes(data)


def test_progress_adds_up_to_the_bytes_of_the_evidence(data: Path) -> None:
    steps: list[int] = []
    verify_directory(data, progress=steps.append, jobs=2)
    assert sum(steps) == evidence_bytes(data) and len(steps) == 3


def all_files(data: Path) -> Iterator[Path]:
    return (path for path in sorted(data.rglob("*")) if path.is_file())


def test_every_single_file_is_missed_when_it_is_gone(data: Path, tmp_path: Path) -> None:
    paths = list(all_files(data))
    assert len(paths) == 3 * 4 + 1
    for path in paths:
        path.rename(tmp_path / "away")
        assert named(data), path
        (tmp_path / "away").rename(path)
        assert named(data) == []


def test_a_bit_in_every_byte_of_keys_and_tokens(data: Path) -> None:
    for path in [*(data / "keys").iterdir(), data / "access" / "tokens.json"]:
        kept = path.read_bytes()
        for offset in range(len(kept)):
            flipped = kept[offset] ^ 1 << offset % 8
            path.write_bytes(kept[:offset] + bytes([flipped]) + kept[offset + 1 :])
            assert str(path.relative_to(data)) in named(data), (path, offset)
        path.write_bytes(kept)


def test_a_bit_in_a_byte_of_every_file_of_every_shard(data: Path) -> None:
    for path in all_files(data / "logs"):
        kept = path.read_bytes()
        for offset in range(0, len(kept), 41):
            path.write_bytes(kept[:offset] + bytes([kept[offset] ^ 4]) + kept[offset + 1 :])
            assert str(path.relative_to(data)) in named(data), (path, offset)
        path.write_bytes(kept)


STRANGE = [
    "notes.txt",
    "logs/notes.txt",
    "logs/edge/notes.txt",
    "logs/edge/0a0a0a0a/notes.txt",
    "logs/edge/0a0a0a0a/tiles/9",
    "keys/edge.0d0d0d0d.key",
    "access/other.json",
    "index/gone",
]


@pytest.mark.parametrize("name", STRANGE)
def test_what_does_not_belong_there_is_named(data: Path, name: str) -> None:
    if name.startswith("index"):
        (data / name).mkdir()
    else:
        (data / name).write_bytes(b"")
    assert named(data) == [name]


def test_shards_and_keys_in_each_others_places(data: Path) -> None:
    one, other = (data / "keys" / f"edge.{shard}.key" for shard in ("0a0a0a0a", "0b0b0b0b"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    assert named(data) == [f"keys/{one.name}", f"keys/{other.name}"]
    one.write_bytes(first)
    other.write_bytes(second)
    edge = data / "logs" / "edge"
    (edge / "0a0a0a0a").rename(edge / "x")
    (edge / "0b0b0b0b").rename(edge / "0a0a0a0a")
    (edge / "x").rename(edge / "0b0b0b0b")
    keys = [f"keys/{one.name}", f"keys/{other.name}"]
    verifiers = [f"logs/edge/{shard}/verifier" for shard in ("0a0a0a0a", "0b0b0b0b")]
    assert named(data) == [*verifiers, *keys]


def test_a_shard_under_the_name_of_another_is_found_without_any_private_key(data: Path) -> None:
    shutil.rmtree(data / "logs" / "edge" / "0a0a0a0a")
    shutil.copytree(data / "logs" / "edge" / "0b0b0b0b", data / "logs" / "edge" / "0a0a0a0a")
    (data / "keys" / "edge.0a0a0a0a.key").unlink()
    assert "logs/edge/0a0a0a0a/verifier" in named(data)


def test_a_removed_shard_is_missed_by_its_key_and_by_a_receipt(data: Path) -> None:
    receipt = write(data, "edge", "0a0a0a0a", b"d")
    assert verify_directory(data, trust=[receipt]).intact
    shutil.rmtree(data / "logs" / "edge" / "0a0a0a0a")
    assert named(data) == ["keys/edge.0a0a0a0a.key"]
    (data / "keys" / "edge.0a0a0a0a.key").unlink()
    assert named(data) == []
    (finding,) = verify_directory(data, trust=[receipt]).findings
    assert "muniment.local/edge/0a0a0a0a" in finding.problem


def test_a_rolled_back_directory_is_found_with_a_later_receipt(data: Path, tmp_path: Path) -> None:
    old = shutil.copytree(data, tmp_path / "old")
    receipt = write(data, "admin", "0c0c0c0c", b"deleted everything")
    assert verify_directory(data, trust=[receipt]).intact
    assert verify_directory(old).intact
    (finding,) = verify_directory(old, trust=[receipt]).findings
    assert finding.file == str(old / "logs" / "admin" / "0c0c0c0c")
    assert "4 entries" in finding.problem


def test_a_known_key_must_be_the_shards(data: Path) -> None:
    ours = [signer(log, shard).verifier for log, shard in SHARDS]
    assert verify_directory(data, keys=ours).intact
    wrong = Signer(ours[0].name, bytes([9] * 32)).verifier
    (finding,) = verify_directory(data, keys=[wrong, *ours[1:]]).findings
    assert finding.file.endswith("0a0a0a0a/verifier")
    assert verify_directory(data, keys=[wrong, *ours]).intact


def test_a_directory_that_a_server_holds_is_verified_as_far_as_it_went(data: Path) -> None:
    descriptor = os.open(data, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    report = verify_directory(data)
    os.close(descriptor)
    assert report.intact and any("server" in note for note in report.notes)
    assert verify_directory(data).notes == []


def test_a_log_or_a_shard_can_be_verified_alone(data: Path) -> None:
    logs = data / "logs"
    assert [len(shard_directories(p)) for p in (data, logs / "edge", logs / "admin")] == [3, 2, 1]
    shard = logs / "edge" / "0a0a0a0a"
    assert shard_directories(shard) == [shard]
    assert verify_directory(shard).intact and verify_directory(logs / "edge").intact
    (shard / "verifier").unlink()
    assert shard_directories(shard) == [shard]
    assert not verify_directory(shard).intact


@pytest.mark.parametrize("name", ["nothing", "keys", "keys/edge.0a0a0a0a.key"])
def test_where_there_is_no_log_there_is_nothing_to_verify(data: Path, name: str) -> None:
    with pytest.raises(NotFound):
        verify_directory(data / name)


def test_a_receipt_names_the_entries_it_covers(data: Path) -> None:
    receipt = write(data, "edge", "0b0b0b0b", b"d", b"e")
    checkpoint = Checkpoint.of_note(receipt)
    assert (checkpoint.origin, checkpoint.size) == ("muniment.local/edge/0b0b0b0b", 5)
