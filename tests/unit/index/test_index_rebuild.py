"""An index made again from the evidence has the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from index_fixture import LOG, SHARD, all_rows, entries, open_index, table_of

from muniment import kernel
from muniment.errors import UnknownLog
from muniment.index import IndexInUse, check_index, rebuild
from muniment.index.rebuild import find_durable_size
from muniment.log import Batch, Shard
from muniment.log.note import Signer

HEADER = b'{"at":"2026-03-01T10:00:00.000000Z","as":"text"}\n'
SIGNER = Signer(f"muniment.local/{LOG}/{SHARD}", bytes(range(32)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with one shard of 300 entries in several commits, and no index."""
    directory = tmp_path / "logs" / LOG / SHARD
    directory.parent.mkdir(parents=True)
    Shard.create(directory, SIGNER)
    shard = Shard.open(directory, SIGNER, log=LOG)
    found = entries(300)
    for start in range(0, 300, 60):
        for entry in found[start : start + 60]:
            header, _, raw = entry.partition(b"\n")
            shard.submit(Batch(kernel.pack_records([raw], header + b"\n")))
        shard.submit(Batch(kernel.pack_records([b"end"], HEADER))).result()
    shard.close()
    return tmp_path


def test_the_rows_are_those_of_the_evidence(data: Path) -> None:
    told: list[tuple[int, int]] = []
    assert rebuild(data, LOG, lambda done, total: told.append((done, total))) == 305
    assert told[-1] == (305, 305)
    index = open_index(data / "index" / LOG)
    raw = [line for _, _, line in all_rows(index)]
    index.close()
    expected = [entry.partition(b"\n")[2].decode() for entry in entries(300)]
    for place in range(60, 306, 61):
        expected.insert(place, "end")
    assert raw == expected
    assert check_index(data / "index" / LOG) == []


def test_a_rebuilt_index_is_like_the_first_one(data: Path) -> None:
    directory = data / "index" / LOG
    rebuild(data, LOG)
    index = open_index(directory)
    first = all_rows(index)
    index.close()
    (directory / "SHA256SUMS").write_bytes(b"nonsense")
    (directory / "stranger").write_bytes(b"x")
    rebuild(data, LOG)
    index = open_index(directory)
    assert all_rows(index) == first
    index.close()
    assert check_index(directory) == []


def test_an_index_in_use_is_left_alone(data: Path) -> None:
    index = open_index(data / "index" / LOG)
    index.append(SHARD, table_of(entries(3)), 3)
    index.flush()
    with pytest.raises(IndexInUse):
        rebuild(data, LOG)
    assert len(all_rows(index)) == 3
    index.close()


@pytest.mark.parametrize("name", ["none", "..", "../logs", "edge/../edge", ""])
def test_only_logs_can_be_rebuilt(data: Path, name: str) -> None:
    with pytest.raises(UnknownLog):
        rebuild(data, name)
    assert (data / "logs" / LOG / SHARD).exists()


def test_the_durable_size_is_found_without_a_writer(data: Path) -> None:
    directory = data / "logs" / LOG / SHARD
    assert find_durable_size(directory) == 305
    segment = sorted(directory.glob("*.seg"))[-1]
    segment.chmod(0o644)
    good = segment.read_bytes()
    cut = 0
    for length in range(len(good), len(good) - 900, -25):
        segment.write_bytes(good[:length])
        size = find_durable_size(directory)
        assert size <= 305
        cut = min(size, cut or size)
    assert cut < 305
