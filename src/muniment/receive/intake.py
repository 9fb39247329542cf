"""The intake: what receivers took, on its way into a shard, in order and within a bound.

Records wait in groups that share a receipt header, go out as a batch after a moment or at a size,
one batch at a time, and are kept until they are durable: a log that refuses is asked again. Who
can hold back its sender (TCP) does so while the intake is full; who cannot (UDP) has to drop, and
then puts a gap record here, so that the loss is in the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock

from muniment.clock import Clock, rfc3339
from muniment.errors import MunimentError, TryLater
from muniment.kernel import MAX_ENTRY_BYTES, Chunk
from muniment.log import Acknowledgement, Batch
from muniment.receive.durable import Submit, until_durable
from muniment.receive.groups import bounded_header, pack_records
from muniment.receive.header import Origin
from muniment.receive.port import Count

FLUSH_SECONDS = 0.02
FLUSH_BYTES = 256 << 10
BATCH_BYTES = 1 << 20
RECORD_COST = 100
"""Bytes of memory that a record costs beside its own."""

MAX_HEADER = 512
MAX_RECORD = MAX_ENTRY_BYTES - MAX_HEADER
"""A record up to this fits into an entry with any header."""

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Group:
    """Records of one origin; `at` is when the first of them came, `size` what they cost."""

    origin: Origin
    at: str
    size: int = 0
    records: list[bytes] = field(default_factory=list)


class Intake:
    """The way into one shard. `put` may be called from any thread, the rest on the event loop."""

    def __init__(self, submit: Submit, *, node: str, bound: int, clock: Clock) -> None:
        self._submit, self._node, self._bound, self._clock = submit, node, bound, clock
        self._groups: deque[_Group] = deque()
        self._open: dict[Origin, _Group] = {}
        self._waiting = self._sending = self._delivering = 0
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._some, self._plenty = asyncio.Event(), asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.on_room: list[Callable[[], None]] = []
        self.entries = self.retries = self.abandoned = 0

    @property
    def held(self) -> int:
        """Bytes that are not durable yet."""
        return self._waiting + self._sending + self._delivering

    @property
    def full(self) -> bool:
        """Whether nothing more should be put."""
        return self.held >= self._bound

    def counts(self, receiver: str) -> Sequence[Count]:
        """Returns the numbers of this intake under a receiver's name."""
        return (
            Count("receive_entries", receiver, "Entries durable.", lambda: self.entries),
            Count("receive_retries", receiver, "Batches tried again.", lambda: self.retries),
            Count("receive_abandoned", receiver, "Records given up.", lambda: self.abandoned),
            Count("receive_held_bytes", receiver, "Not durable yet.", lambda: self.held, True),
        )

    def start(self) -> None:
        """Begins to send."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())

    def put(self, records: Sequence[bytes], origin: Origin) -> None:
        """Takes records of at most MAX_RECORD bytes each, also while `full`: the caller looks.

        Raises TooLarge where `about` makes a header that no entry may have.
        """
        if not records:
            return
        if origin.about:  # refused here, where the sender is known, and not with others' records
            bounded_header(rfc3339(self._clock.now()), self._node, origin)
        size = sum(map(len, records)) + RECORD_COST * len(records)
        with self._lock:
            quiet, few = not self._waiting, self._waiting < FLUSH_BYTES
            group = self._open.get(origin)
            if group is None or group.size >= BATCH_BYTES:
                group = self._open[origin] = _Group(origin, rfc3339(self._clock.now()))
                self._groups.append(group)
            group.records.extend(records)
            group.size += size
            self._waiting += size
            plenty = few and self._waiting >= FLUSH_BYTES
        if quiet:
            self._tell(self._some)
        if plenty:
            self._tell(self._plenty)

    def record(self, fields: Mapping[str, object]) -> None:
        """Puts a record of Muniment's own: a gap, a cut. `fields` is a native JSON event."""
        text = json.dumps({"actor": "muniment", **fields}, separators=(",", ":"))
        self.put([text.encode()], Origin("muniment", "muniment"))

    async def deliver(self, batch: Batch) -> Acknowledgement:
        """Makes a batch durable, however often the log has to be asked, and returns its answer.

        What it holds counts towards `full`. Raises InputError (Conflict) where the log will never
        take it.
        """
        self._delivering += batch.size
        try:
            answer = await self._until_durable(batch)
        finally:
            self._delivering -= batch.size
            self._tell_room()
        self.entries += 0 if answer.replayed else batch.count
        return answer

    async def close(self, seconds: float) -> None:
        """Sends what waits, for so long at most, and ends. May be called again."""
        self._closing.set()
        self._some.set()
        self._plenty.set()
        task, self._task = self._task, None
        if task is None:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(task, seconds)
        left = sum(len(group.records) for group in self._groups)
        if left:
            self.abandoned += left
            _logger.error("%d received records were not durable when the node stopped", left)

    def _tell(self, event: asyncio.Event) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(event.set)

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            if not self._waiting and self._closing.is_set():
                return
            if not self._plenty.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._plenty.wait(), FLUSH_SECONDS)
            await self._deliver(self._take())
            self._sending = 0
            self._tell_room()

    def _tell_room(self) -> None:
        if not self.full:
            for callback in self.on_room:
                callback()

    def _take(self) -> list[_Group]:
        """Takes what waits, in the order in which the groups began, about BATCH_BYTES of it."""
        taken: list[_Group] = []
        with self._lock:
            while self._groups and self._sending < BATCH_BYTES:
                group = self._groups.popleft()
                if self._open.get(group.origin) is group:
                    del self._open[group.origin]
                taken.append(group)
                self._sending += group.size
            self._waiting -= self._sending
            if not self._closing.is_set():
                if not self._waiting:
                    self._some.clear()
                if self._waiting < FLUSH_BYTES:
                    self._plenty.clear()
        return taken

    async def _deliver(self, taken: Sequence[_Group]) -> None:
        chunks: list[Chunk] = []
        for group in taken:
            chunks += pack_records(group.records, group.at, self._node, group.origin)
        batch = Batch(chunks)
        if not batch.count:
            return
        try:
            await self._until_durable(batch)
        except asyncio.CancelledError:
            self.abandoned += batch.count
            _logger.error("%d received records were not durable in time", batch.count)
            raise
        except MunimentError:
            self.abandoned += batch.count
            _logger.exception("the log refused %d received records for good", batch.count)
        else:
            self.entries += batch.count

    async def _until_durable(self, batch: Batch) -> Acknowledgement:
        return await until_durable(self._submit, batch, self._refused)

    def _refused(self, error: TryLater) -> None:
        if not self.retries % 100:
            _logger.warning("received records wait: %s", error.detail)
        self.retries += 1
