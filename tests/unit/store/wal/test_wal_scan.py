"""Where a chain ends: fences, holes, ghosts, cleaned slots, and what is missing or damaged."""

from __future__ import annotations

import pytest
from simulator import Call, Fault, SimulatedStore
from wal_objects import OF, B, Written, checkpoint, group, root

from muniment.errors import Corrupt, StoreFailing
from muniment.store.port import Object
from muniment.store.wal.chain import Chain
from muniment.store.wal.names import MAX_SLOT, Place, key, place_of
from muniment.store.wal.scan import View, scan

X, Y, Z = b"x" * 16, b"y" * 16, b"z" * 16


@pytest.fixture
def store() -> SimulatedStore:
    return SimulatedStore("wal")


@pytest.fixture
def written(store: SimulatedStore) -> Written:
    written = Written(store)
    written.fence(0, 0, X, 0)
    return written


def look(store: SimulatedStore) -> View:
    return scan(store, OF, lambda seconds: None)


def sizes(store: SimulatedStore, from_size: int = 0) -> list[int]:
    return [one.size for one in Chain(store, OF, look(store)).appends(from_size)]


def end(store: SimulatedStore) -> Place:
    newest = look(store).newest
    return Place(newest.number, newest.end)


def fill(written: Written, slots: int, behind: int = 1, term: int = 1, writer: bytes = X) -> None:
    """Objects of one entry each; each states the slots `behind` it and before as confirmed."""
    for slot in range(slots):
        written.data(term, slot, writer, max(0, slot - behind), group(slot, slot + 1))


def test_nothing_at_all(store: SimulatedStore) -> None:
    view = look(store)
    assert view.fence is None and view.newest.number == 0 and view.newest.end == 0
    assert sizes(store) == []


def test_a_term_without_appends(store: SimulatedStore, written: Written) -> None:
    assert end(store) == Place(1, 0)
    assert look(store).newest.tree is None


def test_an_open_term(store: SimulatedStore, written: Written) -> None:
    fill(written, 5)
    assert end(store) == Place(1, 5)
    tree = look(store).newest.tree
    assert tree is not None and (tree.size, tree.root) == (5, root(5))
    assert sizes(store) == [1, 2, 3, 4, 5] and sizes(store, 3) == [4, 5] and sizes(store, 5) == []


def test_what_lies_behind_a_hole_is_void(store: SimulatedStore, written: Written) -> None:
    fill(written, 3)
    written.data(1, 4, X, 2, group(4, 5))
    assert end(store) == Place(1, 3)
    assert Chain(store, OF, look(store)).void == 1
    assert sizes(store) == [1, 2, 3]


def test_what_lies_behind_a_fence_is_void(store: SimulatedStore, written: Written) -> None:
    fill(written, 3)
    written.fence(1, 3, Y, 3, 3, B)
    prev = written.prev
    written.data(1, 4, X, 2, group(4, 5))
    view = look(store)
    assert end(store) == Place(2, 0) and view.fence and view.fence.header.node == B
    written.prev = prev
    written.data(2, 0, Y, 0, group(3, 4))
    assert sizes(store) == [1, 2, 3, 4]


def test_the_end_is_not_found_from_the_lowest_slot(store: SimulatedStore, written: Written) -> None:
    """A request of long ago arrives again, in a slot that was cleaned."""
    fill(written, 6)
    written.remove(1, 0, 1, 2)
    ghost = written.objects[Place(1, 1)]
    store.put(key(OF, Place(1, 1)), ghost.data)
    assert end(store) == Place(1, 6)
    assert sizes(store, 3) == [4, 5, 6]


def test_a_fence_that_came_too_late_is_void(store: SimulatedStore, written: Written) -> None:
    fill(written, 6)
    written.remove(1, 0, 1, 2)
    written.fence(1, 2, Y, 2, 2, B)
    view = look(store)
    assert end(store) == Place(1, 6)
    assert view.fence is not None and view.fence.header.writer == X
    assert sizes(store, 3) == [4, 5, 6]


