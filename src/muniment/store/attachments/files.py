"""Attachments on the node's own disk: DATA/attachments/<log>/<aa>/<SHA-256 in hex>.

A body is written to a hidden draft, hashed as it comes, synced, made read-only and only then given
its name, whose folder is synced: a file under that name is whole. One process owns the data
directory, and names are those of contents, so that no file is ever replaced by another body.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock as Mutex

from muniment.errors import StorageFailing, TooLarge
from muniment.log.disk import AppendFile, Disk

PIECE = 1 << 20
"""Bytes that are read or written at a time."""

DRAFT = ".part"
_FOLDER = re.compile(r"[0-9a-f]{2}", re.ASCII)
_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
_logger = logging.getLogger(__name__)

Randomness = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Kept:
    """A body that is durable here: SHA-256 (32 bytes) and size; `new` where it was not before."""

    sha256: bytes
    size: int
    new: bool


class Files:
    """All attachments of a data directory. Safe for several threads."""

    def __init__(
        self, directory: Path, disk: Disk, *, max_bytes: int, randomness: Randomness = os.urandom
    ) -> None:
        self.directory, self.max_bytes = directory, max_bytes
        self._disk, self._randomness = disk, randomness
        self._naming = Mutex()

    def sweep(self) -> None:
        """Removes the drafts that a crash left; for the start. Raises StorageFailing."""
        with _translated(self.directory):
            for log in self._names(self.directory):
                for name in self._names(self.directory / log):
                    if name.startswith(".") and name.endswith(DRAFT):
                        self._disk.remove(self.directory / log / name)

    def path(self, log: str, sha256: bytes) -> Path:
        """Where an attachment stands, whether it is there or not."""
        name = sha256.hex()
        return self.directory / log / name[:2] / name

    def size(self, log: str, sha256: bytes) -> int | None:
        """Returns the size of an attachment; None where it is not here."""
        path = self.path(log, sha256)
        with _translated(path):
            try:
                return self._disk.size(path)
            except FileNotFoundError:
                return None

    def pieces(self, log: str, sha256: bytes) -> Iterator[bytes]:
        """Yields the bytes of an attachment, PIECE at a time. Raises StorageFailing."""
        path, offset = self.path(log, sha256), 0
        while True:
            with _translated(path):
                piece = self._disk.read(path, offset, PIECE)
            if not piece:
                return
            yield piece
            offset += len(piece)

    def names(self, log: str) -> Iterator[bytes]:
        """Yields the SHA-256 of each attachment of a log that is here, in order."""
        folder = self.directory / log
        with _translated(folder):
            for part in self._names(folder):
                if _FOLDER.fullmatch(part):
                    for name in self._names(folder / part):
                        if _NAME.fullmatch(name) and name.startswith(part):
                            yield bytes.fromhex(name)

    def draft(self, log: str) -> Draft:
        """Begins a body. Raises StorageFailing."""
        folder = self.directory / log
        path = folder / f".{self._randomness(8).hex()}{DRAFT}"
        with _translated(path):
            self._disk.make_directory(folder)
            file = self._disk.create(path, 0o600)
        return Draft(self, log, path, file)

    def _names(self, folder: Path) -> list[str]:
        try:
            return self._disk.names(folder)
        except (FileNotFoundError, NotADirectoryError, KeyError):
            return []

    def _place(self, draft: Path, log: str, sha256: bytes) -> bool:
        """Gives a synced draft its name; False where the body was here before."""
        path = self.path(log, sha256)
        damaged = self.size(log, sha256) is not None and not self._is_whole(log, sha256)
        with self._naming, _translated(path):
            self._disk.make_directory(path.parent)
            if path.name in self._disk.names(path.parent):
                if not damaged:
                    self._disk.remove(draft)
                    self._disk.sync_directory(path.parent)
                    return False
                _logger.error("%s was damaged: it is replaced by the body that came again", path)
            self._disk.seal(draft)
            self._disk.rename(draft, path)
            self._disk.sync_directory(path.parent)
            return True

    def _is_whole(self, log: str, sha256: bytes) -> bool:
        hashed = hashlib.sha256()
        for piece in self.pieces(log, sha256):
            hashed.update(piece)
        return hashed.digest() == sha256


class Draft:
    """A body that is on its way. One caller at a time; end it with `keep` or `drop`."""

    def __init__(self, files: Files, log: str, path: Path, file: AppendFile) -> None:
        self._files, self._log, self._path, self._file = files, log, path, file
        self._hashed = hashlib.sha256()
        self._mutex = Mutex()
        self._open, self._closed = True, False
        self.size = 0

    @property
    def sha256(self) -> bytes:
        """The digest of what was written so far."""
        return self._hashed.digest()

    def write(self, data: bytes) -> None:
        """Appends to the body. Raises TooLarge beyond `max_bytes`, StorageFailing."""
        with self._mutex:
            if not self._open:
                return
            if self.size + len(data) > self._files.max_bytes:
                raise TooLarge(
                    f"an attachment has at most {self._files.max_bytes:,} bytes",
                    advice="split it, or raise max_attachment",
                )
            with _translated(self._path):
                self._file.write(data)
            self._hashed.update(data)
            self.size += len(data)

    def keep(self) -> Kept:
        """Makes the body durable under its name. Raises StorageFailing, and then it is not kept."""
        with self._mutex:
            with _translated(self._path):
                self._file.sync()
                self._close()
            new = self._files._place(self._path, self._log, self.sha256)
            self._open = False
            return Kept(self.sha256, self.size, new)

    def drop(self) -> None:
        """Gives the body up; nothing happens where it was kept."""
        with self._mutex:
            if not self._open:
                return
            self._open = False
            with suppress(OSError):
                self._close()
            with suppress(OSError):
                self._files._disk.remove(self._path)

    def _close(self) -> None:
        """Closes the file once: its descriptor may be another's soon after."""
        if not self._closed:
            self._closed = True
            self._file.close()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageFailing(f"{error.filename or path}: {reason}", retry_after=2) from error
