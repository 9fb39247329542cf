"""The way out of the spool: parcels in the order in which they were put, until acknowledged."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Condition

from muniment.capture.spool.frames import BEGIN, Frame
from muniment.capture.spool.ledger import Acknowledged, Standing, write_streams
from muniment.capture.spool.reserve import Reserve
from muniment.capture.spool.segments import Segment, next_frame, read_frame
from muniment.errors import Corrupt
from muniment.log.disk import Disk

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A parcel that is to be sent, and where in the spool it ends."""

    frame: Frame
    segment: Segment
    end: int


class Outgoing:
    """Reads what the writing thread made durable. `take` and `acknowledge` are one thread's."""

    def __init__(
        self,
        directory: Path,
        disk: Disk,
        segments: Sequence[Segment],
        streams: Callable[[], Mapping[str, Standing]],
        made_room: Callable[[], None],
        note: Callable[..., None],
    ) -> None:
        self._directory, self._disk, self._streams = directory, disk, streams
        self._made_room, self._note = made_room, note
        self._segments = deque(segments)
        self._file = Acknowledged(directory)
        self._reserve = Reserve(disk, directory)
        self._reserve.hold()
        self._changed = Condition()
        self._writing: Segment | None = None
        self.newest = max((s.number for s in segments), default=0)
        number, offset = self._file.read()
        self.newest = max(self.newest, number)
        self._finished: list[Segment] = []
        while self._segments and self._segments[0].number < number:
            self._finished.append(self._segments.popleft())
        self._at = len(BEGIN)
        if self._segments and self._segments[0].number == number:
            self._at = min(max(offset, self._at), self._segments[0].size)
        self.held = sum(s.size - len(BEGIN) for s in self._segments) - self._at + len(BEGIN)
        self.acknowledged: dict[str, int] = {}

    def begun(self, segment: Segment) -> None:
        """A new segment is there; it is the one that is written."""
        with self._changed:
            self._segments.append(segment)
            self._writing = segment
            self.newest = segment.number

    def grown(self, segment: Segment, size: int) -> None:
        """So many bytes more of a segment are durable."""
        with self._changed:
            segment.size += size
            self.held += size
            self._changed.notify_all()

    def finished(self, segment: Segment) -> None:
        """Nothing more is written to a segment."""
        with self._changed:
            if self._writing is segment:
                self._writing = None

    def take(self, seconds: float) -> Waiting | None:
        """Returns the oldest parcel that is not acknowledged, waiting for one so long at most.

        Raises OSError. What cannot be read any more is noted and passed over.
        """
        with self._changed:
            self._changed.wait_for(self._some, seconds)
        while self._some():
            segment = self._segments[0]
            if self._at >= segment.size:
                self._pass_first()
                continue
            try:
                frame, end = read_frame(self._disk, segment, self._at)
            except Corrupt as error:
                self._damaged(segment, error)
                continue
            if frame.count:
                return Waiting(frame, segment, end)
            self._advance(end)
        if self._finished:
            self._remove_finished()
        return None

    def acknowledge(self, waiting: Waiting) -> None:
        """Takes the parcel that `take` returned as kept by an endpoint."""
        self._advance(waiting.end)
        self.acknowledged[waiting.frame.stream] = waiting.frame.next - 1
        try:
            self._file.write(waiting.segment.number, waiting.end)
        except OSError as error:  # it would only be sent again
            _logger.error("the spool cannot say what is acknowledged: %s", error)
        self._pass_finished()
        self._made_room()

    def close(self) -> None:
        """Closes its file; parcels that are not acknowledged stay where they are."""
        self._pass_finished()
        self._file.close()

    def _some(self) -> bool:
        """Whether there is a parcel to be read, or a finished segment to be removed."""
        if not self._segments:
            return False
        return self._at < self._segments[0].size or self._segments[0] is not self._writing

    def _pass_finished(self) -> None:
        with self._changed:
            first = self._segments[0] if self._segments else None
            done = first is not None and first is not self._writing and self._at >= first.size
        if done:
            self._pass_first()

    def _advance(self, end: int) -> None:
        with self._changed:
            self.held -= end - self._at
            self._at = end

    def _pass_first(self) -> None:
        """Goes on to the next segment; the one before needs no more sending."""
        with self._changed:
            self._finished.append(self._segments.popleft())
            self._at = len(BEGIN)
        self._remove_finished()

    def _remove_finished(self) -> None:
        """Removes what needs no more sending, once the streams' standing is written elsewhere.

        Where the disk has no room even for that, the reserve makes room; else it is tried again.
        """
        try:
            try:
                write_streams(self._disk, self._directory, self._streams())
            except OSError:
                self._reserve.release()
                write_streams(self._disk, self._directory, self._streams())
            while self._finished:
                self._disk.remove(self._finished[0].path)
                del self._finished[0]
        except OSError as error:
            _logger.error("the spool cannot be tidied: %s", error)
        else:
            self._reserve.hold()

    def _damaged(self, segment: Segment, error: Corrupt) -> None:
        """Passes over what cannot be read, to the next frame that can. Raises OSError."""
        after = next_frame(self._disk, segment, self._at)
        lost = after - self._at
        _logger.error("%s; %d bytes of captured records are lost", error, lost)
        self._note("capture.damaged", file=segment.path.name, detail=str(error), bytes=lost)
        self._advance(after)
