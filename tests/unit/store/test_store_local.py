"""A local directory as a store: the behaviour of every store, and what is its own."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from behaviour import StoreBehaviour, fill, keys_of
from behaviour_locks import LockBehaviour
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import Corrupt, StoreFailing, StoreLocked
from muniment.settings.store import Connection
from muniment.store import local_files, local_policy
from muniment.store.local import LocalStore
from muniment.store.local_attribute import is_immutable, set_immutable
from muniment.store.local_files import byte_of, lock_byte
from muniment.store.local_names import LONGEST, folder_part_of, part_of, path_of
from muniment.store.local_policy import Kept, encode_lock, parse_lock
from muniment.store.port import Lock, Mode, Store
from muniment.store.wal.probe import check_wal_store

CANNOT = {
    "nested keys": "a file cannot be a folder too",
    "versions": "a directory keeps none",
    "markers": "a directory keeps no versions to hide",
}


def opened(path: Path, clock: FakeClock | None = None, timeout: float = 30.0) -> LocalStore:
    connection = Connection(url=path.as_uri(), timeout=timeout)
    return LocalStore(connection, "local", clock=clock)


@contextmanager
def hanging(folder: Path, key: str) -> Iterator[None]:
    """As if a process had been stopped while it changed this object."""
    (folder / ".muniment").mkdir(parents=True, exist_ok=True)
    with (folder / ".muniment" / "guard").open("ab") as guard:
        assert lock_byte(guard.fileno(), byte_of(key))
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> LocalStore:
    return opened(folder)


class TestLocalStore(StoreBehaviour):
    cannot = CANNOT


class TestLocalLocks(LockBehaviour):
    cannot = CANNOT

    @pytest.fixture
    def lockable(self, store: LocalStore) -> Store:
        if not store.write_once.bucket().lockable:
            pytest.skip("the immutable attribute takes CAP_LINUX_IMMUTABLE and ext4, XFS or Btrfs")
        return store


class TestWeakLocks(LockBehaviour):
    """Where the immutable attribute cannot be set, Muniment keeps to the locks all the same."""

    cannot = CANNOT

    @pytest.fixture
    def lockable(self, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Store:
        for module in (local_policy, local_files):
            monkeypatch.setattr(module, "set_immutable", lambda path, on: not on)
        return store

    def test_the_bucket_can_lock(self, lockable: Store) -> None:
        state = lockable.write_once.bucket()
        assert not state.lockable
        assert "whoever may write to the directory can remove" in state.notes[-1]


KEYS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=900)
DAY = timedelta(days=1)


@given(KEYS.filter(lambda key: not key.startswith("/")))
def test_keys_and_paths_are_one_to_one(key: str) -> None:
    *folders, name = path_of(key)
    assert all(0 < len(one) <= LONGEST and "/" not in one for one in (*folders, name))
    assert not any(one.startswith(".") for one in (*folders, name))
    parts = [folder_part_of(one) for one in folders] + [part_of(name)]
    assert "".join(part or "" for part in parts) == key


@pytest.mark.fuzz
@given(st.text())
def test_any_name_in_a_directory_is_read(name: str) -> None:
    part, folder = part_of(name), folder_part_of(name)
    assert part is None or isinstance(part, str)
    assert folder is None or isinstance(folder, str)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a\0b", "a\nb", "é", "\udc80", "k" * 901])
def test_what_is_no_key_is_refused(store: LocalStore, key: str) -> None:
    for call in (store.put, store.put_if_absent):
        with pytest.raises(StoreFailing, match="cannot be a key"):
            call(key, b"x")
    for of in (store.get, store.remove):
        with pytest.raises(StoreFailing, match="cannot be a key"):
            of(key)


def test_no_key_leaves_the_folder(store: LocalStore, folder: Path) -> None:
    keys = ["../out", "a/../../../out", ".", ".muniment/guard", "a//b", "c/", ".b/."]
    fill(store, keys)
    assert keys_of(store) == sorted(keys)
    assert {path.name for path in folder.parent.iterdir()} == {folder.name}


def test_parts_of_all_lengths(store: LocalStore) -> None:
    keys = [f"{sign * length}/{sign * 5}" for sign in "k %" for length in (79, 80, 239, 240, 241)]
    keys += ["k" * 900, "k" * 80 + "!", "k" * 300 + "/a", "k" * 300 + "!a", "k" * 300 + "z"]
    fill(store, keys)
    assert keys_of(store) == sorted(keys)
    assert keys_of(store, "k" * 300) == sorted(key for key in keys if key.startswith("k" * 300))


def test_objects_are_the_bytes_alone_and_read_only(store: LocalStore, folder: Path) -> None:
    store.put_if_absent("logs/a/1.seg", b"bytes")
    path = folder / "logs" / "a" / "1.seg"
    assert path.read_bytes() == b"bytes"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert list((folder / ".muniment" / "drafts").iterdir()) == []


def test_files_of_others_are_no_objects(store: LocalStore, folder: Path) -> None:
    store.put("a/b", b"x")
    (folder / "a" / "c d").write_bytes(b"")
    (folder / "a" / ".hidden").write_bytes(b"")
    (folder / "lost+found").mkdir()
    (folder / "a" / "link").symlink_to("b")
    os.mkfifo(folder / "a" / "pipe")
    assert keys_of(store) == ["a/b"]
    assert store.head("a/link") is store.head("a/pipe") is None


def test_the_directory_above_must_be_there(tmp_path: Path) -> None:
    store = opened(tmp_path / "no" / "store")
    with pytest.raises(StoreFailing) as caught:
        list(store.list())
    assert caught.value.reason == "unreachable"
    (tmp_path / "no").mkdir()
    assert keys_of(store) == []


def test_a_later_start_removes_what_a_crash_left(store: LocalStore, folder: Path) -> None:
    store.put("a", b"x")
    drafts = folder / ".muniment" / "drafts"
    (drafts / "left").write_bytes(b"half")
    os.link(folder / "a", drafts / "linked")
    assert keys_of(opened(folder)) == ["a"]
    assert list(drafts.iterdir()) == []
    assert store.get("a") == b"x"


def test_a_process_that_hangs_keeps_nobody_from_first_writes(folder: Path) -> None:
    opened(folder).put("old", b"x")
    with hanging(folder, "old"), hanging(folder, "fence"):
        later = opened(folder, timeout=0.05)
        assert later.put_if_absent("fence", b"mine") == ""
        assert later.put_if_absent("fence", b"yours") is None
        with pytest.raises(StoreFailing, match="held by another process"):
            later.remove("old")
    assert keys_of(store := opened(folder)) == ["fence", "old"]
    assert store.get("fence") == b"mine"


def test_a_process_that_hangs_keeps_nobody_from_other_objects(folder: Path) -> None:
    opened(folder).put("members/hung", b"x")
    with hanging(folder, "members/hung"):
        later = opened(folder, timeout=0.05)
        later.put("members/other", b"y")
        later.put("keys/a/b", b"key")
        later.remove("keys/a/b")
        check_wal_store(later)  # the start of a node
        with pytest.raises(StoreFailing, match="held by another process"):
            later.put("members/hung", b"z")
    assert keys_of(store := opened(folder), "members") == ["members/hung", "members/other"]
    assert store.get("members/hung") == b"x"


def test_threads_wait_for_who_changes_the_same_object_alone(folder: Path) -> None:
    store = opened(folder, timeout=0.05)
    fill(store, ["a", "b"])
    inside, done = threading.Event(), threading.Event()

    def hang() -> None:
        with store._files.alone("a"):
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        assert inside.wait(60)
        store.remove("b")
        with pytest.raises(StoreFailing, match="held by another"):
            store.remove("a")
    finally:
        done.set()
        thread.join()
    store.remove("a")
    assert keys_of(store) == []


def test_a_lock_that_has_to_wait_leaves_a_durable_object(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(folder, timeout=0.05)
    sync, synced = store._files.sync_folder, []

    def recording(path: Path) -> None:
        synced.append((path, path.exists()))
        sync(path)

    monkeypatch.setattr(store._files, "sync_folder", recording)
    lock = Lock(Mode.COMPLIANCE, datetime.now(UTC) + DAY)
    with hanging(folder, "a"), pytest.raises(StoreFailing, match="held by another") as caught:
        store.put_if_absent("a", b"bytes", lock=lock)
    assert synced == [(folder / "a", True)]
    assert (caught.value.reason, caught.value.unknown) == ("busy", True)
    assert store.get("a") == b"bytes"


def test_a_full_store_is_read_and_can_be_made_empty(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(folder).put_if_absent("a", b"bytes")
    real = os.open

    def full(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and not Path(path).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, flags, mode)

    monkeypatch.setattr(local_files.os, "open", full)
    store = opened(folder)
    with pytest.raises(StoreFailing, match="No space left"):
        store.put("b", b"more")
    assert store.get("a") == b"bytes"
    store.remove("a")
    assert keys_of(store) == []


def test_a_lock_of_another_that_is_longer_stays(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    longer = Lock(Mode.COMPLIANCE, now + 2 * DAY)
    sync = store._files.sync_folder

    def overtaken(path: Path) -> None:
        monkeypatch.undo()
        sync(path)
        store.write_once.extend("a", longer)

    monkeypatch.setattr(store._files, "sync_folder", overtaken)
    store.put_if_absent("a", b"bytes", lock=Lock(Mode.COMPLIANCE, now + DAY))
    assert store.write_once.state("a").lock == longer


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.EIO, "unreachable"),
        (errno.ESTALE, "unreachable"),
        (errno.EACCES, "credentials"),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_failing_disk_leaves_no_object(
    store: LocalStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    reason: str,
) -> None:
    store.put("a", b"before")
    with monkeypatch.context() as patched:

        def failing(*arguments: object) -> int:
            raise OSError(number, os.strerror(number))

        patched.setattr(local_files.os, call, failing)
        for put in (store.put, store.put_if_absent):
            with pytest.raises(StoreFailing) as caught:
                put("b", b"bytes")
            assert (caught.value.reason, caught.value.unknown) == (reason, False)
    assert keys_of(store) == ["a"]
    assert list((folder / ".muniment" / "drafts").iterdir()) == []
    store.put("b", b"bytes")


def test_a_folder_that_cannot_be_synced_leaves_it_unknown(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/a", b"")

    def failing(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(store._files, "sync_folder", failing)
    with pytest.raises(StoreFailing) as caught:
        store.put_if_absent("a/b", b"bytes")
    assert caught.value.unknown
    assert store.put_if_absent("a/b", b"bytes") is None


def test_what_is_locked_is_immutable(store: LocalStore, folder: Path) -> None:
    if not store.write_once.bucket().lockable:
        pytest.skip("the immutable attribute takes CAP_LINUX_IMMUTABLE and ext4, XFS or Btrfs")
    store.put_if_absent("a", b"bytes", lock=Lock(Mode.COMPLIANCE, datetime.now(UTC) + DAY))
    for path in (folder / "a", folder / ".a.lock"):
        assert is_immutable(path)
        with pytest.raises(PermissionError):
            path.unlink()
        with pytest.raises(PermissionError):
            path.write_bytes(b"forged")
    (tmp := folder / "b").write_bytes(b"forged")
    with pytest.raises(PermissionError):
        tmp.rename(folder / "a")


def test_a_lock_ends_with_its_time(folder: Path) -> None:
    clock = FakeClock()
    store = opened(folder, clock)
    until = (clock.now() + DAY).replace(microsecond=0)
    store.put("a", b"bytes", lock=Lock(Mode.COMPLIANCE, until))
    for attempt in (lambda: store.remove("a"), lambda: store.put("a", b"other")):
        with pytest.raises(StoreLocked):
            attempt()
    clock.seconds += 86_400
    store.put("a", b"other")
    assert store.get("a") == b"other"
    assert store.write_once.state("a").lock is None
    store.remove("a")
    assert not (folder / ".a.lock").exists()


def test_a_lock_that_is_over_is_refused(store: LocalStore) -> None:
    with pytest.raises(StoreFailing, match="in the past"):
        store.put("a", b"x", lock=Lock(Mode.COMPLIANCE, datetime.now(UTC) - DAY))
    assert store.head("a") is None


def test_an_immutable_object_without_its_lock_stays(store: LocalStore, folder: Path) -> None:
    if not store.write_once.bucket().lockable:
        pytest.skip("the immutable attribute takes CAP_LINUX_IMMUTABLE and ext4, XFS or Btrfs")
    store.put("a", b"bytes", lock=Lock(Mode.GOVERNANCE, datetime.now(UTC) + DAY))
    set_immutable(folder / ".a.lock", False)
    (folder / ".a.lock").unlink()
    with pytest.raises(StoreLocked, match="lock's file is gone"):
        store.write_once.remove_version("a", "", bypass=True)


def test_a_draft_that_another_made_immutable_stays(store: LocalStore, folder: Path) -> None:
    if not store.write_once.bucket().lockable:
        pytest.skip("the immutable attribute takes CAP_LINUX_IMMUTABLE and ext4, XFS or Btrfs")
    store.put("a", b"bytes")
    os.link(folder / "a", folder / ".muniment" / "drafts" / "left")  # a crash at the second name
    store.write_once.extend("a", Lock(Mode.GOVERNANCE, datetime.now(UTC) + DAY))
    assert keys_of(opened(folder)) == ["a"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'{"hold":false}',
        b'{"mode":"off","until":"2030-01-01T00:00:00Z"}',
        b'{"mode":"compliance"}',
        b'{"mode":"compliance","until":"2030-01-01T00:00:00"}',
        b'{"mode":"compliance","until":"2030-01-01T00:00:00Z","more":1}',
        b"\xff",
    ],
)
def test_a_broken_lock_keeps_its_object(store: LocalStore, folder: Path, data: bytes) -> None:
    store.put("a", b"bytes")
    (folder / ".a.lock").write_bytes(data)
    for attempt in (store.write_once.state, store.remove):
        with pytest.raises(Corrupt):
            attempt("a")
    assert store.get("a") == b"bytes"


@given(
    st.none() | st.sampled_from([Mode.COMPLIANCE, Mode.GOVERNANCE]),
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30)),
    st.booleans(),
)
def test_locks_are_read_as_written(mode: Mode | None, until: datetime, hold: bool) -> None:
    lock = Lock(mode, until.replace(tzinfo=UTC)) if mode else None
    kept = Kept(lock, hold or lock is None)
    assert parse_lock("f", encode_lock(kept)) == kept


@pytest.mark.fuzz
@given(st.binary(max_size=200) | st.builds(lambda x: b'{"until":"' + x + b'"}', st.binary()))
def test_any_bytes_of_a_lock_are_read_or_refused(data: bytes) -> None:
    try:
        kept = parse_lock("f", data)
    except Corrupt:
        return
    assert kept.hold or kept.lock is not None
