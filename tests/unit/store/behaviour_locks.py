"""What every store must do whose objects can be locked; see behaviour.py for how it is used."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from behaviour import Behaviour, keys_of

from muniment.errors import NoSuchObject, StoreFailing, StoreLocked
from muniment.store.port import Lock, Mode, ObjectState, Store

SHORT = timedelta(seconds=3)
MODES = [Mode.COMPLIANCE, Mode.GOVERNANCE]


class LockBehaviour(Behaviour):
    """Locks, holds, versions. Fixture `lockable`: a Store with nothing in it yet."""

    def delete(self, store: Store, key: str) -> None:
        """Deletes as any client with the right does that knows of no versions."""
        raise NotImplementedError

    def has(self, mode: Mode) -> Lock:
        """Returns a lock of that mode; skips where the store cannot."""
        self.needs(mode.value)
        return self.lock(mode)

    def test_the_bucket_can_lock(self, lockable: Store) -> None:
        state = lockable.write_once.bucket()
        assert state.lockable
        assert state.versioned is ("versions" not in self.cannot)

    @pytest.mark.parametrize("mode", MODES)
    def test_locks_what_it_puts(self, lockable: Store, mode: Mode, tmp_path: Path) -> None:
        lock = self.has(mode)
        path = tmp_path / "body"
        path.write_bytes(b"of a file")
        puts = {
            "a": lockable.put("a", b"bytes", lock=lock),
            "b": lockable.put("b", path, lock=lock),
            "c": lockable.put_if_absent("c", path, lock=lock),
        }
        for key, version in puts.items():
            assert version is not None
            wanted = ObjectState(key, version, lock)
            assert lockable.write_once.state(key, version=version) == wanted
            assert lockable.write_once.state(key) == wanted
        assert lockable.get("c") == b"of a file"

    def test_says_that_nothing_is_locked(self, lockable: Store) -> None:
        version = lockable.put("a", b"bytes")
        assert lockable.write_once.state("a", version=version) == ObjectState("a", version)

    def test_says_that_nothing_is_there(self, lockable: Store) -> None:
        with pytest.raises(NoSuchObject):
            lockable.write_once.state("a")
        with pytest.raises(NoSuchObject):
            lockable.write_once.extend("a", self.lock())
        with pytest.raises(NoSuchObject):
            lockable.write_once.hold("a", True)

    @pytest.mark.parametrize("mode", MODES)
    def test_refuses_a_lock_that_has_ended(self, lockable: Store, mode: Mode) -> None:
        self.needs("refuse the past")
        self.has(mode)
        with pytest.raises(StoreFailing) as caught:
            lockable.put("a", b"bytes", lock=self.lock(mode, later=-2 * self.lock_for))
        assert caught.value.reason == "refused"
        assert lockable.head("a") is None

    @pytest.mark.parametrize("bypass", [False, True])
    def test_keeps_what_is_locked_for_compliance(self, lockable: Store, bypass: bool) -> None:
        version = lockable.put("a", b"bytes", lock=self.has(Mode.COMPLIANCE))
        with pytest.raises(StoreLocked):
            lockable.write_once.remove_version("a", version, bypass=bypass)
        assert lockable.get("a", version=version) == b"bytes"

    def test_governance_is_passed_only_by_who_asks_for_it(self, lockable: Store) -> None:
        version = lockable.put("a", b"bytes", lock=self.has(Mode.GOVERNANCE))
        with pytest.raises(StoreLocked):
            lockable.write_once.remove_version("a", version)
        assert lockable.get("a", version=version) == b"bytes"
        lockable.write_once.remove_version("a", version, bypass=True)
        assert lockable.head("a") is None
        assert list(lockable.write_once.versions()) == []

    @pytest.mark.parametrize("mode", MODES)
    def test_remove_leaves_what_is_locked_as_it_was(self, lockable: Store, mode: Mode) -> None:
        lockable.put("a", b"bytes", lock=self.has(mode))
        before = list(lockable.write_once.versions())
        with pytest.raises(StoreLocked):
            lockable.remove("a")
        assert list(lockable.write_once.versions()) == before
        assert lockable.get("a") == b"bytes"

    def test_remove_leaves_no_version(self, lockable: Store) -> None:
        for body in (b"1", b"2", b"3"):
            lockable.put("a", body)
        lockable.put("ab", b"another")
        lockable.remove("a")
        assert [found.key for found in lockable.write_once.versions()] == ["ab"]

    @pytest.mark.parametrize("mode", MODES)
    def test_a_lock_grows(self, lockable: Store, mode: Mode) -> None:
        self.needs("extend")
        lock = self.has(mode)
        version = lockable.put("a", b"bytes", lock=lock)
        later = Lock(mode, lock.until + timedelta(days=2))
        for wanted in (later, later):
            lockable.write_once.extend("a", wanted, version=version)
            assert lockable.write_once.state("a", version=version).lock == wanted

    def test_locks_what_was_not(self, lockable: Store) -> None:
        self.needs("extend")
        lock = self.has(Mode.COMPLIANCE)
        lockable.put("a", b"bytes")
        lockable.write_once.extend("a", lock)
        assert lockable.write_once.state("a").lock == lock

    @pytest.mark.parametrize("mode", MODES)
    def test_a_lock_never_shrinks(self, lockable: Store, mode: Mode) -> None:
        lock = self.has(mode)
        version = lockable.put("a", b"bytes", lock=lock)
        shorter = Lock(mode, lock.until - self.lock_for / 2)
        with pytest.raises(StoreLocked):
            lockable.write_once.extend("a", shorter, version=version)
        assert lockable.write_once.state("a", version=version).lock == lock

    def test_a_lock_never_softens(self, lockable: Store) -> None:
        self.needs("governance")
        lock = self.has(Mode.COMPLIANCE)
        version = lockable.put("a", b"bytes", lock=lock)
        for until in (lock.until, lock.until + timedelta(days=2)):
            with pytest.raises(StoreLocked):
                lockable.write_once.extend("a", Lock(Mode.GOVERNANCE, until), version=version)
            assert lockable.write_once.state("a", version=version).lock == lock

    def test_a_lock_hardens(self, lockable: Store) -> None:
        self.needs("governance", "harden")
        lock = self.has(Mode.GOVERNANCE)
        version = lockable.put("a", b"bytes", lock=lock)
        harder = Lock(Mode.COMPLIANCE, lock.until)
        lockable.write_once.extend("a", harder, version=version)
        assert lockable.write_once.state("a", version=version).lock == harder

    def test_a_short_lock_ends(self, lockable: Store) -> None:
        self.needs("short lock", "compliance")
        until = (datetime.now(UTC) + SHORT).replace(microsecond=0)
        version = lockable.put("a", b"bytes", lock=Lock(Mode.COMPLIANCE, until))
        with pytest.raises(StoreLocked):
            lockable.write_once.remove_version("a", version)
        self.outlive(until)
        lockable.write_once.remove_version("a", version)
        assert lockable.head("a") is None

    def test_a_hold_keeps(self, lockable: Store) -> None:
        self.needs("hold")
        version = lockable.put("a", b"bytes")
        for _ in range(2):
            lockable.write_once.hold("a", True, version=version)
            assert lockable.write_once.state("a", version=version).hold
        for bypass in (False, True):
            with pytest.raises(StoreLocked):
                lockable.write_once.remove_version("a", version, bypass=bypass)
        assert lockable.get("a", version=version) == b"bytes"
        for _ in range(2):
            lockable.write_once.hold("a", False)
            assert not lockable.write_once.state("a").hold
        lockable.write_once.remove_version("a", version)
        assert lockable.head("a") is None

    def test_a_hold_outlives_the_lock(self, lockable: Store) -> None:
        self.needs("hold", "hold on", "short lock", "compliance")
        until = (datetime.now(UTC) + SHORT).replace(microsecond=0)
        version = lockable.put("a", b"bytes", lock=Lock(Mode.COMPLIANCE, until))
        lockable.write_once.hold("a", True)
        self.outlive(until)
        with pytest.raises(StoreLocked):
            lockable.write_once.remove_version("a", version)
        lockable.write_once.hold("a", False)
        lockable.write_once.remove_version("a", version)

    def test_an_overwrite_keeps_the_first_bytes(self, lockable: Store) -> None:
        lock = self.has(Mode.COMPLIANCE)
        first = lockable.put("a", b"evidence", lock=lock)
        if "versions" in self.cannot:
            with pytest.raises((StoreLocked, StoreFailing)):
                lockable.put("a", b"forged")
            assert lockable.get("a") == b"evidence"
            return
        second = lockable.put("a", b"forged")
        assert second != first
        assert lockable.get("a") == b"forged"
        assert lockable.get("a", version=first) == b"evidence"
        assert lockable.get_range("a", 1, 3, version=first) == b"vid"
        found = lockable.head("a", version=first)
        assert found is not None and (found.size, found.version) == (8, first)
        assert lockable.write_once.state("a", version=first).lock == lock

    def test_lists_versions_by_key_newest_first(self, lockable: Store) -> None:
        self.needs("versions")
        put = {key: [lockable.put(key, b"%d" % n) for n in range(3)] for key in ("b", "a/x", "a0")}
        found = list(lockable.write_once.versions())
        wanted = [(key, version) for key in sorted(put) for version in put[key][::-1]]
        assert [(one.key, one.version) for one in found] == wanted
        assert [one.latest for one in found] == [True, False, False] * 3
        assert not any(one.marker for one in found)
        assert {one.key for one in lockable.write_once.versions("a/")} == {"a/x"}

    def test_lists_more_versions_than_a_page(self, lockable: Store) -> None:
        self.needs("versions")
        put = [lockable.put("a", b"") for _ in range(self.many)]
        assert [one.version for one in lockable.write_once.versions()] == put[::-1]

    def test_a_deleted_object_is_hidden_and_comes_back(self, lockable: Store) -> None:
        self.needs("markers")
        lock = self.has(Mode.COMPLIANCE)
        version = lockable.put("a", b"evidence", lock=lock)
        self.delete(lockable, "a")
        assert lockable.head("a") is None
        with pytest.raises(NoSuchObject):
            lockable.get("a")
        with pytest.raises(NoSuchObject):
            lockable.write_once.state("a")
        assert keys_of(lockable) == []
        assert lockable.get("a", version=version) == b"evidence"
        marker, first = lockable.write_once.versions()
        assert (marker.key, marker.marker, marker.latest, marker.size) == ("a", True, True, 0)
        assert (first.version, first.marker, first.latest) == (version, False, False)
        lockable.write_once.remove_version("a", marker.version)
        assert lockable.get("a") == b"evidence"
        assert [one.version for one in lockable.write_once.versions()] == [version]

    def outlive(self, until: datetime) -> None:
        """Sleeps until a lock has ended; a store may look a second later."""
        time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + 1.5)
