"""The disk as the log needs it: a small port, and POSIX behind it.

Everything the log writes goes through this port, so that a simulated disk can tear, lose, fill
up and fail to sync in the tests.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class AppendFile(Protocol):
    """A file that grows at its end. One writer; not safe for several threads at once."""

    def write(self, data: bytes) -> None:
        """Appends all of `data`. On OSError a part of it may stand in the file; not durable."""

    def sync(self) -> None:
        """Makes all that was written durable. After an OSError nothing is known of it."""

    def size(self) -> int:
        """Returns the bytes in the file, durable or not."""

    def truncate(self, size: int) -> None:
        """Cuts the file to `size` bytes; durable after the next sync."""

    def close(self) -> None:
        """Closes the file without syncing it."""


class Disk(Protocol):
    """Files and folders by path. Each method raises OSError where the system refuses."""

    def create(self, path: Path, mode: int = 0o644) -> AppendFile:
        """Makes a new file, open for appending. FileExistsError where there is one."""

    def append(self, path: Path) -> AppendFile:
        """Opens an existing file for appending."""

    def read(self, path: Path, offset: int = 0, length: int | None = None) -> bytes:
        """Returns up to `length` bytes from `offset`, fewer only at the end of the file."""

    def size(self, path: Path) -> int:
        """Returns the size of a file in bytes."""

    def names(self, directory: Path) -> list[str]:
        """Returns the names in a folder, sorted."""

    def make_directory(self, path: Path) -> None:
        """Makes a folder with all above it, durably; nothing happens where it is there already."""

    def sync_directory(self, path: Path) -> None:
        """Makes the names in a folder durable."""

    def remove(self, path: Path) -> None:
        """Removes a file."""

    def rename(self, old: Path, new: Path) -> None:
        """Gives a file or folder another name at once; durable after `sync_directory`."""

    def seal(self, path: Path) -> None:
        """Takes the right to write from a file, for everybody."""


class PosixFile:
    """An AppendFile over a file descriptor opened with O_APPEND."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        os.close(self._descriptor)


class PosixDisk:
    """The Disk of a POSIX system. `sync` is fdatasync: data and size, without the times."""

    def create(self, path: Path, mode: int = 0o644) -> AppendFile:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return PosixFile(os.open(path, flags, mode))

    def append(self, path: Path) -> AppendFile:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return PosixFile(os.open(path, flags))

    def read(self, path: Path, offset: int = 0, length: int | None = None) -> bytes:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if length is None:
                length = max(0, os.fstat(descriptor).st_size - offset)
            data = os.pread(descriptor, length, offset)
            while len(data) < length:
                more = os.pread(descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data
        finally:
            os.close(descriptor)

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def names(self, directory: Path) -> list[str]:
        return sorted(entry.name for entry in os.scandir(directory))

    def make_directory(self, path: Path) -> None:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            self.sync_directory(folder.parent)

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        path.unlink()

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def seal(self, path: Path) -> None:
        path.chmod(0o444)


def write_file(disk: Disk, path: Path, data: bytes, mode: int = 0o644) -> None:
    """Puts a whole durable file at `path`, replacing what is there; a crash leaves old or new."""
    draft = path.with_name(f".{path.name}.new")
    if draft.name in disk.names(path.parent):
        disk.remove(draft)
    file = disk.create(draft, mode)
    try:
        file.write(data)
        file.sync()
    finally:
        file.close()
    disk.rename(draft, path)
    disk.sync_directory(path.parent)
