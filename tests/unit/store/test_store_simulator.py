"""The simulated store itself: what it promises where nothing fails, and each of its faults."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import ClassVar

import pytest
from behaviour import StoreBehaviour
from behaviour_locks import LockBehaviour
from fake_clock import FakeClock
from simulator import Call, Fault, SimulatedStore

from muniment.errors import NoSuchObject, StoreFailing, StoreLocked
from muniment.store.port import Lock, Mode, Store, WriteOnce


class TestSimulatedStore(StoreBehaviour):
    @pytest.fixture
    def store(self) -> Store:
        return SimulatedStore(page=100)


class TestSimulatedVersions(StoreBehaviour):
    @pytest.fixture
    def store(self) -> Store:
        return SimulatedStore(versioned=True, lockable=True, page=100)


class TestSimulatedLocks(LockBehaviour):
    @pytest.fixture
    def lockable(self) -> Store:
        return SimulatedStore(versioned=True, lockable=True, page=100)

    def delete(self, store: Store, key: str) -> None:
        assert isinstance(store, SimulatedStore)
        store.backing.hide(key)


class TestSimulatedLocksWithoutVersions(LockBehaviour):
    cannot: ClassVar = {
        "versions": "this bucket keeps none",
        "markers": "this bucket keeps no versions to hide",
    }

    @pytest.fixture
    def lockable(self) -> Store:
        return SimulatedStore(lockable=True, page=100)


def locked_store(clock: FakeClock) -> SimulatedStore:
    return SimulatedStore(versioned=True, lockable=True, clock=clock)


def keys(store: Store, prefix: str = "", after: str = "") -> list[str]:
    return [found.key for found in store.list(prefix, after=after)]


def test_it_is_a_store_and_a_policy() -> None:
    store: Store = SimulatedStore()
    policy: WriteOnce = store.write_once
    assert store.fences("check")
    assert not policy.bucket().versioned
    assert keys(store) == []


def test_a_key_is_taken_once_by_any_node() -> None:
    store = SimulatedStore()
    other = store.seen_by("other")
    assert store.put_if_absent("a", b"one") == ""
    assert other.put_if_absent("a", b"two") is None
    assert other.get("a") == b"one"
    assert other.get_range("a", 1, 5) == b"ne"


def test_a_store_that_does_not_fence_is_seen() -> None:
    store = SimulatedStore(fencing=False)
    assert not store.fences("wal/check")
    assert keys(store) == []


def test_a_list_comes_in_pages_and_goes_on_behind_a_key() -> None:
    store = SimulatedStore(page=2)
    for name in ("a/1", "a/2", "a/3", "a/4", "a/5", "b"):
        store.put(name, b"x")
    assert keys(store, "a/") == ["a/1", "a/2", "a/3", "a/4", "a/5"]
    assert keys(store, after="a/4") == ["a/5", "b"]


def test_versions_markers_and_locks() -> None:
    clock = FakeClock()
    store = locked_store(clock)
    until = clock.now() + timedelta(days=1)
    first = store.put("a", b"one", lock=Lock(Mode.COMPLIANCE, until))
    second = store.put("a", b"two")
    marker = store.backing.hide("a")
    with pytest.raises(NoSuchObject):
        store.get("a")
    assert store.get("a", version=first) == b"one"
    assert [v.version for v in store.versions()] == [marker, second, first]
    store.remove_version("a", marker)
    assert store.get("a") == b"two"
    with pytest.raises(StoreLocked):
        store.remove_version("a", first, bypass=True)
    with pytest.raises(StoreLocked):
        store.extend("a", Lock(Mode.GOVERNANCE, until + timedelta(days=1)), version=first)
    clock.seconds += 86_401
    store.remove_version("a", first)
    assert [v.version for v in store.versions()] == [second]


def test_a_hold_is_kept_and_let_go() -> None:
    store = locked_store(FakeClock())
    version = store.put("a", b"one")
    store.hold("a", True)
    assert store.state("a").hold
    with pytest.raises(StoreLocked):
        store.remove_version("a", version, bypass=True)
    store.hold("a", False)
    store.remove("a")
    assert store.head("a") is None


def test_governance_can_be_passed() -> None:
    clock = FakeClock()
    store = locked_store(clock)
    lock = Lock(Mode.GOVERNANCE, clock.now() + timedelta(days=1))
    version = store.put("a", b"one", lock=lock)
    with pytest.raises(StoreLocked):
        store.remove_version("a", version)
    store.remove_version("a", version, bypass=True)


def test_what_is_locked_without_versions_is_not_replaced() -> None:
    clock = FakeClock()
    store = SimulatedStore(lockable=True, clock=clock)
    store.put("a", b"one", lock=Lock(Mode.COMPLIANCE, clock.now() + timedelta(days=1)))
    with pytest.raises(StoreLocked):
        store.put("a", b"two")
    with pytest.raises(StoreLocked):
        store.remove("a")
    assert store.get("a") == b"one"


def test_other_bytes_than_their_hash_are_refused() -> None:
    with pytest.raises(StoreFailing):
        SimulatedStore().put("a", b"one", sha256=sha256(b"two").digest())


def test_a_lost_answer() -> None:
    store = SimulatedStore()
    store.faults.next(Fault.LOST, "put_if_absent")
    with pytest.raises(StoreFailing) as failed:
        store.put_if_absent("a", b"one")
    assert failed.value.unknown
    assert store.put_if_absent("a", b"one") is None


def test_a_put_that_lands_later_than_its_repetition() -> None:
    store = SimulatedStore()
    store.faults.next(Fault.LATE, "put")
    with pytest.raises(StoreFailing) as failed:
        store.put("a", b"old")
    assert failed.value.unknown
    store.put("a", b"new")
    assert store.backing.land() == 1
    assert store.get("a") == b"old"


def test_a_doubled_put_if_absent_lands_only_where_the_key_is_free_again() -> None:
    store = SimulatedStore()
    store.faults.next(Fault.DOUBLED, "put_if_absent")
    assert store.put_if_absent("a", b"one") == ""
    store.remove("a")
    store.backing.land()
    assert store.backing.contents() == {"a": b"one"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.BUSY, "busy"),
        (Fault.UNREACHABLE, "unreachable"),
        (Fault.FULL, "full"),
        (Fault.CREDENTIALS, "credentials"),
    ],
)
def test_refusals(fault: Fault, reason: str) -> None:
    store = SimulatedStore()
    store.faults.always(fault)
    with pytest.raises(StoreFailing) as failed:
        store.put("a", b"one")
    assert (failed.value.reason, failed.value.unknown) == (reason, False)
    store.faults.clear()
    assert keys(store) == []


def test_one_node_is_cut_off_and_the_other_is_not() -> None:
    store = SimulatedStore()
    other = store.seen_by("other")
    store.faults.always(Fault.UNREACHABLE)
    other.put("a", b"one")
    with pytest.raises(StoreFailing):
        store.get("a")


def test_a_list_that_fails_on_its_second_page() -> None:
    store = SimulatedStore(page=2)
    for name in "abc":
        store.put(name, b"x")
    store.faults.next(Fault.CUT, "list")
    seen = []
    with pytest.raises(StoreFailing):
        for found in store.list():
            seen.append(found.key)
    assert seen == ["a", "b"]
    assert keys(store) == ["a", "b", "c"]


def test_a_flipped_bit() -> None:
    store = SimulatedStore()
    store.put("a", b"bytes")
    store.faults.next(Fault.FLIPPED, "get")
    data = store.get("a")
    assert sum((x ^ y).bit_count() for x, y in zip(data, b"bytes", strict=True)) == 1
    assert store.get("a") == b"bytes"


def test_slow_calls_a_hook_and_a_seed_repeats_itself() -> None:
    slow: list[Call] = []
    outcomes = []
    for _ in range(2):
        store = SimulatedStore()
        store.pause = slow.append
        store.faults.at_random(7, 0.5, [Fault.SLOW, Fault.LOST, Fault.BUSY])
        outcome = []
        for number in range(60):
            try:
                store.put(f"{number}", b"x")
                outcome.append("")
            except StoreFailing as error:
                outcome.append(f"{error.reason} {error.unknown}")
        outcomes.append(outcome)
    assert outcomes[0] == outcomes[1]
    assert len(set(outcomes[0])) == 3
    assert slow


def test_locks_on_paper_refuse_nothing() -> None:
    clock = FakeClock()
    store = locked_store(clock)
    store.backing.enforcing = False
    lock = Lock(Mode.COMPLIANCE, clock.now() + timedelta(days=1))
    version = store.put("a", b"one", lock=lock)
    assert store.state("a").lock == lock
    store.remove_version("a", version)
    assert store.head("a") is None
