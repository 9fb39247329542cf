"""Tiles (C2SP tlog-tiles): files of hashes for levels 1 and up, level 0 cut on request.

`tiles/<level>` holds the hashes of its level one after the other, 32 bytes each: element i is the
root over entries [i * 256**level, (i + 1) * 256**level). The files are derived from the segments
and synced before a checkpoint that covers them is published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from muniment.errors import Corrupt
from muniment.log.disk import AppendFile, Disk
from muniment.log.merkle import perfect_root

WIDTH = 256
HASH = 32
DIRECTORY = "tiles"


def completed(size: int, level: int) -> int:
    """Returns how many hashes of a tile level a tree of `size` entries has completed."""
    return size >> 8 * level


class TileFiles:
    """Appends to a shard's tile files. One writer.

    A failed write is kept in memory and tried again with the next one, so that tiles never stop
    an acknowledgement; `sync` raises OSError for as long as something is missing on disk.
    """

    def __init__(self, disk: Disk, directory: Path, size: int) -> None:
        """Opens the files of a tree of `size` entries, cutting off what is beyond it.

        Raises Corrupt where a file is shorter than such a tree's.
        """
        self._disk = disk
        self._directory = directory
        self._files: list[AppendFile] = []
        self._lengths: list[int] = []
        self._pending: list[list[bytes]] = []
        self._unsynced: set[int] = set()
        self._new_names = False
        disk.make_directory(directory)
        names = set(disk.names(directory))
        level = 1
        while completed(size, level) or str(level) in names:
            self._open(level, completed(size, level) * HASH, str(level) in names)
            level += 1

    def _open(self, level: int, length: int, exists: bool) -> None:
        path = self._directory / str(level)
        found = self._disk.size(path) if exists else 0
        if found < length:
            raise Corrupt(str(path), found, f"{length} bytes of tile hashes", f"{found} bytes")
        file = self._disk.append(path) if exists else self._disk.create(path)
        self._new_names |= not exists
        if found > length:
            file.truncate(length)
        self._files.append(file)
        self._lengths.append(length)
        self._pending.append([])

    def append(self, tiles: Sequence[bytes]) -> None:
        """Takes the hashes that `kernel.extend` completed for levels 1, 2, ..."""
        for level, hashes in enumerate(tiles, 1):
            if level > len(self._pending):
                self._pending.append([])
            if hashes:
                self._pending[level - 1].append(hashes)
                self._unsynced.add(level)
        try:
            self._write()
        except OSError:
            return  # kept in _pending: the segment holds the truth, `sync` tells of the rest

    def _write(self) -> None:
        for level, pending in enumerate(self._pending, 1):
            if level > len(self._files):
                path = self._directory / str(level)
                self._files.append(self._disk.create(path))
                self._lengths.append(0)
                self._new_names = True
            if not pending:
                continue
            data = b"".join(pending)
            file, length = self._files[level - 1], self._lengths[level - 1]
            if file.size() != length:
                file.truncate(length)
            file.write(data)
            self._lengths[level - 1] = length + len(data)
            pending.clear()

    def sync(self) -> None:
        """Makes all that was appended durable. Raises OSError."""
        self._write()
        for level in sorted(self._unsynced):
            self._files[level - 1].sync()
            self._unsynced.discard(level)
        if self._new_names:
            self._disk.sync_directory(self._directory)
            self._new_names = False

    def close(self) -> None:
        """Closes the files."""
        for file in self._files:
            file.close()


def check_edge(disk: Disk, directory: Path, size: int, frontier: bytes) -> None:
    """Raises Corrupt unless the ends of the tile files agree with the tree's right edge."""
    stack = [frontier[i : i + HASH] for i in range(0, len(frontier), HASH)]
    del stack[len(stack) - (size & 0xFF).bit_count() :]
    level = 1
    while completed(size, level):
        width = completed(size, level) % WIDTH
        path = directory / str(level)
        offset = (completed(size, level) - width) * HASH
        data = disk.read(path, offset, width * HASH)
        hashes = [data[i : i + HASH] for i in range(0, len(data), HASH)]
        for bit in range(8):
            if width >> bit & 1:
                expected = stack.pop()
                found = perfect_root(hashes[-1 << bit :])
                del hashes[-1 << bit :]
                if found != expected:
                    raise Corrupt(str(path), offset, expected.hex(), found.hex())
        level += 1


def tile_path(number: int) -> str:
    """Returns a tile number in tlog-tiles' form: 1234067 is `x001/x234/067`."""
    groups = []
    while True:
        groups.append(f"{number % 1000:03d}")
        number //= 1000
        if not number:
            break
    return "/".join(["x" + group for group in reversed(groups[1:])] + [groups[0]])


def parse_tile_path(text: str) -> tuple[int, int]:
    """Reads `<N>[.p/<W>]` and returns the tile's number and width (256 where it is full).

    Raises ValueError for anything but the one canonical form.
    """
    path, partial, width_text = text.partition(".p/")
    groups = path.split("/")
    if len(groups) > 6:
        raise ValueError(f"{text!r} names no tile")
    number = 0
    for group in groups:
        digits = group.removeprefix("x")
        if len(digits) != 3 or not (digits.isascii() and digits.isdigit()):
            raise ValueError(f"{text!r} names no tile")
        number = number * 1000 + int(digits)
    width = WIDTH
    if partial:
        if not (width_text.isascii() and width_text.isdigit()) or width_text.startswith("0"):
            raise ValueError(f"{text!r} names no tile")
        width = int(width_text)
        if not 0 < width < WIDTH:
            raise ValueError(f"a partial tile is 1 to 255 wide, not {width}")
    if tile_path(number) != path:
        raise ValueError(f"{text!r} is not the canonical path of a tile")
    return number, width


TileSource = Callable[[int, int, int], bytes]
"""`tile(level, number, width)`: the hashes of a tile, `width * 32` bytes."""
