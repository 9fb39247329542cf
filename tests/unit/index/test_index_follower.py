"""The follower keeps up with its logs, and one log's trouble is not another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from index_fixture import LOG, SHARD, ListReader, all_rows, entries, expected_rows

from muniment.errors import Corrupt, Unavailable, UnknownLog
from muniment.index import IndexDamaged, check_index
from muniment.index.follower import Follower
from muniment.index.reading import Turn, rows

PATIENCE = 120.0


def until(condition: Callable[[], bool]) -> None:
    """Waits for what a thread will bring about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


class House:
    """A follower over shards in memory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.readers: dict[tuple[str, str], ListReader] = {}
        self.follower = self.make()

    def make(self, flush_rows: int = 1_000, flush_seconds: float = 3_600.0) -> Follower:
        return Follower(
            self.data,
            self.reader,
            clock=time.monotonic,
            now=lambda: time.time_ns() // 1_000_000,
            flush_rows=flush_rows,
            flush_seconds=flush_seconds,
        )

    def reader(self, directory: Path) -> ListReader:
        key = (directory.parent.name, directory.name)
        return self.readers.setdefault(key, ListReader())

    def grow(self, count: int, log: str = LOG, shard: str = SHARD) -> None:
        reader = self.reader(self.data / "logs" / log / shard)
        reader.entries += entries(count, len(reader.entries))
        self.follower.advance(log, shard, len(reader.entries))

    def indexed(self, count: int, log: str = LOG, shard: str = SHARD) -> None:
        until(lambda: self.follower.index(log).next_index(shard) == count)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.follower.stop()


def test_entries_become_rows_without_a_flush(house: House) -> None:
    house.follower.start({LOG: [SHARD]})
    house.grow(10)
    house.indexed(10)
    index = house.follower.index(LOG)
    assert index.snapshot.parts == ()
    assert all_rows(index) == expected_rows(10)


def test_rows_are_flushed_when_there_are_many(house: House) -> None:
    house.follower = house.make(flush_rows=20)
    house.follower.start({LOG: [SHARD]})
    house.grow(100)
    house.indexed(100)
    until(lambda: house.follower.index(LOG).recent_rows < 20)
    assert all_rows(house.follower.index(LOG)) == expected_rows(100)


def test_rows_are_flushed_when_they_are_old(house: House) -> None:
    house.follower = house.make(flush_seconds=0.05)
    house.follower.start({LOG: [SHARD]})
    house.grow(3)
    until(lambda: len(house.follower.index(LOG).snapshot.parts) == 1)
    assert house.follower.index(LOG).recent_rows == 0


def test_rows_are_flushed_at_the_end_and_taken_up_at_the_next_start(house: House) -> None:
    house.follower.start({LOG: [SHARD]})
    house.grow(10)
    house.indexed(10)
    house.follower.stop()
    assert check_index(house.data / "index" / LOG) == []
    house.follower = house.make()
    house.follower.start({LOG: [SHARD]})
    assert house.follower.index(LOG).next_index(SHARD) == 10
    house.grow(5)
    house.indexed(15)
    assert all_rows(house.follower.index(LOG)) == expected_rows(15)


def test_shards_and_logs_can_come_later(house: House) -> None:
    house.follower.start({LOG: [SHARD]})
    house.grow(3, shard="11111111")
    house.grow(4, log="other", shard="22222222")
    house.indexed(3, shard="11111111")
    until(lambda: "other" in house.follower.cursors())
    house.indexed(4, "other", "22222222")
    assert house.follower.sizes(LOG) == {SHARD: 0, "11111111": 3}


def test_an_unknown_log_is_said_to_be_unknown(house: House) -> None:
    house.follower.start({LOG: [SHARD]})
    with pytest.raises(UnknownLog):
        house.follower.index("none")


def test_a_shard_that_cannot_be_read_does_not_stop_the_others(house: House) -> None:
    house.follower.start({LOG: [SHARD, "11111111"]})
    house.reader(Path(LOG) / SHARD).fault = Corrupt("x.seg", 4096, "a frame", "nothing")
    house.grow(3)
    house.grow(5, shard="11111111")
    house.indexed(5, shard="11111111")
    until(lambda: "trouble" in house.follower.status()[LOG]["shards"][SHARD])
    shard = house.follower.status()[LOG]["shards"][SHARD]
    assert shard["lag"] == 3
    assert "x.seg: at byte 4096" in shard["trouble"]


def test_a_damaged_index_is_refused_and_the_rest_goes_on(house: House) -> None:
    house.follower.start({LOG: [SHARD], "other": ["22222222"]})
    house.grow(3)
    house.indexed(3)
    house.follower.stop()
    manifest = house.data / "index" / LOG / "SHA256SUMS"
    manifest.write_bytes(manifest.read_bytes().replace(b"0", b"1"))
    house.follower = house.make()
    house.follower.start({LOG: [SHARD], "other": ["22222222"]})
    with pytest.raises(
        IndexDamaged, match=r"index damaged: edge: .* `muniment index rebuild edge`"
    ):
        house.follower.index(LOG)
    house.grow(4, log="other", shard="22222222")
    house.indexed(4, "other", "22222222")
    state = house.follower.status()
    assert (state[LOG]["state"], state["other"]["state"]) == ("index-damaged", "ready")
    assert "index damaged" in state[LOG]["detail"]


def test_an_index_that_is_ahead_of_its_log_is_refused(house: House) -> None:
    house.follower.start({LOG: [SHARD]})
    house.grow(10)
    house.indexed(10)
    house.follower.stop()
    house.readers.clear()
    house.follower = house.make()
    house.follower.start({LOG: [SHARD]})
    house.grow(4)
    until(lambda: house.follower.status()[LOG]["state"] != "ready")
    with pytest.raises(IndexDamaged, match="beyond its size of 4"):
        house.follower.index(LOG)


def test_an_index_folder_that_cannot_be_written_is_said_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("muniment.index.log_index.write_parts", fail)
    house.follower = house.make(flush_seconds=0.01)
    house.follower.start({LOG: [SHARD]})
    house.grow(5)
    until(lambda: "No space left" in house.follower.status()[LOG]["detail"])
    assert all_rows(house.follower.index(LOG)) == expected_rows(5)
    monkeypatch.undo()
    house.follower.stop()
    assert house.follower.index(LOG).recent_rows in (0, 5)


def test_a_fault_with_one_log_does_not_stop_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from muniment.index import copies

    real = copies.packed_rows

    def picky(turn: Turn, *, log: str, shard: str) -> object:
        if log == LOG:
            raise RuntimeError("a fault")
        return real(turn, log=log, shard=shard)

    monkeypatch.setattr(copies, "packed_rows", picky)
    house.follower.start({LOG: [SHARD], "other": ["22222222"]})
    house.grow(3)
    house.grow(4, log="other", shard="22222222")
    house.indexed(4, "other", "22222222")
    until(lambda: "a fault" in house.follower.status()[LOG]["detail"])


def test_a_decoder_that_fails_on_one_entry_keeps_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from muniment.index import reading

    real = reading.decode

    def picky(found: list[bytes], **options: object) -> object:
        if any(b"/items/2" in entry for entry in found):
            raise KeyError("bug")
        return real(found, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "decode", picky)
    table = rows(entries(5), log=LOG, shard=SHARD, first=0)
    assert table["index"].to_pylist() == [0, 1, 2, 3, 4]
    failed = table.slice(2, 1).to_pylist()[0]
    assert failed["parse_error"] == "the decoder failed: KeyError"
    assert failed["class_uid"] == 0
    assert "/items/2" in failed["raw_data"]


def test_before_the_index_is_open_search_is_told_to_wait(house: House) -> None:
    house.follower._shard(LOG, SHARD)
    with pytest.raises(Unavailable):
        house.follower.index(LOG)
