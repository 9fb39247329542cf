"""Room on the disk that is kept, so that a spool which filled the disk can still be emptied."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from muniment.log.disk import Disk, write_file

RESERVE = "reserve"
RESERVE_BYTES = 128 << 10


class Reserve:
    """A file of no use but its size. One thread uses it."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        """Raises OSError."""
        self._disk, self._path = disk, directory / RESERVE
        self._held = RESERVE in disk.names(directory)

    def hold(self) -> None:
        """Takes the room, where the disk has it."""
        if not self._held:
            with suppress(OSError):
                write_file(self._disk, self._path, os.urandom(RESERVE_BYTES), 0o600)
                self._held = True

    def release(self) -> None:
        """Gives the room back. Raises OSError."""
        if self._held:
            self._disk.remove(self._path)
            self._held = False
