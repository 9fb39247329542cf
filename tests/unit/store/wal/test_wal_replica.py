"""The replica's threads: order, groups, faults, fences, trouble, closing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256

import pytest
from fake_clock import FakeClock
from simulator import Call, Fault, SimulatedStore
from wal_objects import A, B, checkpoint, group

from muniment.clock import SystemClock
from muniment.errors import Fenced, MunimentError, TooLarge, Unavailable
from muniment.log.replica import Act, Append
from muniment.settings.store import WalSettings
from muniment.store.wal import Claim, WalReplica, claim
from muniment.store.wal.identity import Node

SECONDS = 20.0


class Told:
    """Remembers what callbacks were told, in order."""

    def __init__(self) -> None:
        self.results: list[tuple[int, MunimentError | None]] = []
        self._changed = threading.Condition()

    def __call__(self, number: int, error: MunimentError | None) -> None:
        with self._changed:
            self.results.append((number, error))
            self._changed.notify_all()

    def wait(self, count: int) -> list[MunimentError | None]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.results) >= count, SECONDS)
        assert [number for number, _ in self.results] == list(range(len(self.results)))
        return [error for _, error in self.results]


class Bench:
    """A store, and claims of one shard in it."""

    def __init__(self) -> None:
        self.store = SimulatedStore("wal")
        self.replicas: list[WalReplica] = []
        self._count = 0

    def claim(self, node: Node = A, *, take_over: bool = True) -> Claim:
        def randomness(count: int) -> bytes:
            self._count += 1
            return sha256(b"%d" % self._count).digest()[:count]

        return claim(
            self.store.seen_by(node.name),
            "test.example",
            "default",
            "aa",
            node,
            clock=SystemClock(),
            randomness=randomness,
            take_over=take_over,
            pause=lambda seconds: None,
        )

    def replica(self, made: Claim, **settings: object) -> WalReplica:
        values = {"url": "file:///wal", "gather": 0.0, "in_flight": 4, **settings}
        replica = made.replica(WalSettings.model_validate(values))
        self.replicas.append(replica)
        return replica

    def feed(self, replica: WalReplica, told: Told, count: int, first: int = 0) -> None:
        for size in range(first, first + count):
            number = size - first
            replica.put(group(size, size + 1), lambda error, n=number: told(n, error))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    for replica in bench.replicas:
        replica.close(0.0)


def stored(bench: Bench) -> list[int]:
    return [one.size for one in bench.claim(B).appends(0)]


def test_appends_are_stored_in_order(bench: Bench) -> None:
    replica, told = bench.replica(bench.claim()), Told()
    bench.feed(replica, told, 200)
    assert told.wait(200) == [None] * 200
    replica.close(SECONDS)
    assert stored(bench) == list(range(1, 201))
    assert replica.metrics.appends == 200 and 0 < replica.metrics.objects <= 200
    assert replica.held == 0 and not replica.fenced


def test_with_faults_all_the_same(bench: Bench) -> None:
    made = bench.claim()
    replica, told = bench.replica(made, group=1 << 16), Told()
    made._store.faults.at_random(  # type: ignore[attr-defined]
        3, 0.3, [Fault.LOST, Fault.BUSY, Fault.UNREACHABLE, Fault.DOUBLED, Fault.FLIPPED]
    )
    for number in range(30):  # each fills an object
        append = Append(Act.GROUP, 0, number, number + 1, bytes(32), bytes(70_000))
        replica.put(append, lambda error, n=number: told(n, error))
    assert told.wait(30) == [None] * 30
    made._store.faults.clear()  # type: ignore[attr-defined]
    replica.close(SECONDS)
    bench.store.backing.land()
    assert stored(bench) == list(range(1, 31))
    assert replica.metrics.retries > 0


def test_what_waits_goes_into_one_object(bench: Bench) -> None:
    made = bench.claim()
    gate = threading.Event()
    made._store.pause = lambda call: gate.wait(SECONDS)  # type: ignore[attr-defined]
    made._store.faults.next(Fault.SLOW, "put_if_absent")  # type: ignore[attr-defined]
    replica, told = bench.replica(made, in_flight=1), Told()
    bench.feed(replica, told, 1)
    while not any(call.operation == "put_if_absent" for call in made._store.calls[3:]):  # type: ignore[attr-defined]
        threading.Event().wait(0.001)
    for size in range(1, 50):
        replica.put(group(size, size + 1), lambda error, n=size: told(n, error))
    assert replica.held > 0
    gate.set()
    assert told.wait(50) == [None] * 50
    assert replica.metrics.objects == 2


def test_a_group_has_a_bound(bench: Bench) -> None:
    replica, told = bench.replica(bench.claim(), group=1 << 16, in_flight=1), Told()
    frames = bytes(40_000)
    for number in range(6):
        append = Append(Act.GROUP, 0, number, number + 1, bytes(32), frames)
        replica.put(append, lambda error, n=number: told(n, error))
    assert told.wait(6) == [None] * 6
    assert replica.metrics.objects == 6


def test_checkpoints_and_empty_frames(bench: Bench) -> None:
    replica, told = bench.replica(bench.claim()), Told()
    appends = [group(0, 3), checkpoint(3), Append(Act.SEAL, 3, 3, 3, group(0, 3).root, b"")]
    for number, append in enumerate(appends):
        replica.put(append, lambda error, n=number: told(n, error))
    told.wait(3)
    assert list(bench.claim(B).appends(0)) == appends


def test_the_old_writer_is_fenced(bench: Bench) -> None:
    old, told = bench.replica(bench.claim(A)), Told()
    bench.feed(old, told, 5)
    told.wait(5)
    new = bench.claim(B)
    assert new.size == 5 and new.before is not None and new.before.node == A
    bench.feed(old, later := Told(), 3, 5)
    errors = later.wait(3)
    assert all(isinstance(error, Fenced) and "'b'" in error.detail for error in errors)
    assert "'b'" in old.fenced and "'b'" in old.trouble
    bench.feed(old, again := Told(), 1, 8)
    assert isinstance(again.wait(1)[0], Fenced)
    bench.feed(bench.replica(new), fresh := Told(), 2, 5)
    assert fresh.wait(2) == [None, None]
    assert [one.size for one in bench.claim(A).appends(0)] == [1, 2, 3, 4, 5, 6, 7]


def test_trouble_is_said_and_passes(bench: Bench) -> None:
    made = bench.claim()
    clock = FakeClock()
    made._clock = clock
    replica, told = bench.replica(made, patience=5), Told()
    made._store.faults.always(Fault.UNREACHABLE)  # type: ignore[attr-defined]
    bench.feed(replica, told, 3)
    while not replica.metrics.retries:
        threading.Event().wait(0.001)
    assert replica.trouble == ""
    clock.seconds += 6
    assert "connection refused" in replica.trouble
    made._store.faults.clear()  # type: ignore[attr-defined]
    assert told.wait(3) == [None] * 3
    assert replica.trouble == "" and not replica.fenced


def test_a_store_that_hangs_is_trouble(bench: Bench) -> None:
    made = bench.claim()
    clock, gate = FakeClock(), threading.Event()
    made._clock = clock
    made._store.pause = lambda call: gate.wait(SECONDS)  # type: ignore[attr-defined]
    made._store.faults.always(Fault.SLOW)  # type: ignore[attr-defined]
    replica, told = bench.replica(made, patience=5), Told()
    bench.feed(replica, told, 1)
    clock.seconds += 7
    assert "has not answered for 7 seconds" in replica.trouble
    gate.set()
    assert told.wait(1) == [None]


def test_closing_gives_up_what_the_store_refuses(bench: Bench) -> None:
    made = bench.claim()
    made._store.faults.always(Fault.BUSY)  # type: ignore[attr-defined]
    replica, told = bench.replica(made), Told()
    bench.feed(replica, told, 7)
    replica.close(0.05)
    assert all(isinstance(error, Unavailable) for error in told.wait(7))
    with pytest.raises(Unavailable):
        replica.put(group(7, 8), lambda error: None)
    assert replica.held == 0


def test_closing_waits_for_what_is_under_way(bench: Bench) -> None:
    replica, told = bench.replica(bench.claim()), Told()
    bench.feed(replica, told, 30)
    replica.close(SECONDS)
    assert told.results == [(number, None) for number in range(30)]


def test_an_append_over_every_bound(bench: Bench) -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 32

    with pytest.raises(TooLarge):
        bench.replica(bench.claim()).put(
            Append(Act.GROUP, 0, 0, 1, bytes(32), Huge()), lambda error: None
        )


def test_a_callback_that_breaks_stops_nothing(bench: Bench) -> None:
    replica, told = bench.replica(bench.claim()), Told()

    def broken(error: MunimentError | None) -> None:
        raise ValueError

    replica.put(group(0, 1), broken)
    replica.put(group(1, 2), lambda error: told(0, error))
    assert told.wait(1) == [None]


def test_what_the_store_says_goes_into_the_trouble(bench: Bench) -> None:
    """Another writer's object in this writer's slot is none of its appends, and no fence."""
    made = bench.claim()
    key = "wal/default/aa/0000000001/00000000000000000000"
    bench.store.put(key, b"something")
    made._clock = clock = FakeClock()
    replica, told = bench.replica(made), Told()
    bench.feed(replica, told, 1)
    while not replica.metrics.retries:
        threading.Event().wait(0.001)
    clock.seconds += 60
    assert "magic" in replica.trouble
    bench.store.remove(key)
    assert told.wait(1) == [None]


def test_every_call_names_its_node(bench: Bench) -> None:
    made = bench.claim()
    assert all(isinstance(call, Call) and call.node == "a" for call in made._store.calls)  # type: ignore[attr-defined]
