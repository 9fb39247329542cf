"""A store that lies about evicted entries: nothing goes for it, and no hold is released."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_log import DATA, LOG, SHARD, KeptLog

from muniment import kernel
from muniment.errors import Corrupt
from muniment.log import ShardReader
from muniment.log.runs import PackedRun
from muniment.store.retention.hold import What, new_hold
from muniment.store.retention.proved import Following, proved_entry, proved_root

HOLDS = DATA / "retention" / f"{LOG}.holds.json"
PLACED = "2026-01-02T03:04:05.000000Z"


@pytest.fixture
def log() -> Iterator[KeptLog]:
    """A log of ten small segments, none of them old."""
    found = KeptLog()
    found.write(commits=10)
    found.round()
    yield found
    found.close()


def test_a_forged_time_of_receipt_expires_nothing(
    log: KeptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ShardReader.entry

    def old(reader: ShardReader, index: int) -> bytes:
        return b'{"at":"2001-01-01T00:00:00Z"}\n' + real(reader, index).partition(b"\n")[2]

    monkeypatch.setattr(ShardReader, "entry", old)
    log.round()
    assert log.minimum == 0
    assert "the entry that is in the tree" in log.one.trouble


def test_forged_leaves_do_not_get_into_a_note(
    log: KeptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ShardReader.root_at
    monkeypatch.setattr(
        "muniment.store.retention.proved.ShardReader.root_at",
        lambda reader, size: bytes(32) if size < reader.size else real(reader, size),
    )
    log.passes(10_000)
    log.round()
    assert log.minimum == 0
    assert b"retention.expired" not in b"".join(log.shard.reader.read(550).entries)


@pytest.mark.parametrize("lie", ["release", "nothing", "another number"])
def test_a_lost_register_is_not_made_of_what_a_store_makes_up(
    log: KeptLog, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    hold = new_hold("case-7", "a lawsuit", "alice", PLACED, What.LOG)
    act = log.retention.place(LOG, hold).index
    log.disk.poke(HOLDS, None)
    real = ShardReader.packed

    def forged(reader: ShardReader, start: int) -> PackedRun:
        found = real(reader, start)
        if not found.first <= act < found.first + found.count:
            return found
        entries = kernel.unpack(found.payload)
        header, _, body = entries[act - found.first].partition(b"\n")
        record = json.loads(body) | {"action": "hold.release"}
        text = json.dumps(record, separators=(",", ":")).encode()
        made = header + b"\n" + (text if lie == "release" else b"{}")
        entries[act - found.first] = made
        entries = entries[:-1] if lie == "another number" else entries
        payload = b"".join(len(one).to_bytes(2, "big") + one for one in entries)
        return PackedRun(found.first, found.count, payload)

    with monkeypatch.context() as lying:
        lying.setattr(ShardReader, "packed", forged)
        log.restart()
        log.passes(100_000)
        log.round()
        assert log.minimum == 0
        assert log.retention.held(LOG, SHARD, 0, 1)
        assert list(log.one.holds) == []
        assert log.one.trouble
    log.round()
    assert [found.name for found in log.one.holds] == ["case-7"]
    assert log.minimum == 0


def test_what_is_true_is_proved_also_behind_what_expired(log: KeptLog) -> None:
    log.passes(10_000)
    log.write(commits=3, entries=7)
    log.round()
    reader = log.reader()
    assert reader.minimum % 256
    for index in (reader.minimum, reader.minimum + 1, reader.size - 1):
        assert proved_entry(reader, index) == reader.entry(index)
    for size in (reader.minimum, reader.minimum + 1, reader.size):
        assert proved_root(reader, size) == reader.root_at(size)
    tree = Following(reader)
    while tree.place < tree.size:
        packed = reader.packed(tree.place)
        tree.take(packed.payload, packed.count)
    tree.check()


def test_a_part_of_the_entries_is_not_all(log: KeptLog) -> None:
    tree = Following(log.reader())
    with pytest.raises(Corrupt):
        tree.check()
    with pytest.raises(Corrupt):
        tree.take(b"\0", 1)


def test_an_empty_shard_has_no_acts(tmp_path: Path) -> None:
    tree = Following(ShardReader(tmp_path))
    assert (tree.place, tree.size) == (0, 0)
    tree.check()


def test_a_hold_that_cannot_be_read_holds_everything(log: KeptLog) -> None:
    record = new_hold("case-7", "a lawsuit", "alice", PLACED, What.LOG).record()
    log.one.acts.put(record | {"what": "galaxy"}, "hold.place case-7")
    log.disk.poke(HOLDS, None)
    log.restart()
    log.passes(100_000)
    log.round()
    assert log.minimum == 0
    assert log.retention.held(LOG, SHARD, 0, 1)
    assert "an entry that places a hold" in log.one.trouble
