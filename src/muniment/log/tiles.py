"""Tiles (C2SP tlog-tiles): files of hashes for levels 1 and up, level 0 cut on request.

`tiles/<level>` holds the hashes of its level one after the other, 32 bytes each: element i is the
root over entries [i * 256**level, (i + 1) * 256**level). The files are derived from the segments
and synced before a checkpoint that covers them is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from muniment.errors import Corrupt
from muniment.log.disk import AppendFile, Disk, write_file
from muniment.log.merkle import perfect_root

WIDTH = 256
HASH = 32
DIRECTORY = "tiles"


def completed(size: int, level: int) -> int:
    """Returns how many hashes of a tile level a tree of `size` entries has completed."""
    return size >> 8 * level


@dataclass(slots=True)
class _Level:
    """A tile file. Of its `written` bytes, `synced` are durable; `kept` are those that are not.

    `file` is None where the file has to be made, or made anew because a sync of it failed.
    """

    path: Path
    file: AppendFile | None = None
    synced: int = 0
    written: int = 0
    kept: bytearray = field(default_factory=bytearray)
    dirty: bool = False


class TileFiles:
    """Appends to a shard's tile files. One writer.

    What is not durable is kept in memory and tried again with the next hashes, so that tiles
    never stop an acknowledgement; `sync` raises OSError for as long as something is missing on
    disk. A file whose sync failed is written anew under its name.
    """

    def __init__(self, disk: Disk, directory: Path, size: int) -> None:
        """Opens the files of a tree of `size` entries, cutting off what is beyond it.

        Raises Corrupt where a file is shorter than such a tree's.
        """
        self._disk = disk
        self._directory = directory
        self._levels: list[_Level] = []
        self._new_names = True  # of a process that was killed, as far as anybody knows
        disk.make_directory(directory)
        for name in disk.names(directory):
            if name.startswith(".") and name.endswith(".new"):
                disk.remove(directory / name)  # left half made by a crash
        names = set(disk.names(directory))
        level = 1
        while completed(size, level) or str(level) in names:
            self._open(level, completed(size, level) * HASH, str(level) in names)
            level += 1

    def _open(self, number: int, length: int, exists: bool) -> None:
        level = _Level(self._directory / str(number), synced=length, written=length)
        found = self._disk.size(level.path) if exists else 0
        if found < length:
            raise Corrupt(
                str(level.path), found, f"{length} bytes of tile hashes", f"{found} bytes"
            )
        if exists:
            level.file = self._disk.append(level.path)
        if level.file is not None and found > length:
            level.file.truncate(length)
            level.dirty = True
        self._levels.append(level)

    def append(self, tiles: Sequence[bytes]) -> None:
        """Takes the hashes that `kernel.extend` completed for levels 1, 2, ..."""
        for number, hashes in enumerate(tiles, 1):
            if number > len(self._levels):
                self._levels.append(_Level(self._directory / str(number)))
            self._levels[number - 1].kept += hashes
        with suppress(OSError):  # the segment holds the truth, `sync` tells of the rest
            self._write()

    def _write(self) -> None:
        for level in self._levels:
            file = level.file or self._make(level)
            data = bytes(level.kept[level.written - level.synced :])
            if not data:
                continue
            if file.size() != level.written:
                file.truncate(level.written)
            level.dirty = True
            file.write(data)
            level.written += len(data)

    def _make(self, level: _Level) -> AppendFile:
        if level.path.name in self._disk.names(self._directory):
            whole = self._disk.read(level.path, 0, level.synced) + level.kept
            write_file(self._disk, level.path, whole)
            level.synced = level.written = len(whole)
            level.kept.clear()
            level.dirty = False
            level.file = self._disk.append(level.path)
        else:
            level.file = self._disk.create(level.path)
            self._new_names = True
        return level.file

    def sync(self) -> None:
        """Makes all that was appended durable. Raises OSError."""
        self._write()
        for level in self._levels:
            if level.dirty and level.file is not None:
                self._sync(level, level.file)
        if self._new_names:
            self._disk.sync_directory(self._directory)
            self._new_names = False

    def _sync(self, level: _Level, file: AppendFile) -> None:
        try:
            file.sync()
        except OSError:
            level.file, level.written = None, level.synced
            file.close()
            raise
        level.synced, level.dirty = level.written, False
        level.kept.clear()

    def close(self) -> None:
        """Closes the files."""
        for level in self._levels:
            if level.file is not None:
                level.file.close()


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
