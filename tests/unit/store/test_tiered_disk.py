"""A disk with a store behind it reads as one that has everything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest
from simulator import Fault, SimulatedStore

from muniment.errors import Corrupt, StoreFailing
from muniment.log.disk import PosixDisk
from muniment.store.archive.catalog import FileCatalog
from muniment.store.names import segment_key
from muniment.store.tiered import BLOCK, KEPT_BLOCKS, KEPT_SECONDS, Remote, TieredDisk

LENGTH = 3 * BLOCK + 1234
DATA = Random(1).randbytes(LENGTH)
KEY = segment_key("edge", "ab", 0)
NAME = "00000000000000000000.seg"


class Catalog:
    """Says what a test wants it to say."""

    def __init__(self, length: int = LENGTH) -> None:
        self.known = {0: Remote(length, "")}
        self.forgotten: list[tuple[str, str, int]] = []

    def evicted(self, log: str, shard: str) -> Mapping[int, Remote]:
        return self.known if (log, shard) == ("edge", "ab") else {}

    def forget(self, log: str, shard: str, first: int) -> None:
        self.forgotten.append((log, shard, first))
        del self.known[first]


class Tiered:
    """A folder of a shard, a store, and a disk of both."""

    def __init__(self, root: Path) -> None:
        self.logs = root / "logs"
        self.shard = self.logs / "edge" / "ab"
        self.shard.mkdir(parents=True)
        (self.shard / "00000000000000000100.seg").write_bytes(b"local")
        (self.shard / "verifier").write_bytes(b"key")
        self.store = SimulatedStore("primary")
        self.store.put(KEY, DATA)
        self.catalog = Catalog()
        self.now = 0.0
        self.disk = TieredDisk(PosixDisk(), self.logs, self.catalog, self.store, lambda: self.now)

    @property
    def reads(self) -> int:
        return sum(call.operation == "get_range" for call in self.store.calls)


@pytest.fixture
def tiered(tmp_path: Path) -> Tiered:
    return Tiered(tmp_path)


def test_any_range_is_what_a_local_file_gives(tiered: Tiered) -> None:
    random = Random(2)
    path = tiered.shard / NAME
    edges = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, LENGTH - 1, LENGTH, LENGTH + 5]
    for _ in range(200):
        offset, length = random.choice(edges), random.choice([0, 1, 7, BLOCK, BLOCK + 9, LENGTH])
        assert tiered.disk.read(path, offset, length) == DATA[offset : offset + length]
    assert tiered.disk.read(path) == DATA
    assert tiered.disk.read(path, 5) == DATA[5:]
    assert tiered.disk.size(path) == LENGTH


def test_names_are_those_of_both(tiered: Tiered) -> None:
    names = ["00000000000000000000.seg", "00000000000000000100.seg", "verifier"]
    assert tiered.disk.names(tiered.shard) == names
    assert tiered.disk.names(tiered.logs) == ["edge"]


def test_blocks_are_read_once_and_again_after_a_while(tiered: Tiered) -> None:
    path = tiered.shard / NAME
    for offset in range(0, BLOCK, BLOCK // 8):
        tiered.disk.read(path, offset, 10)
    assert tiered.reads == 1
    tiered.now += KEPT_SECONDS + 1
    tiered.disk.read(path, 0, 10)
    assert tiered.reads == 2


def test_so_many_blocks_are_kept_and_no_more(tmp_path: Path) -> None:
    tiered = Tiered(tmp_path)
    body = bytes((KEPT_BLOCKS + 2) * BLOCK)
    tiered.store.put(KEY, body)
    tiered.catalog.known[0] = Remote(len(body), "")
    path = tiered.shard / NAME
    for number in range(KEPT_BLOCKS + 2):
        tiered.disk.read(path, number * BLOCK, 1)
    before = tiered.reads
    tiered.disk.read(path, (KEPT_BLOCKS + 1) * BLOCK, 1)
    assert tiered.reads == before
    tiered.disk.read(path, 0, 1)
    assert tiered.reads == before + 1


def test_what_is_local_is_not_asked_of_the_store(tiered: Tiered) -> None:
    assert tiered.disk.read(tiered.shard / "00000000000000000100.seg") == b"local"
    assert tiered.disk.read(tiered.shard / "verifier") == b"key"
    (tiered.shard / NAME).write_bytes(b"here again")
    assert tiered.disk.read(tiered.shard / NAME) == b"here again"
    assert tiered.store.calls[1:] == []


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.BUSY, Fault.LOST, Fault.CREDENTIALS])
def test_a_store_that_does_not_answer_is_said_to_fail(tiered: Tiered, fault: Fault) -> None:
    tiered.store.faults.always(fault)
    with pytest.raises(StoreFailing):
        tiered.disk.read(tiered.shard / NAME, 0, 1)
    assert tiered.disk.size(tiered.shard / NAME) == LENGTH


def test_a_segment_that_the_store_lost_or_cut_is_corrupt(tiered: Tiered) -> None:
    tiered.store.put(KEY, DATA[: BLOCK + 5])
    with pytest.raises(Corrupt, match="bytes"):
        tiered.disk.read(tiered.shard / NAME, BLOCK, 10)
    tiered.store.remove(KEY)
    with pytest.raises(Corrupt, match="nothing"):
        tiered.disk.read(tiered.shard / NAME, 0, 1)


def test_what_is_in_neither_is_not_found(tiered: Tiered) -> None:
    for name in ("00000000000000000007.seg", "checkpoints"):
        with pytest.raises(FileNotFoundError):
            tiered.disk.read(tiered.shard / name)
        with pytest.raises(FileNotFoundError):
            tiered.disk.size(tiered.shard / name)
        with pytest.raises(FileNotFoundError):
            tiered.disk.remove(tiered.shard / name)


def test_removing_tells_the_catalog(tiered: Tiered) -> None:
    tiered.disk.remove(tiered.shard / NAME)
    assert tiered.catalog.forgotten == [("edge", "ab", 0)]
    assert NAME not in tiered.disk.names(tiered.shard)


def test_all_that_writes_is_local(tiered: Tiered) -> None:
    folder = tiered.shard / "tiles"
    tiered.disk.make_directory(folder)
    file = tiered.disk.create(folder / "1")
    file.write(b"x")
    file.sync()
    file.close()
    tiered.disk.append(folder / "1").close()
    tiered.disk.rename(folder / "1", folder / "2")
    tiered.disk.seal(folder / "2")
    tiered.disk.sync_directory(folder)
    assert (folder / "2").read_bytes() == b"x"
    tiered.disk.remove(folder / "2")
    assert tiered.disk.names(folder) == []


def test_another_process_cannot_forget(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Read-only"):
        FileCatalog(tmp_path, "primary").forget("edge", "ab", 0)


@pytest.mark.parametrize("books", [b"", b"null", b"[", b'{"7":1}', b'{"x":{}}', b"\xff"])
def test_books_that_say_nothing_evict_nothing(tmp_path: Path, books: bytes) -> None:
    (tmp_path / "edge.ab.json").write_bytes(books)
    assert FileCatalog(tmp_path, "primary").evicted("edge", "ab") == {}
