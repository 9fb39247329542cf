"""The spool: what was captured, on disk and chained, until an endpoint has acknowledged it.

`put` returns when the records are durable together with the position of their feed, so that after
a crash each feed goes on exactly behind what the spool has. Puts of several threads share a sync.
A full spool lets `put` wait: what is read from files stays in the files. A parcel is sent with the
same bytes until it is acknowledged, and its stream and number make it the same one for a server.

Where the disk refuses, nothing is acknowledged, and the same frames are written to a new segment
after a pause: a file whose sync failed is never synced again, for nobody knows what it holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Event, Thread
from time import sleep

from muniment.capture.chain import Head, first_head
from muniment.capture.parcel import MAX_RECORD, is_stream
from muniment.capture.port import Stopped
from muniment.capture.snapshot import Json
from muniment.capture.spool.frames import Frame, whole_puts
from muniment.capture.spool.ledger import Standing, read_streams
from muniment.capture.spool.outgoing import Outgoing
from muniment.capture.spool.packing import frames_of
from muniment.capture.spool.segment_writer import SegmentWriter
from muniment.capture.spool.segments import Segment, cut, find_segments, frames
from muniment.errors import Corrupt, InputError, TooLarge
from muniment.log.disk import Disk

HEALTH = "agent"
"""The stream of the agent's own events: it may go over the bound by RESERVE."""

RESERVE = 1 << 20
GATHER_SECONDS = 0.002
PLENTY = 1 << 20
CALM = 0.8
"""Of its bound: when less is held, the spool is told to have room again."""

LONGEST_PAUSE = 10.0

Note = Callable[..., None]
"""Tells of something: an action, and its fields by name."""

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Put:
    """Frames that are written all or none, and where the stream stands then."""

    stream: str
    data: bytes
    standing: Standing
    settled: Event = field(default_factory=Event)
    failed: bool = False


