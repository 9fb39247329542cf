"""Closing the shard of a node that is gone: the archive has it whole, nobody goes on with it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from muniment.clock import SystemClock
from muniment.data_directory import DataDirectory
from muniment.data_names import CLOSING
from muniment.errors import Fenced, NotFound, StoreFailing
from muniment.log import Batch, Shard
from muniment.log.disk import PosixDisk
from muniment.receive.groups import pack_records
from muniment.receive.header import Origin
from muniment.settings import Settings, load
from muniment.shards import close_shards, open_shards
from muniment.store.opening import open_store
from muniment.storing import Stores
from muniment.trust.stores import StoreQuestion, verify_store

KIND, FENCE = 8, 2
"""Where a write-ahead object says what it is; see files.md."""

LINES = [f"line {number}".encode() for number in range(500)]


def settings_of(root: Path, name: str, stores: str) -> Settings:
    secret = root / "secret"
    secret.write_text("s" * 64)
    secret.chmod(0o600)
    (root / stores).mkdir(exist_ok=True)
    given: dict[str, Any] = {
        "data": root / name,
        "node": name,
        "durability": "replicated",
        "store": [{"name": "primary", "url": (root / stores / "archive").as_uri()}],
        "wal": {"url": (root / stores / "wal").as_uri(), "takeover_secret": str(secret)},
    }
    return load(given, environment={})


class Opened:
    """A node's shards and stores, without a server."""

    def __init__(self, settings: Settings) -> None:
        self.settings, disk, clock = settings, PosixDisk(), SystemClock()
        self.directory = DataDirectory(settings.data, disk, os.urandom)
        self.directory.claim()
        self.stores = Stores(
            settings, self.directory, disk=disk, clock=clock, randomness=os.urandom
        )
        self.shards = open_shards(settings, self.directory, self.stores, clock)

    @property
    def shard(self) -> Shard:
        (found,) = self.shards["default"].values()
        assert isinstance(found, Shard)
        return found

    def append(self, lines: list[bytes]) -> None:
        origin = Origin("http", "text")
        chunks = pack_records(lines, "2026-01-01T00:00:00.000000Z", "a", origin)
        self.shard.submit(Batch(chunks)).result(30)

    def close(self) -> None:
        close_shards(self.shards)
        self.stores.close()
        self.directory.release()


@pytest.fixture
def dead(tmp_path: Path) -> str:
    """A node wrote, and died with its disk; returns its shard. Stores as they were: `left`."""
    node = Opened(settings_of(tmp_path, "a", "live"))
    node.append(LINES[:300])
    node.append(LINES[300:])
    assert node.shard.wait_published(500, timeout=60)  # then nothing more is put
    shutil.copytree(tmp_path / "live", tmp_path / "left")
    name = node.shard.name
    node.close()
    return name


def test_what_a_dead_node_acknowledged_is_whole_in_the_archive(tmp_path: Path, dead: str) -> None:
    node = Opened(settings_of(tmp_path, "b", "left"))
    try:
        assert sorted(node.stores.unclosed("default")) == sorted([dead, node.shard.name])
        taken = node.stores.close_out("default", dead, Event())
        assert (taken.size, taken.last_owner) == (500, "a")
        assert node.stores.unclosed("default") == [node.shard.name]
        assert not (node.settings.data / CLOSING).exists()
        with pytest.raises(NotFound, match="closed"):
            node.stores.close_out("default", dead, Event())
    finally:
        node.close()
    assert whole(node.settings, dead) == 500


def test_a_shard_that_was_claimed_and_never_written_is_closed(tmp_path: Path) -> None:
    nodes = [Opened(settings_of(tmp_path, name, "left")) for name in "ab"]
    try:
        empty = nodes[0].shard.name
        assert nodes[1].stores.close_out("default", empty, Event()).size == 0
        assert nodes[1].stores.unclosed("default") == [nodes[1].shard.name]
    finally:
        for node in nodes:
            node.close()


def test_nothing_of_a_closed_shard_stays_in_the_write_ahead_store_but_fences(
    tmp_path: Path, dead: str
) -> None:
    node = Opened(settings_of(tmp_path, "b", "left"))
    try:
        node.stores.close_out("default", dead, Event())
    finally:
        node.close()
    left = tmp_path / "left" / "wal" / "wal" / "default" / dead
    kinds = [path.read_bytes()[KIND] for path in left.rglob("*") if path.is_file()]
    assert kinds == [FENCE] * len(kinds)
    assert kinds


def test_a_closing_that_is_cut_off_is_begun_again(tmp_path: Path, dead: str) -> None:
    node = Opened(settings_of(tmp_path, "b", "left"))
    stopping = Event()
    stopping.set()
    try:
        with pytest.raises(StoreFailing, match="does not have all"):
            node.stores.close_out("default", dead, stopping)
        assert dead in node.stores.unclosed("default")
        assert node.stores.close_out("default", dead, Event()).size == 500
    finally:
        node.close()


def test_two_nodes_that_close_the_same_shard_agree(tmp_path: Path, dead: str) -> None:
    nodes = [Opened(settings_of(tmp_path, name, "left")) for name in "bc"]
    stopping = Event()
    stopping.set()
    try:
        with pytest.raises(StoreFailing):
            nodes[0].stores.close_out("default", dead, stopping)
        assert nodes[1].stores.close_out("default", dead, Event()).size == 500
        with pytest.raises(NotFound):
            nodes[0].stores.close_out("default", dead, Event())
    finally:
        for node in nodes:
            node.close()


def test_a_node_that_comes_back_goes_on_with_a_new_shard(tmp_path: Path, dead: str) -> None:
    other = Opened(settings_of(tmp_path, "b", "left"))
    other.stores.close_out("default", dead, Event())
    other.close()
    back = settings_of(tmp_path, "a", "left")
    node = Opened(back)
    try:
        names = {name: type(one).__name__ for name, one in node.shards["default"].items()}
        assert names.pop(dead) == "ReadOnlyShard"
        assert list(names.values()) == ["Shard"]
    finally:
        node.close()


def test_the_old_writer_is_fenced(tmp_path: Path) -> None:
    old = Opened(settings_of(tmp_path, "a", "live"))
    old.append(LINES[:10])
    other = Opened(settings_of(tmp_path, "b", "live"))
    try:
        assert other.stores.close_out("default", old.shard.name, Event()).size == 10
        with pytest.raises(Fenced):
            old.append(LINES[10:20])
        assert old.shard.fenced
    finally:
        other.close()
        old.close()


def whole(settings: Settings, shard: str) -> int:
    """The entries of an archived shard that verifies without a finding."""
    store = open_store(settings.store[0], "primary")
    report = verify_store(store, StoreQuestion(log="default"))
    assert report.intact, report.findings
    return next(one.size for one in report.shards if one.origin.endswith(shard))