def test_a_cleaned_term_ends_at_its_fence(store: SimulatedStore, written: Written) -> None:
    """Void objects, whose writer knew less than the fence, are all that is left beside it."""
    fill(written, 6, behind=4)
    written.fence(1, 6, Y, 6, 6, B)
    written.data(1, 7, X, 1, group(7, 8))
    written.remove(1, *range(6))
    assert end(store) == Place(2, 0)
    tree = look(store).newest.tree
    assert tree is not None and tree.size == 6


def test_a_fence_ahead_counts_when_it_is_reached(store: SimulatedStore, written: Written) -> None:
    fill(written, 3)
    written.fence(1, 5, Y, 3, 3, B)
    assert end(store) == Place(1, 3)
    written.data(1, 3, X, 2, group(3, 4))
    assert end(store) == Place(1, 4)
    written.data(1, 4, X, 2, group(4, 5))
    assert end(store) == Place(2, 0)
    tree = look(store).newest.tree
    assert tree is not None and tree.size == 5


def test_a_fence_before_one_ahead(store: SimulatedStore, written: Written) -> None:
    fill(written, 3)
    written.fence(1, 8, Y, 3, 3, B)
    written.fence(1, 3, Z, 3, 3)
    view = look(store)
    assert view.fence is not None and view.fence.header.writer == Z


def test_the_cleaner_goes_on_past_what_a_fence_ahead_states(
    store: SimulatedStore, written: Written
) -> None:
    fill(written, 3)
    written.fence(1, 9, Y, 3, 3, B)
    for slot in range(3, 9):
        written.data(1, slot, X, slot - 1, group(slot, slot + 1))
    written.remove(1, *range(7))  # slot 8 states 7
    assert end(store) == Place(2, 0)
    assert sizes(store, 7) == [8, 9]


def test_a_confirmed_object_is_gone(store: SimulatedStore, written: Written) -> None:
    fill(written, 6)
    written.remove(1, 3)
    with pytest.raises(Corrupt, match=r"the entries from 2 on.*2 entries are missing"):
        sizes(store, 2)
    assert sizes(store, 4) == [5, 6]


def test_the_last_object_of_a_term_is_gone(store: SimulatedStore, written: Written) -> None:
    fill(written, 6)
    written.fence(1, 6, Y, 6, 6, B)
    written.remove(1, 5)
    with pytest.raises(Corrupt, match="4 entries are missing"):
        sizes(store, 2)


def test_a_fence_is_gone(store: SimulatedStore, written: Written) -> None:
    fill(written, 2)
    written.fence(1, 2, Y, 2, 2, B)
    written.data(2, 0, Y, 0, group(2, 3))
    written.remove(1, 2)
    with pytest.raises(Corrupt, match="the fence that began term 2"):
        look(store)


def test_an_open_term_without_its_last_object(store: SimulatedStore, written: Written) -> None:
    fill(written, 3)
    written.data(1, 4, X, 3, group(4, 5))
    written.remove(1, 2)
    with pytest.raises(Corrupt, match="a confirmed write-ahead object"):
        look(store)


@pytest.mark.parametrize("slot", [0, 2, 3, 5])
def test_a_damaged_object(store: SimulatedStore, written: Written, slot: int) -> None:
    fill(written, 6)
    data = bytearray(written.objects[Place(1, slot)].data)
    data[-40] ^= 1
    store.backing.poke(key(OF, Place(1, slot)), bytes(data))
    with pytest.raises(Corrupt):
        sizes(store)


def test_an_object_in_the_place_of_another(store: SimulatedStore, written: Written) -> None:
    fill(written, 6)
    store.backing.poke(key(OF, Place(1, 5)), written.objects[Place(1, 4)].data)
    with pytest.raises(Corrupt, match="term 1, slot 5"):
        look(store)


def test_an_object_of_another_history(store: SimulatedStore, written: Written) -> None:
    fill(written, 3)
    written.prev = b"?" * 32
    written.data(1, 3, X, 2, group(3, 4))
    with pytest.raises(Corrupt, match="a link to"):
        sizes(store)


def test_an_object_of_a_writer_who_has_not_the_term(
    store: SimulatedStore, written: Written
) -> None:
    fill(written, 2)
    written.data(1, 2, Z, 1, group(2, 3))
    with pytest.raises(Corrupt, match="an object of the writer"):
        look(store)


