"""Appending to the newest segment of a spool, and beginning the next one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from muniment.capture.spool.frames import BEGIN
from muniment.capture.spool.outgoing import Outgoing
from muniment.capture.spool.segments import Segment, name_of
from muniment.log.disk import AppendFile, Disk


class SegmentWriter:
    """Writes frames. After an OSError the file is given up; the next `append` begins another.

    It begins with a new segment too: what an earlier run left is only read.
    """

    def __init__(self, directory: Path, disk: Disk, outgoing: Outgoing, segment_bytes: int) -> None:
        self._directory, self._disk, self._outgoing = directory, disk, outgoing
        self._segment_bytes = segment_bytes
        self._next = outgoing.newest + 1
        self._segment: Segment | None = None
        self._file: AppendFile | None = None

    def append(self, data: bytes) -> None:
        """Writes whole puts, durably when it returns. Raises OSError: nothing of it counts then."""
        if self._segment is not None and self._segment.size + len(data) > self._segment_bytes:
            self.close()
        if self._segment is None or self._file is None:
            self._begin(data)
            return
        try:
            self._file.write(data)
            self._file.sync()
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._segment.size)
            self.close()
            raise
        self._outgoing.grown(self._segment, len(data))

    def close(self) -> None:
        """Ends the segment that is written."""
        if self._file is not None:
            self._file.close()
        if self._segment is not None:
            self._outgoing.finished(self._segment)
        self._file = self._segment = None

    def _begin(self, data: bytes) -> None:
        path = self._directory / name_of(self._next)
        file: AppendFile | None = None
        try:
            file = self._disk.create(path, 0o600)
            file.write(BEGIN + data)
            file.sync()
            self._disk.sync_directory(self._directory)
        except OSError:
            if file is not None:
                file.close()
                with suppress(OSError):
                    self._disk.remove(path)
            self._next += 1
            raise
        self._segment, self._file = Segment(self._next, path), file
        self._next += 1
        self._outgoing.begun(self._segment)
        self._outgoing.grown(self._segment, len(data))
