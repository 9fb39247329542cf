"""Attachments on disk and in a store: whole under their name or not there, whatever fails."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attachment_parts import BODY, DIGEST, copies, keep
from fake_clock import FakeClock
from simulated_disk import Fault, PowerLoss, SimulatedDisk, always, at_step
from simulator import Fault as StoreFault
from simulator import SimulatedStore

from muniment.errors import (
    Corrupt,
    NoSuchObject,
    StorageFailing,
    StoreFailing,
    TooLarge,
)
from muniment.log.disk import PosixDisk
from muniment.store.attachments import (
    Attachments,
    Files,
)

ROOT = Path("attachments")


class Disk(SimulatedDisk):
    """The simulated disk, which gives names within one folder only: here they move to another."""

    def rename(self, old: Path, new: Path) -> None:
        folder, target, node = self._folder(old.parent), self._folder(new.parent), self._node(old)
        with self.step("rename", new):
            target.change({new.name: node})
            folder.change({old.name: None})


def files_on(disk: Any, root: Path = ROOT) -> Files:
    numbers = count()
    return Files(
        root, disk, max_bytes=1 << 20, randomness=lambda size: next(numbers).to_bytes(size, "big")
    )


def whole(files: Files) -> bool:
    """Whether the body is there under its name; it must then be all of it."""
    if files.size("default", DIGEST) is None:
        return False
    assert b"".join(files.pieces("default", DIGEST)) == BODY
    return True


def steps() -> int:
    disk = Disk()
    keep(files_on(disk))
    return len(disk.steps)


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.PERSISTED, Fault.TORN, Fault.DROPPED])
@pytest.mark.parametrize("number", range(steps()))
def test_whatever_fails_the_name_has_all_bytes_or_none(number: int, fault: Fault) -> None:
    disk = Disk()
    files = files_on(disk)
    disk.plan = at_step(number, fault)
    try:
        keep(files)
    except (StorageFailing, FileNotFoundError):
        disk.plan = lambda step: None
        whole(files)
        keep(files)
    assert whole(files)


@pytest.mark.parametrize("number", range(steps()))
def test_a_power_loss_leaves_all_of_it_or_nothing(number: int) -> None:
    disk = Disk()
    disk.plan = at_step(number, Fault.POWER)
    try:
        keep(files_on(disk))
    except PowerLoss:
        for after in survivors(disk):
            files = files_on(after)
            files.sweep()
            whole(files)
            assert not [name for name in names(after) if name.startswith(".")]
            keep(files)
            assert whole(files)
    else:
        assert whole(files_on(disk))


def survivors(disk: Disk) -> Iterator[Disk]:
    """Some of the states in which a power loss can leave a disk."""
    for seed in range(12):
        yield Disk(disk.after_power_loss(Random(seed))._root)


def names(disk: Disk) -> list[str]:
    try:
        return disk.names(ROOT / "default")
    except (FileNotFoundError, KeyError):
        return []


def test_a_full_disk_keeps_nothing_and_leaves_nothing() -> None:
    disk = Disk()
    files = files_on(disk)
    disk.room = 500
    with pytest.raises(StorageFailing, match="No space left"):
        keep(files)
    assert not names(disk) and disk.room == 500
    disk.room = None
    assert keep(files).new and whole(files)


def test_a_draft_that_cannot_be_removed_goes_at_the_next_start() -> None:
    disk = Disk()
    files = files_on(disk)
    path = ROOT / "default" / f".{bytes(8).hex()}.part"
    disk.plan = always("remove", path, Fault.FAILED)
    draft = files.draft("default")
    draft.write(BODY)
    draft.drop()
    assert names(disk)
    disk.plan = lambda step: None
    files.sweep()
    assert not names(disk)


def test_bodies_are_bound() -> None:
    files = files_on(Disk())
    draft = files.draft("default")
    draft.write(bytes(1 << 20))
    with pytest.raises(TooLarge, match="1,048,576"):
        draft.write(b"x")
    draft.drop()
    draft.write(b"too late: it was given up")
    assert not list(files.names("default"))


def test_the_same_body_at_once_is_one_file(tmp_path: Path) -> None:
    files = Files(tmp_path / "attachments", PosixDisk(), max_bytes=1 << 20)
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda _: keep(files), range(16)))
    assert sum(one.new for one in kept) == 1 and {one.sha256 for one in kept} == {DIGEST}
    there = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert there == [files.path("default", DIGEST)]


def test_what_is_not_an_attachment_is_not_listed(tmp_path: Path) -> None:
    files = Files(tmp_path, PosixDisk(), max_bytes=1 << 20)
    keep(files)
    (tmp_path / "default" / "00").mkdir()
    (tmp_path / "default" / "00" / DIGEST.hex()).write_bytes(b"in the wrong folder")
    (tmp_path / "default" / "note").write_bytes(b"")
    assert list(files.names("default")) == [DIGEST] and not list(files.names("other"))


@pytest.fixture
def store() -> SimulatedStore:
    return SimulatedStore("primary", versioned=True, lockable=True, clock=FakeClock())


def test_replicated_is_in_the_store_and_read_back(tmp_path: Path, store: SimulatedStore) -> None:
    files = Files(tmp_path, PosixDisk(), max_bytes=1 << 20)
    attachments = Attachments(files, copies(store), replicated=True)
    kept = keep(files)
    attachments.confirm("default", kept)
    (key,) = store.backing.keys
    assert key == f"logs/default/attachments/{DIGEST.hex()[:2]}/{DIGEST.hex()}"
    assert any(call.operation == "get_range" for call in store.calls)
    attachments.confirm("default", kept)
    assert len(store.backing.keys[key]) == 1, "nothing is put twice"
    Attachments(files, copies(store, 60), replicated=True).confirm("default", kept)
    lock = store.state(key).lock
    assert lock and lock.until == store.backing.clock.now() + timedelta(days=60)

    files.path("default", DIGEST).unlink()
    opened = attachments.open("default", DIGEST)
    assert opened.size == len(BODY) and b"".join(opened.pieces) == BODY
    store.backing.hide(key)
    assert b"".join(attachments.open("default", DIGEST).pieces) == BODY, "a marker hides nothing"
    with pytest.raises(NoSuchObject):
        attachments.open("default", bytes(32))


def test_a_store_that_fails_or_has_other_bytes(tmp_path: Path, store: SimulatedStore) -> None:
    files = Files(tmp_path, PosixDisk(), max_bytes=1 << 20)
    attachments = Attachments(files, copies(store), replicated=True)
    kept = keep(files)
    for fault in (StoreFault.UNREACHABLE, StoreFault.LOST, StoreFault.FULL):
        store.faults.next(fault, "put")
        with pytest.raises(StoreFailing):
            attachments.confirm("default", kept)
        store.faults.clear()
        attachments.confirm("default", kept)
        store.backing.keys.clear()
    store.faults.next(StoreFault.FLIPPED, "get_range")
    with pytest.raises(Corrupt):
        attachments.confirm("default", kept)
    (key,) = store.backing.keys
    store.backing.poke(key, BODY[:-1])
    with pytest.raises(Corrupt):
        attachments.confirm("default", kept)


def test_local_durability_asks_no_store(tmp_path: Path, store: SimulatedStore) -> None:
    files = Files(tmp_path, PosixDisk(), max_bytes=1 << 20)
    Attachments(files, copies(store)).confirm("default", keep(files))
    assert not store.calls
