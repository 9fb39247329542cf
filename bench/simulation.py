"""A fleet of ingest nodes and a store in a discrete-event simulation: seeded, no clock, no I/O.

What a node does is `log.replica` in outline: batches wait until so many bytes or seconds have
gathered, write-ahead objects are put several at a time, and a batch is acknowledged when its object
and all before it are in the store. The store takes its time, refuses what a prefix may not have,
and now and then refuses for nothing. Nodes die with all that is on their way; clients send again.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class World:
    """What is simulated. Times in seconds, sizes in bytes, rates a second."""

    nodes: int = 24
    rate: float = 10_000_000.0
    batch: int = 3_483
    entry_bytes: float = 300.0
    stored_bytes: float = 33.3
    seconds: float = 10.0
    gather: float = 0.002
    group: int = 8 * MIB
    in_flight: int = 8
    queue_bytes: int = 64 * MIB
    put_p50: float = 0.025
    put_p99: float = 0.120
    bandwidth: float = 80e6
    prefix_puts: float = 3_500.0
    slow_down: float = 0.0005
    deaths: float = 0.0
    client_timeout: float = 5.0
    retry_after: float = 1.0
    seed: int = 1


@dataclass(slots=True)
class Outcome:
    """What came of it. `latencies` are of acknowledged batches, from the first time of sending."""

    sent: int = 0
    acknowledged: int = 0
    duplicates: int = 0
    refused: int = 0
    resent: int = 0
    puts: int = 0
    slow_downs: int = 0
    deaths: int = 0
    stored: float = 0.0
    most_waiting: float = 0.0
    busiest_prefix: float = 0.0
    ended: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def latency(self, part: float) -> float:
        """The latency that so large a part of the batches did not exceed, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else math.nan


@dataclass(slots=True)
class _Batch:
    first_sent: float
    came: float = 0.0
    stored: bool = False
    acknowledged: bool = False


@dataclass(slots=True)
class _Object:
    batches: list[_Batch]
    size: float
    done: bool = False
    tries: int = 0


@dataclass(slots=True)
class _Node:
    number: int
    alive: bool = True
    life: int = 0
    waiting: deque[_Batch] = field(default_factory=deque)
    objects: deque[_Object] = field(default_factory=deque)
    flying: int = 0
    timer: float = math.inf
    tokens: float = 0.0
    refilled: float = 0.0
    second: int = -1
    puts: int = 0


