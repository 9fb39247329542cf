"""One file that is followed: an open descriptor, how far it was read, and how it is known again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from muniment.capture.snapshot import Json
from muniment.capture.text import plain

HEAD_BYTES = 1 << 10
"""By so many of its first bytes, device and inode a file is known again."""


@dataclass(frozen=True, slots=True)
class Known:
    """A file as a position has it: `offset` bytes were put, `size` were seen."""

    path: str
    device: int
    inode: int
    offset: int
    size: int
    head: tuple[int, str] = (0, "")

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Known:
        """Reads one of a position's files. Raises KeyError, TypeError and ValueError."""
        path = os.fsdecode(bytes.fromhex(value["bytes"])) if "bytes" in value else value["path"]
        device, inode, offset, size = (
            int(value[key]) for key in ("device", "inode", "offset", "size")
        )
        length, digest = value["head"]
        return cls(str(path), device, inode, offset, size, (int(length), str(digest)))

    def json(self) -> dict[str, Json]:
        """Returns it as it stands in a position; `bytes` is a path that is no UTF-8, in hex."""
        path = plain(self.path)
        return {
            "path": path,
            **({"bytes": os.fsencode(self.path).hex()} if path != self.path else {}),
            "device": self.device,
            "inode": self.inode,
            "offset": self.offset,
            "size": self.size,
            "head": [self.head[0], self.head[1]],
        }


class Followed:
    """An open file. `path` is the name under which it was found first."""

    def __init__(self, path: str, descriptor: int, now: float) -> None:
        self.path, self._descriptor = path, descriptor
        status = os.fstat(descriptor)
        self.device, self.inode = status.st_dev, status.st_ino
        self.offset = self.size = 0
        self.head = (0, "")
        self.named = True
        """Whether one of the patterns still finds it."""
        self.unread_since: float | None = None
        self.grew = now
        self._written = 0

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return self.device, self.inode

    @property
    def known(self) -> Known:
        """What a position says of it."""
        return Known(self.path, self.device, self.inode, self.offset, self.size, self.head)

    def look(self, now: float) -> int:
        """Returns how many bytes are unread; negative where the file became shorter than read.

        A file whose first bytes are not what they were counts as shorter. Raises OSError.
        """
        status = os.fstat(self._descriptor)
        size, written = status.st_size, status.st_mtime_ns
        if (size, written) != (self.size, self._written):
            self.size, self._written, self.grew = size, written, now
            if size < self.offset or not self._same_head():
                return -1
            self._learn_head()
        unread = size - self.offset
        if not unread:
            self.unread_since = None
        elif self.unread_since is None:
            self.unread_since = now
        return unread

    def read(self, count: int) -> bytes:
        """Returns up to `count` bytes from where it was put. Raises OSError."""
        return os.pread(self._descriptor, count, self.offset)

    def begin_again(self) -> None:
        """The file was cut: what is in it now is new."""
        self.offset, self.head, self.unread_since = 0, (0, ""), None
        self._learn_head()

    def go_on(self, known: Known) -> bool:
        """Takes up where a position was, if this is the same file still. Raises OSError.

        A disk may have another device number since the machine started again.
        """
        size = os.fstat(self._descriptor).st_size
        self.head = known.head
        moved = self.device != known.device and not known.head[0]
        if self.inode != known.inode or moved or size < known.offset:
            self.head = (0, "")
            return False
        if not self._same_head():
            self.head = (0, "")
            return False
        self.path, self.offset, self.size = known.path, known.offset, size
        self._learn_head()
        return True

    def go_to_end(self) -> None:
        """Passes over what is there, up to the last whole line. Raises OSError."""
        size = os.fstat(self._descriptor).st_size
        begin = max(0, size - (1 << 16))
        tail = os.pread(self._descriptor, size - begin, begin)
        self.offset = begin + tail.rfind(b"\n") + 1 if b"\n" in tail else size
        self.size = size
        self._learn_head()

    def close(self) -> None:
        """Closes the descriptor."""
        os.close(self._descriptor)

    def _same_head(self) -> bool:
        length, digest = self.head
        if not length:
            return True
        return sha256(os.pread(self._descriptor, length, 0)).hexdigest() == digest

    def _learn_head(self) -> None:
        if self.head[0] < HEAD_BYTES:
            data = os.pread(self._descriptor, HEAD_BYTES, 0)
            self.head = (len(data), sha256(data).hexdigest()) if data else (0, "")
