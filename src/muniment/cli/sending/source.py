"""What is sent: plain files, gzip and zstd files, standard input, as one stream of bytes."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Self

from muniment.cli.sending.compressed import Compressed, decoder_for

STANDARD_INPUT = "-"

SETTLE_SECONDS = 0.5
"""How long a line without its end may stay so before it is taken as the last one."""

PIPE_SECONDS = 1.0
"""How long a silent pipe may hold back the lines that it has given."""

_SKIP_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file it is, as the file system knows it; a renamed file stays the same."""

    device: int
    inode: int
    path: str


class Source:
    """An open source, read from the beginning on. Close it after use."""

    def __init__(self, name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        """Opens `name`; `-` is standard input. Raises OSError."""
        standard = name == STANDARD_INPUT
        self.name = "standard input" if standard else name
        self._path = Path(name)
        self._file: BinaryIO = sys.stdin.buffer if standard else self._path.open("rb")
        self._owned = not standard
        self._sleep = sleep
        self._last = b"\n"
        self._descriptor = _descriptor(self._file)
        mode = os.fstat(self._descriptor).st_mode if self._descriptor is not None else 0
        self._regular = stat.S_ISREG(mode) and not standard
        self._decoder = None if standard else decoder_for(self._path)
        self._stream = self._compressed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._owned:
            self._file.close()

    @property
    def identity(self) -> Identity | None:
        """None for what cannot be read twice: pipes, standard input."""
        if not self._regular or self._descriptor is None:
            return None
        status = os.fstat(self._descriptor)
        return Identity(status.st_dev, status.st_ino, str(self._path.resolve()))

    @property
    def size(self) -> int | None:
        """The bytes on disk, None where that is not known."""
        if not self._regular or self._descriptor is None:
            return None
        return os.fstat(self._descriptor).st_size

    @property
    def consumed(self) -> int:
        """The bytes on disk that were read, for a progress bar."""
        if self._stream is not None:
            return self._stream.consumed
        with suppress(OSError):
            return self._file.tell()
        return 0

    def read(self, count: int) -> bytes | None:
        """Returns at most `count` bytes of content: none at the end, None from a silent pipe.

        A plain file that ends within a line is given a moment to go on. Raises InputError where
        compressed content is damaged or cut short.
        """
        if self._stream is not None:
            return self._stream.read(count)
        if not self._regular:
            return self._read_pipe(count)
        data = self._file.read(count)
        if not data and self._last != b"\n":
            self._sleep(SETTLE_SECONDS)
            data = self._file.read(count)
        self._last = data[-1:] or b"\n"
        return data

    def digest(self, start: int, end: int) -> str | None:
        """Returns the SHA-256 of the content from `start` to `end`; None where it ends before."""
        self.go_to(start)
        found = sha256()
        left = end - start
        while left > 0:
            data = self._plain_read(min(left, _SKIP_READ))
            if not data:
                return None
            found.update(data)
            left -= len(data)
        return found.hexdigest()

    def exactly(self, start: int, end: int) -> bytes:
        """Returns the content from `start` to `end`, shorter where the stream ends before."""
        self.go_to(start)
        parts = []
        left = end - start
        while left > 0 and (data := self._plain_read(left)):
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def go_to(self, offset: int) -> None:
        """Moves to an offset of the content, or to its end if that comes first."""
        self._last = b"\n"
        if self._stream is None:
            if self._regular:
                self._file.seek(offset)
            return
        if offset < self._stream.produced:
            self._file.seek(0)
            self._stream = self._compressed()
        while self._stream and (left := offset - self._stream.produced) > 0:
            if not self._stream.read(min(left, _SKIP_READ)):
                return

    def _plain_read(self, count: int) -> bytes:
        return self._stream.read(count) if self._stream is not None else self._file.read(count)

    def _compressed(self) -> Compressed | None:
        return Compressed(self._file, self._decoder, self.name) if self._decoder else None

    def _read_pipe(self, count: int) -> bytes | None:
        if self._descriptor is None:
            return self._file.read(count)
        ready, _, _ = select.select([self._descriptor], [], [], PIPE_SECONDS)
        return os.read(self._descriptor, count) if ready else None


def _descriptor(file: BinaryIO) -> int | None:
    try:
        return file.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return None