class Simulation:
    """Runs a world to the end: until every batch that was sent is acknowledged."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = random.Random(world.seed)
        self._sigma = math.log(world.put_p99 / world.put_p50) / 2.326
        self._now, self._order = 0.0, 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._nodes = [_Node(n, tokens=world.prefix_puts) for n in range(world.nodes)]
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Returns what came of it; latencies are in the order of acknowledgement."""
        world, out = self._world, self.outcome
        self._at(0.0, self._arrive)
        if world.deaths:
            self._at(self._dice.expovariate(world.deaths), self._die)
        while self._events and (self._now < world.seconds or out.acknowledged < out.sent):
            self._now, _, event = heapq.heappop(self._events)
            event()
        out.ended = self._now
        return out

    def _at(self, time: float, event: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (time, self._order, event))

    def _arrive(self) -> None:
        world = self._world
        if self._now >= world.seconds:
            return
        self.outcome.sent += 1
        self._send(_Batch(self._now))
        self._at(self._now + self._dice.expovariate(world.rate / world.batch), self._arrive)

    def _send(self, batch: _Batch) -> None:
        """To any node that is ready, as a balancer does; a full one refuses with Retry-After."""
        world = self._world
        node = self._dice.choice([node for node in self._nodes if node.alive] or self._nodes)
        held = len(node.waiting) + sum(len(one.batches) for one in node.objects)
        size = world.batch * world.entry_bytes
        if not node.alive or (held + 1) * size > world.queue_bytes:
            self.outcome.refused += 1
            pause = world.retry_after * self._dice.uniform(1.0, 1.5)
            self._at(self._now + pause, lambda: self._send(batch))
            return
        self.outcome.most_waiting = max(self.outcome.most_waiting, (held + 1) * size)
        batch.came = self._now
        node.waiting.append(batch)
        self._gather(node)

    def _gather(self, node: _Node) -> None:
        """Puts what has waited long enough, or is enough, while there are places for it."""
        world = self._world
        size = world.batch * world.stored_bytes
        most = max(1, int(world.group // size))
        while node.alive and node.waiting and node.flying < world.in_flight:
            due = node.waiting[0].came + world.gather
            if len(node.waiting) < most and due > self._now + 1e-9:
                if node.timer > due:
                    self._set_timer(node, due)
                return
            taken = [node.waiting.popleft() for _ in range(min(most, len(node.waiting)))]
            made = _Object(taken, size * len(taken))
            node.objects.append(made)
            node.flying += 1
            self._put(node, made, node.life)

    def _set_timer(self, node: _Node, due: float) -> None:
        node.timer, life = due, node.life
        self._at(due, lambda: self._timer(node, life))

    def _timer(self, node: _Node, life: int) -> None:
        if node.life == life:
            node.timer = math.inf
            self._gather(node)

    def _put(self, node: _Node, made: _Object, life: int) -> None:
        if node.life != life:
            return
        world, out = self._world, self.outcome
        self._count(node)
        refill = (self._now - node.refilled) * world.prefix_puts
        node.tokens = min(world.prefix_puts, node.tokens + refill)
        node.refilled = self._now
        took = self._dice.lognormvariate(math.log(world.put_p50), self._sigma)
        if node.tokens < 1 or self._dice.random() < world.slow_down:
            out.slow_downs += 1
            made.tries += 1
            pause = min(2.0, 0.05 * 2**made.tries) * self._dice.uniform(0.5, 1.0)
            self._at(self._now + world.put_p50 + pause, lambda: self._put(node, made, life))
            return
        node.tokens -= 1
        took += made.size / world.bandwidth
        self._at(self._now + took, lambda: self._stored(node, made, life))

    def _count(self, node: _Node) -> None:
        out = self.outcome
        out.puts += 1
        if node.second != int(self._now):
            node.second, node.puts = int(self._now), 0
        node.puts += 1
        out.busiest_prefix = max(out.busiest_prefix, node.puts)

    def _stored(self, node: _Node, made: _Object, life: int) -> None:
        """The object is there, whether the node lives to hear of it or not."""
        out = self.outcome
        out.stored += made.size
        for batch in made.batches:
            out.duplicates += batch.stored
            batch.stored = True
        made.done = True
        if node.life != life:
            return
        node.flying -= 1
        while node.objects and node.objects[0].done:
            for batch in node.objects.popleft().batches:
                if not batch.acknowledged:
                    batch.acknowledged = True
                    out.acknowledged += 1
                    out.latencies.append(self._now - batch.first_sent)
        self._gather(node)

    def _die(self) -> None:
        """kill -9: what was not acknowledged is sent again; another node is there at once after."""
        world, out = self._world, self.outcome
        if self._now >= world.seconds:
            return
        node = self._dice.choice(self._nodes)
        out.deaths += 1
        lost = [*node.waiting, *(batch for one in node.objects for batch in one.batches)]
        node.life += 1
        node.alive, node.flying, node.timer = False, 0, math.inf
        node.waiting.clear()
        node.objects.clear()
        for batch in lost:
            out.resent += 1
            at = self._now + world.client_timeout * self._dice.uniform(0.1, 1.0)
            self._at(at, lambda batch=batch: self._send(batch))  # type: ignore[misc]
        self._at(self._now + 10.0, lambda: self._come_back(node))
        self._at(self._now + self._dice.expovariate(world.deaths), self._die)

    def _come_back(self, node: _Node) -> None:
        node.alive = True
