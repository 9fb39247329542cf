"""Claims: who may, who is refused, and that a contender finishes."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from fake_clock import FakeClock
from simulator import Call, Fault, SimulatedStore
from wal_objects import OF, A, B, Written, group, root

from muniment.errors import Corrupt, Fenced, StoreFailing
from muniment.store.wal.claim import Claim, claim
from muniment.store.wal.identity import Node
from muniment.store.wal.names import Place, key
from muniment.store.wal.scan import Tree

X = b"x" * 16


def take(
    store: SimulatedStore,
    node: Node,
    *,
    take_over: bool = False,
    tree: Tree | None = None,
    origin: str = OF.origin,
) -> Claim:
    return claim(
        store,
        origin,
        OF.log,
        OF.shard,
        node,
        clock=FakeClock(),
        randomness=Random(len(store.calls)).randbytes,
        take_over=take_over,
        tree=tree,
        pause=lambda seconds: None,
    )


def test_the_first_claim_ever() -> None:
    made = take(SimulatedStore(), A)
    assert (made.term, made.begun, made.size, made.root) == (1, False, 0, b"")
    assert made.before is None and made.void == 0 and list(made.appends(0)) == []


def test_a_shard_that_has_entries_of_before_its_first_claim() -> None:
    store = SimulatedStore()
    assert list(take(store, A).appends(500)) == []


def test_the_same_node_again() -> None:
    store = SimulatedStore()
    take(store, A)
    again = take(store, A)
    assert again.term == 2 and again.before is not None and again.before.node == A


def test_another_node_is_refused_unless_it_is_asked_to_take_over() -> None:
    store = SimulatedStore()
    take(store, A)
    with pytest.raises(Fenced, match=r"the node 'a' took aa over at 2026-01-02T03:04:05"):
        take(store, B)
    assert take(store, B, take_over=True).term == 2
    with pytest.raises(Fenced, match="'b'"):
        take(store, A)


def test_another_data_directory_of_the_same_name_is_another_node() -> None:
    store = SimulatedStore()
    take(store, A)
    with pytest.raises(Fenced):
        take(store, replace(A, instance=b"?" * 16))


def test_an_origin_that_is_another() -> None:
    store = SimulatedStore()
    take(store, A)
    with pytest.raises(Corrupt, match=r"other\.example"):
        take(store, A, origin="other.example")


def test_lost_answers() -> None:
    for fault in (Fault.LOST, Fault.LATE, Fault.DOUBLED, Fault.BUSY):
        store = SimulatedStore()
        take(store, A)
        store.faults.next(fault, "put_if_absent")
        made = take(store, B, take_over=True)
        store.backing.land()
        assert made.term == 2
        assert take(store, B).term == 3


def test_a_store_that_fails_is_said() -> None:
    store = SimulatedStore()
    store.faults.always(Fault.UNREACHABLE)
    with pytest.raises(StoreFailing):
        take(store, A)
    store.faults.clear()
    store.faults.always(Fault.FULL, "put_if_absent")
    with pytest.raises(StoreFailing):
        take(store, A)


def test_a_damaged_last_object() -> None:
    store = SimulatedStore()
    written = Written(store)
    written.fence(0, 0, X, 0)
    data = bytearray(written.data(1, 0, X, 0, group(0, 1)).data)
    data[-40] ^= 1
    store.backing.poke(key(OF, Place(1, 0)), bytes(data))
    with pytest.raises(Corrupt):
        take(store, A, take_over=True)


def fast_writer(store: SimulatedStore, written: Written, stops_after: int) -> None:
    """Whenever the contender is about to put its fence, the writer is there first."""
    slots = iter(range(1, stops_after))

    def go_on(call: Call) -> None:
        if call.operation != "put_if_absent" or call.node != "b":
            return
        for _ in range(3):
            slot = next(slots, None)
            name = key(OF, Place(1, slot or 0))
            if slot is None or store.head(name) is not None:
                return
            written.data(1, slot, X, slot - 1, group(slot, slot + 1))

    contender = store.seen_by("b")
    contender.pause = go_on
    contender.faults.always(Fault.SLOW)
    made = take(contender, B, take_over=True)
    assert made.term == 2 and made.root == root(made.size)
    assert [one.size for one in made.appends(0)] == list(range(1, made.size + 1))


@pytest.mark.parametrize("stops_after", [2, 5, 12, 40, 100_000])
def test_a_contender_finishes_however_fast_the_writer_is(stops_after: int) -> None:
    store = SimulatedStore()
    written = Written(store)
    written.fence(0, 0, X, 0)
    written.data(1, 0, X, 0, group(0, 1))
    fast_writer(store, written, stops_after)


class Forgetful(SimulatedStore):
    """Leaves slot 2 out of the first listing that shows a fence in slot 5.

    So it is with a store that reads its index in parts, where the slots before a fence ahead were
    written meanwhile.
    """

    forgot = False

    def list(self, prefix: str = "", *, after: str = ""):  # type: ignore[no-untyped-def]
        found = list(super().list(prefix, after=after))
        fenced = any(one.key.endswith("1/00000000000000000005") for one in found)
        if fenced and not self.forgot:
            self.forgot = True
            found = [one for one in found if not one.key.endswith("1/00000000000000000002")]
        return iter(found)


def test_what_stands_before_the_fence_is_listed_once_more() -> None:
    store = Forgetful()
    written = Written(store)
    written.fence(0, 0, X, 0)
    for slot in range(5):
        written.data(1, slot, X, slot, group(slot, slot + 1))
    made = take(store, B, take_over=True)
    assert store.forgot and made.term == 2
    assert [one.size for one in made.appends(0)] == [1, 2, 3, 4, 5]


def test_a_fence_states_what_is_only_in_the_files() -> None:
    """Entries of a time without a replica: who comes later must have them, or is told."""
    store = SimulatedStore()
    stated = Tree(500, root(500))
    made = take(store, A, tree=stated)
    assert (made.begun, made.size, made.root) == (True, 500, root(500))
    assert list(made.appends(500)) == []
    for later in (made, take(store, B, take_over=True)):
        with pytest.raises(Corrupt, match="none below 500: 100 entries are missing"):
            list(later.appends(400))
    assert take(store, B, tree=Tree(400, root(400))).size == 500


def test_a_fence_states_more_than_the_chain_before_it() -> None:
    store = SimulatedStore()
    written = Written(store)
    written.fence(0, 0, X, 0)
    written.data(1, 0, X, 0, group(0, 10))
    made = take(store, A, tree=Tree(30, root(30)))
    assert (made.size, made.root) == (30, root(30))
    again = take(store, A)
    assert (again.size, again.root) == (30, root(30))
    with pytest.raises(Corrupt, match="20 entries are missing"):
        list(again.appends(10))
    assert list(again.appends(30)) == []