class Spool:
    """The spool in a directory of its own. Safe for several threads; an `Outlet`."""

    def __init__(
        self,
        directory: Path,
        agent: str,
        disk: Disk,
        *,
        limit: int,
        parcel_bytes: int = 1 << 20,
        note: Note = lambda *_, **__: None,
    ) -> None:
        """Opens the spool, cutting what a crash left half written. Raises OSError and Corrupt."""
        self._agent, self._disk, self._note = agent, disk, note
        self._parcel_bytes = parcel_bytes
        segment_bytes = min(16 << 20, max(1 << 20, limit // 8))
        self._limit = limit - segment_bytes
        self._changed = Condition()
        self._pending: list[_Put] = []
        self._busy: set[str] = set()
        self._waiting = 0
        self._full = self._stopping = self._closing = False
        disk.make_directory(directory)
        self._streams = read_streams(disk, directory)
        segments = self._recover(find_segments(disk, directory))
        self.outgoing = Outgoing(directory, disk, segments, self.standings, self._made_room, note)
        if not segments:
            self.outgoing.acknowledged |= {n: s.next - 1 for n, s in self._streams.items()}
        self._writer = SegmentWriter(directory, disk, self.outgoing, segment_bytes)
        self._thread = Thread(target=self._commit_all, name="spool", daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """Bytes that are not acknowledged yet."""
        return self.outgoing.held + self._waiting

    @property
    def full(self) -> bool:
        """Whether a feed waits for room."""
        return self._full

    @property
    def alive(self) -> bool:
        """Whether something is still written; if not, that is a defect."""
        return self._thread.is_alive()

    def position(self, stream: str) -> Mapping[str, Json] | None:
        """Returns the position of the last records of a stream; None where there were none."""
        with self._changed:
            standing = self._streams.get(f"{self._agent}/{stream}")
        return standing.position if standing else None

    def heads(self) -> dict[str, Head]:
        """Returns where the chain of each stream stands, as far as it is durable."""
        return {name: standing.at for name, standing in self.standings().items()}

    def put(
        self,
        stream: str,
        source: str,
        records: Sequence[bytes],
        *,
        about: Mapping[str, str] | None = None,
        position: Mapping[str, Json] | None = None,
    ) -> int:
        """Makes records durable; see `Outlet.put`. Raises TooLarge, InputError and Stopped."""
        name = f"{self._agent}/{stream}"
        if not is_stream(name):
            raise InputError(f"{name[:80]!r} cannot name a stream")
        if records and max(map(len, records)) > MAX_RECORD:
            raise TooLarge(f"a record of {stream} is longer than {MAX_RECORD:,} bytes")
        with self._claimed(name) as before:
            made = frames_of(before, name, source, records, about, position, self._parcel_bytes)
            if not made:
                return before.next
            last = made[-1]
            position = before.position if position is None else position
            data = b"".join([frame.encode() for frame in made])
            put = _Put(name, data, Standing(last.next, last.head, position))
            self._queue(put, RESERVE if stream == HEALTH else 0)
            put.settled.wait()
            if put.failed:
                raise Stopped
            return before.next

    @contextmanager
    def _claimed(self, name: str) -> Iterator[Standing]:
        """Where a stream stands, for the one thread that puts into it. Raises InputError."""
        with self._changed:
            if name in self._busy:
                raise InputError(f"two threads put into {name}, which is one thread's")
            self._busy.add(name)
            before = self._streams.get(name) or Standing(1, first_head(name))
        try:
            yield before
        finally:
            with self._changed:
                self._busy.discard(name)

    def stop(self) -> None:
        """Lets nobody wait any longer: for room, or for a disk that refuses."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def close(self) -> None:
        """Writes what was put, and ends."""
        self.stop()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._writer.close()
        self.outgoing.close()

    def _queue(self, put: _Put, reserve: int) -> None:
        """Waits for room and hands a put to the writing thread. Raises Stopped."""
        size, limit = len(put.data), self._limit + reserve
        with self._changed:
            while self.held and self.held + size > limit:
                if self._stopping:
                    raise Stopped
                if not self._full:
                    self._full = True
                    self._note("capture.spool_full", held=self.held)
                self._changed.wait(1.0)
            if self._closing:
                raise Stopped
            self._pending.append(put)
            self._waiting += size
            self._changed.notify_all()

    def _made_room(self) -> None:
        with self._changed:
            if self._full and self.held < CALM * self._limit:
                self._full = False
                self._note("capture.spool_ready", held=self.held)
            self._changed.notify_all()

    def standings(self) -> dict[str, Standing]:
        """Returns where each stream stands, as far as it is durable."""
        with self._changed:
            return dict(self._streams)

    def _commit_all(self) -> None:
        """The writing thread: whatever waits becomes one write and one sync."""
        while True:
            with self._changed:
                while not self._pending and not self._closing:
                    self._changed.wait()
                if not self._pending:
                    return
                plenty = self._waiting >= PLENTY
            if not plenty:
                sleep(GATHER_SECONDS)
            with self._changed:
                puts, self._pending = self._pending, []
            written = self._write(b"".join([put.data for put in puts]))
            with self._changed:
                for put in puts:
                    self._waiting -= len(put.data)
                    put.failed = not written
                    if written:
                        self._streams[put.stream] = put.standing
            for put in puts:
                put.settled.set()

    def _write(self, data: bytes) -> bool:
        """Writes until the disk takes it; False where the agent ends before."""
        pause = 0.25
        while True:
            try:
                self._writer.append(data)
            except OSError as error:
                _logger.error("the spool cannot be written: %s", error)
                failing = str(error)
            else:
                if pause > 0.25:
                    self._note("capture.spool_written", error=failing)
                return True
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, pause):
                    return False
            pause = min(2 * pause, LONGEST_PAUSE)

    def _recover(self, segments: list[Segment]) -> list[Segment]:
        """Brings the streams up to what the segments hold, and cuts their torn ends."""
        found: list[Segment] = []
        for segment in segments:
            end = 0
            for put, after in whole_puts(frames(self._disk, segment, self._tell_damage)):
                self._replay(put)
                end = after
            if not end:
                self._disk.remove(segment.path)
                continue
            if end < segment.size:
                lost = segment.size - end
                _logger.warning("%s: %d bytes of a torn end are cut off", segment.path, lost)
                cut(self._disk, segment, end)
            found.append(segment)
        return found

    def _tell_damage(self, error: Corrupt) -> None:
        """Says that the disk changed what was durable; the records are told when they are due."""
        _logger.error("%s", error)

    def _replay(self, put: Sequence[Frame]) -> None:
        for frame in put:
            known = self._streams.get(frame.stream)
            if known is None or frame.next >= known.next:
                position = frame.position
                if position is None and known is not None:
                    position = known.position
                self._streams[frame.stream] = Standing(frame.next, frame.head, position)
