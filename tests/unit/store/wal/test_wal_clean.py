"""The cleaner: what goes, what stays; and which stores are refused at the start."""

from __future__ import annotations

import pytest
from fake_clock import FakeClock
from simulator import Fault, SimulatedStore
from wal_objects import AT, OF, A, B, Written, group

from muniment.errors import Fenced, MunimentError, SettingsError
from muniment.store.port import Mode
from muniment.store.wal.clean import Cleaner
from muniment.store.wal.flight import Flight, Owner, Waiting, attempt
from muniment.store.wal.names import Place, place_of
from muniment.store.wal.probe import check_wal_store
from muniment.store.wal.progress import Progress
from muniment.store.wal.scan import scan

X, Y, Z = b"x" * 16, b"y" * 16, b"z" * 16


def left(store: SimulatedStore) -> list[Place]:
    found = (place_of(OF, one.key) for one in store.list())
    return [place for place in found if place is not None]


@pytest.fixture
def store() -> SimulatedStore:
    """Term 1: slots 0 to 5 in segments 0 and 4, a fence, void slots; term 2 has its fence alone."""
    store = SimulatedStore()
    written = Written(store)
    written.fence(0, 0, X, 0)
    for slot in range(6):
        segment = 0 if slot < 4 else 4
        written.data(1, slot, X, max(0, slot - 1), group(slot, slot + 1, segment))
    fence = written.fence(1, 6, Y, 6, 6, B)
    written.data(1, 7, X, 5, group(7, 8, 4))
    written.data(1, 8, X, 5, group(8, 9, 4))
    written.prev = fence.digest
    written.fence(2, 0, Z, 0, 6)
    return store


def cleaner(store: SimulatedStore) -> Cleaner:
    return Cleaner(store, OF, scan(store, OF, lambda seconds: None), FakeClock())


def test_what_is_covered_goes(store: SimulatedStore) -> None:
    made = cleaner(store)
    fences = [Place(0, 0), Place(1, 6), Place(2, 0)]
    made.step(0)
    assert left(store) == sorted([*fences, *(Place(1, slot) for slot in range(6))])
    made.step(4)
    assert left(store) == sorted([*fences, Place(1, 4), Place(1, 5)])
    made.step(6)
    assert left(store) == fences
    assert made.removed == 8
    view = scan(store, OF, lambda seconds: None)
    assert view.newest.number == 3 and view.newest.tree and view.newest.tree.size == 6


def test_a_failure_is_made_up_for(store: SimulatedStore) -> None:
    made = cleaner(store)
    store.faults.next(Fault.BUSY, "remove")
    store.faults.next(Fault.LOST, "remove")
    for _ in range(2):
        with pytest.raises(MunimentError):
            made.step(6)
    made.step(6)
    assert len(left(store)) == 3


def test_the_thread_tries_and_ends(store: SimulatedStore) -> None:
    made = cleaner(store)
    made.clean(6)
    made.close()
    made.clean(7)
    assert made.failures == 0


def test_what_a_fence_ahead_does_not_state_stays() -> None:
    store = SimulatedStore()
    written = Written(store)
    written.fence(0, 0, X, 0)
    written.fence(1, 4, Y, 0)
    for slot in range(4):
        written.data(1, slot, X, max(0, slot - 1), group(slot, slot + 1))
    made = cleaner(store)
    made.step(100)
    assert len(left(store)) == 6


def test_progress_waits_for_a_statement_to_be_old() -> None:
    progress = Progress()
    for slot in range(10):
        progress.stored(slot, slot // 4 * 4, max(0, slot - 2), 1000.0 + slot)
    assert progress.removable(4, 1050.0, 60.0) == 0
    assert progress.removable(4, 1064.0, 60.0) == 2
    assert progress.removable(4, 1069.0, 60.0) == 4
    assert progress.removable(8, 1069.0, 60.0) == 7
    assert progress.removable(100, 2000.0, 60.0) == 7
    assert progress.forget(4) == 4
    assert progress.removable(100, 2000.0, 60.0) == 7


def test_progress_is_bounded() -> None:
    progress = Progress()
    for slot in range(10_000):
        progress.stored(slot, slot // 1000, slot, slot / 1000)
    assert len(progress._statements) <= 11 and len(progress._segments) == 10


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (SimulatedStore(versioned=True), "keeps versions"),
        (SimulatedStore(fencing=False), "durability = local"),
    ],
)
def test_stores_that_will_not_do(made: SimulatedStore, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        check_wal_store(made)


def test_buckets_that_lock_or_expire_are_refused() -> None:
    check_wal_store(SimulatedStore())
    locking = SimulatedStore(lockable=True)
    locking.backing.default_mode, locking.backing.default_days = Mode.GOVERNANCE, 3
    with pytest.raises(SettingsError, match="locks"):
        check_wal_store(locking)
    expiring = SimulatedStore()
    expiring.backing.expires = ["all after 30 days"]
    with pytest.raises(SettingsError, match="30 days"):
        check_wal_store(expiring)


def test_a_writer_that_slept_for_a_year_meets_its_fence(store: SimulatedStore) -> None:
    """Its last objects were replayed by others and cleaned; its terms are long over."""
    cleaner(store).step(100)
    flight = Flight(Owner(OF, A, 1, X, bytes(32)))
    for size in range(8):
        flight.offer(Waiting(group(size, size + 1), lambda error: None))
    parcels = []
    while (draft := flight.take(1)) is not None:
        parcels.append(flight.launch(draft, AT))
    for slot in range(5):
        flight.stored(slot, 0.0)
    flight.due.clear()
    for slot in (7, 6, 5):
        fence = attempt(store, OF, parcels[slot])
        if fence is None:
            flight.stored(slot, 0.0)
        else:
            flight.fenced(slot, fence)
    told = [(one.waiting.append.size, one.error) for one in flight.due]
    assert told[0] == (6, None), "it is in the chain, and was cleaned since"
    assert [size for size, _ in told[1:]] == [7, 8]
    assert all(isinstance(error, Fenced) and "'b'" in str(error) for _, error in told[1:])
    again = scan(store, OF, lambda seconds: None)
    assert again.newest.number == 3 and again.newest.tree and again.newest.tree.size == 6
