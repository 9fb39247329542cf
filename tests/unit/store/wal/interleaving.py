"""Several nodes over one simulated bucket; a seed decides which store call happens next.

Every actor is a greenlet that stops before each store call, and after each write: there it can be
left asleep, or die. Lists are read as a store with a sharded index reads them: one half of a page
first, the other later. Requests that are late, or that arrive twice, land at any time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from random import Random

from fake_clock import FakeClock
from greenlet import GreenletExit, getcurrent, greenlet
from simulated_bucket import SimulatedBucket
from simulator import Call, Fault, SimulatedStore

from muniment.store.port import Object

FAULTS = (Fault.LOST, Fault.LATE, Fault.DOUBLED, Fault.DOUBLED, Fault.BUSY)
MAX_STEPS = 60_000
PAGE_STEPS = 25
"""Steps that pass at most while one page is read: far less than the cleaner's settling time."""


class Actor:
    """A thread of control of one node."""

    def __init__(self, world: World, node: str, run: Callable[[], None]) -> None:
        self.world, self.node, self.run = world, node, run
        self.wake = 0.0
        self.page_since: int | None = None
        self.failure: BaseException | None = None
        self.greenlet = greenlet(self._run, world.scheduler)

    def _run(self) -> None:
        try:
            self.run()
        except GreenletExit:
            raise
        except BaseException as error:
            self.failure = error

    def sleep(self, seconds: float) -> None:
        self.wake = self.world.clock.seconds + seconds
        self.world.stop()


class World:
    """The bucket, the clock, the actors, and the seed that decides."""

    def __init__(self, seed: int, *, faults: float, page: int) -> None:
        self.random = Random(seed)
        self.clock = FakeClock()
        self.bucket = SimulatedBucket(clock=self.clock)
        self.scheduler = getcurrent()
        self.actors: list[Actor] = []
        self.asleep: dict[str, float] = {}
        self.chance, self.page = faults, page
        self.steps = 0

    def store(self, node: str) -> SteppedStore:
        store = SteppedStore("wal", bucket=self.bucket, node=node, page=self.page)
        store.world = self
        store.faults.plan = self._plan
        return store

    def _plan(self, call: Call) -> Fault | None:
        return self.random.choice(FAULTS) if self.random.random() < self.chance else None

    def spawn(self, node: str, run: Callable[[], None]) -> Actor:
        actor = Actor(self, node, run)
        self.actors.append(actor)
        return actor

    def current(self) -> Actor | None:
        """The actor that runs now; None on a thread of a pool, and outside."""
        if threading.current_thread() is not threading.main_thread():
            return None
        return next((a for a in self.actors if a.greenlet is getcurrent()), None)

    def stop(self) -> None:
        """Lets the scheduler decide who goes on."""
        if self.current() is not None:
            self.scheduler.switch()

    def kill(self, node: str) -> None:
        """A crash: all actors of a node end where they stand."""
        for actor in [a for a in self.actors if a.node == node]:
            self.actors.remove(actor)
            actor.greenlet.throw(GreenletExit)

    def step(self) -> None:
        """Lets one actor go on to its next stop."""
        self.steps += 1
        assert self.steps < MAX_STEPS, "somebody does not finish"
        if self.bucket.late and self.random.random() < 0.05:
            self.random.shuffle(self.bucket.late)
            self.bucket.land(1)
        actor = self._choose()
        if actor is None:
            return
        self.clock.seconds += self.random.random() * 0.5
        actor.greenlet.switch()
        if actor.greenlet.dead:
            self.actors.remove(actor)
            if actor.failure is not None:
                raise actor.failure

    def _choose(self) -> Actor | None:
        awake = [a for a in self.actors if self.asleep.get(a.node, 0.0) <= self.clock.seconds]
        for actor in self.actors:  # a page is read at the store, whether its reader sleeps or not
            if actor.page_since is not None and self.steps - actor.page_since > PAGE_STEPS:
                return actor
        ready = [a for a in awake if a.wake <= self.clock.seconds]
        if ready:
            return self.random.choice(ready)
        if self.actors:
            times = [max(a.wake, self.asleep.get(a.node, 0.0)) for a in self.actors]
            ahead = max(0.0, min(times) - self.clock.seconds)
            if any(a.page_since is not None for a in self.actors):
                return next(a for a in self.actors if a.page_since is not None)
            self.clock.seconds += ahead
        return None


class SteppedStore(SimulatedStore):
    """Stops before every call and after every write; reads pages in two halves."""

    world: World

    def _begin(self, operation: str, key: str) -> tuple[Call, Fault | None]:
        self.world.stop()
        return super()._begin(operation, key)

    def put_if_absent(self, key: str, body, **kwargs) -> str | None:  # type: ignore[no-untyped-def]
        version = super().put_if_absent(key, body, **kwargs)
        self.world.stop()
        return version

    def remove(self, key: str) -> None:
        super().remove(key)
        self.world.stop()

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Object]:
        while True:
            call, fault = self._begin("list", prefix)
            if fault in (Fault.LOST, Fault.LATE, Fault.BUSY):
                raise call.failed("busy", "503")
            halves = [0, 1]
            self.world.random.shuffle(halves)
            found: list[Object] = []
            for half in halves:
                found += self._half(prefix, after, half)
                if half == halves[0]:
                    self._mid_page()
            found.sort(key=lambda one: one.key)
            yield from found[: self.page]
            if len(found) <= self.page:
                return
            after = found[self.page - 1].key

    def _half(self, prefix: str, after: str, half: int) -> list[Object]:
        keys = [k for k in self.backing.keys if k > after and k.startswith(prefix)]
        mine = sorted(k for k in keys if int(k[-3:]) % 2 == half)[: self.page + 1]
        return [one for k in mine for one in self.backing.objects(k)]

    def _mid_page(self) -> None:
        actor = self.world.current()
        if actor is not None:
            actor.page_since = self.world.steps
            self.world.stop()
            actor.page_since = None