def test_a_tree_that_does_not_go_on(store: SimulatedStore, written: Written) -> None:
    fill(written, 2)
    written.data(1, 2, X, 1, group(5, 6))
    with pytest.raises(Corrupt, match="an append at 2"):
        sizes(store)


def test_a_size_within_an_append(store: SimulatedStore, written: Written) -> None:
    written.data(1, 0, X, 0, group(0, 5))
    with pytest.raises(Corrupt, match="an append from 3 on"):
        sizes(store, 3)


def test_checkpoints_at_the_size_are_given_again(store: SimulatedStore, written: Written) -> None:
    written.data(1, 0, X, 0, group(0, 5), checkpoint(5), checkpoint(5, 5), group(5, 6, 5))
    found = list(Chain(store, OF, look(store)).appends(5))
    assert found == [checkpoint(5), checkpoint(5, 5), group(5, 6, 5)]


def test_pages(written: Written, store: SimulatedStore) -> None:
    fill(written, 30)
    store.page = 7
    assert end(store) == Place(1, 30)


def test_a_list_that_breaks_off_is_no_answer(written: Written, store: SimulatedStore) -> None:
    fill(written, 30)
    store.page = 7
    store.faults.next(Fault.CUT, "list")
    with pytest.raises(StoreFailing):
        look(store)


def test_what_was_listed_is_cleaned_before_it_is_read(
    store: SimulatedStore, written: Written
) -> None:
    fill(written, 6)

    def go_on(call: Call) -> None:
        for slot in range(6, 20):
            written.data(1, slot, X, slot - 1, group(slot, slot + 1))
        written.remove(1, *range(18))

    store.pause = go_on
    store.faults.next(Fault.SLOW, "get_range")
    assert end(store) == Place(1, 20)


def test_many_restarts_are_not_read_one_by_one(store: SimulatedStore, written: Written) -> None:
    for term in range(1, 300):
        written.fence(term, 0, X, 0)
    store.calls.clear()
    assert end(store) == Place(300, 0)
    assert len(store.calls) < 10


class Sharded(SimulatedStore):
    """Reads one part of a listing first, and lets the writer go on before the other."""

    between = staticmethod(lambda: None)

    def list(self, prefix: str = "", *, after: str = ""):  # type: ignore[no-untyped-def]
        first = [one for one in super().list(prefix, after=after) if one.key[-1] not in "45"]
        self.between()
        second = [one for one in super().list(prefix, after=after) if one.key[-1] in "45"]
        return iter(sorted(first + second, key=lambda one: one.key))


def test_why_the_cleaner_waits() -> None:
    """Were the old statement removed while a page is read, the new one could be missed as well.

    Slots 0 to 3 are cleaned, and a fence came too late into slot 2. A store that reads its index
    in parts shows slot 2; then the writer puts slot 6, and slots 4 and 5 are removed at once. The
    reader sees the void fence alone. So the cleaner relies on a statement only when it is old.
    """
    store = Sharded("wal")
    written = Written(store)
    written.fence(0, 0, X, 0)
    fill(written, 6)
    written.remove(1, *range(4))
    written.fence(1, 2, Y, 2, 2, B)
    assert end(store) == Place(1, 6)

    def too_early() -> None:
        if Place(1, 6) not in written.objects:
            written.data(1, 6, X, 6, group(6, 7))
            written.remove(1, 4, 5)

    store.between = too_early  # type: ignore[method-assign]
    assert end(store) == Place(2, 0), "were it not for the time that it waits"
    assert end(store) == Place(1, 7)


def test_objects_of_others_are_left_alone(store: SimulatedStore, written: Written) -> None:
    store.put("wal/default/aa/README", b"x")
    store.put("wal/default/aab/0000000009/00000000000000000000", b"x")
    fill(written, 2)
    assert end(store) == Place(1, 2)
    assert all(isinstance(one, Object) for one in store.list())


def test_a_slot_that_fits_into_no_header_is_nobodys() -> None:
    of = OF
    assert place_of(of, key(of, Place(1, MAX_SLOT))) == Place(1, MAX_SLOT)
    assert place_of(of, key(of, Place(1, MAX_SLOT + 1))) is None
    assert place_of(of, key(of, Place(1, 10**20 - 1))) is None
