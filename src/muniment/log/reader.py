"""Reading a shard back: entries, runs for followers, tiles, entry bundles, proofs.

A reader needs nothing but the files, so that followers in other processes use it too. It sees
entries up to the size it was told with `advance`, which whoever writes calls after a sync. Entries
below the minimum of the shard's `pruned` note have expired; what is proved of the others needs
their hashes only, which the tile files and the note keep.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from muniment import kernel
from muniment.errors import Corrupt, Expired, NoSuchEntry
from muniment.log.disk import Disk, PosixDisk
from muniment.log.merkle import consistency_proof, inclusion_proof, range_root
from muniment.log.pruned import Pruned, own_pruned
from muniment.log.raw import End, RawSegments
from muniment.log.runs import PackedRun, Run, pack
from muniment.log.tiles import DIRECTORY, HASH, WIDTH
from muniment.log.walked import WalkedSegment, WalkedSegments

_KEPT_PAYLOADS = 4
_KEPT_TILES = 512


class ShardReader:
    """Reads a shard's directory. Safe for several threads."""

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        self._directory = directory
        self._disk = disk or PosixDisk()
        self._lock = RLock()
        self._size = 0
        self._segments = WalkedSegments(self._disk, directory)
        self._payloads: OrderedDict[tuple[Path, int], tuple[int, list[bytes]]] = OrderedDict()
        self._tiles: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._pruned: Pruned | None = None
        self._looked = False

    @property
    def size(self) -> int:
        """Entries that can be read."""
        return self._size

    def advance(self, size: int) -> None:
        """Tells that the first `size` entries are durable."""
        self._size = max(self._size, size)

    @property
    def minimum(self) -> int:
        """The first entry that has not expired, as far as is known: see `refresh`."""
        if not self._looked:
            self.refresh()
        return self._pruned.minimum if self._pruned is not None else 0

    def raw(self, end: End) -> RawSegments:
        """Returns the bytes of the segments up to where they are durable."""
        return RawSegments(self._directory, self._disk, end, self.minimum)

    @property
    def pruned(self) -> Pruned | None:
        """The note that says what has expired, as far as is known."""
        return self._pruned if self.minimum else None

    def refresh(self) -> int:
        """Reads the `pruned` note again, as another process may have written it.

        Returns the minimum. Raises Corrupt where the note does not hold.
        """
        found = own_pruned(self._disk, self._directory)
        with self._lock:
            self._looked = True
            known = self._pruned.minimum if self._pruned is not None else 0
            if found is not None and found.minimum > known:
                self._pruned = found
                self._forget(found.minimum)
        return self._pruned.minimum if self._pruned is not None else 0

    def _forget(self, minimum: int) -> None:
        """Drops what is kept in memory of entries below the minimum."""
        for key, (first, _) in list(self._payloads.items()):
            if first < minimum:
                del self._payloads[key]
        self._segments.forget(minimum)
        for tile in [tile for tile in self._tiles if tile[0] == 0]:
            del self._tiles[tile]

    def _check(self, index: int) -> None:
        """Raises NoSuchEntry or Expired unless the entry is there."""
        if not 0 <= index < self._size:
            raise NoSuchEntry(f"entry {index} is not in a shard of {self._size} entries")
        if index < self.minimum:
            raise Expired(f"entry {index} has expired: entry {self.minimum} is the first one kept")

    def entry(self, index: int) -> bytes:
        """Returns an entry's bytes.

        Raises NoSuchEntry, Expired below the minimum, or Corrupt where they do not verify.
        """
        self._check(index)
        first, entries = self._frame_of(index)
        return entries[index - first]

    def read(self, start: int, max_entries: int = 65_536, max_bytes: int = 8 << 20) -> Run:
        """Returns entries from `start`, at least one where there is one, within the bounds.

        Raises Expired where `start` is below the minimum.
        """
        if start < self._size:
            self._check(start)
        entries: list[bytes] = []
        total = 0
        stop = min(self._size, start + max_entries)
        while start + len(entries) < stop and total < max_bytes:
            index = start + len(entries)
            first, frame = self._frame_of(index)
            for entry in frame[index - first : stop - first]:
                if entries and total + len(entry) > max_bytes:
                    return Run(start, entries)
                entries.append(entry)
                total += len(entry)
        return Run(start, entries)

    def packed(self, start: int) -> PackedRun:
        """Returns the entries from `start` to the end of their frame, as they are packed.

        Raises NoSuchEntry beyond the end, Expired below the minimum, Corrupt where the frame does
        not verify.
        """
        self._check(start)
        segment, offset = self._find(start)
        with self._kept(start):
            frame = segment.frame(self._disk, offset, start)
        return PackedRun.of(frame, start)

    def entry_bundle(self, number: int, width: int = WIDTH) -> bytes:
        """Returns the tlog-tiles entry bundle of a level-0 tile: (uint16 length || entry)*.

        Raises Expired where one of its entries has: the minimum index in the sense of tlog-tiles
        is that of the shard, rounded up to a whole tile.
        """
        start = number * WIDTH
        if start + width > self._size:
            raise NoSuchEntry(f"entries {start} to {start + width - 1} are not all there yet")
        return pack(self._entries(start, start + width))

    def tile(self, level: int, number: int, width: int = WIDTH) -> bytes:
        """Returns the hashes of a tile, 32 bytes each.

        Raises NoSuchEntry where it is not yet there. Only tiles of level 0 whose entries have all
        expired are gone (Expired).
        """
        there = self._size >> 8 * level
        if number * WIDTH + width > there:
            raise NoSuchEntry(f"tile {level}/{number} of {width} hashes is not complete yet")
        with self._lock:
            known = self._tiles.get((level, number), b"")
            if len(known) >= width * HASH:
                self._tiles.move_to_end((level, number))
                return known[: width * HASH]
        whole = min(WIDTH, there - number * WIDTH)
        hashes = self._read_tile(level, number, whole)
        with self._lock:
            self._tiles[level, number] = hashes
            while len(self._tiles) > _KEPT_TILES:
                self._tiles.popitem(last=False)
        return hashes[: width * HASH]

    def _read_tile(self, level: int, number: int, width: int) -> bytes:
        if level == 0:
            return self._leaves(number, width)
        path = self._directory / DIRECTORY / str(level)
        offset = number * WIDTH * HASH
        data = self._disk.read(path, offset, width * HASH)
        if len(data) != width * HASH:
            raise Corrupt(str(path), offset, f"{width * HASH} bytes of hashes", f"{len(data)}")
        return data

    def _leaves(self, number: int, width: int) -> bytes:
        """The leaf hashes of a tile: of expired entries from the note, else from the entries."""
        start, minimum = number * WIDTH, self.minimum
        pruned = self._pruned
        if start + WIDTH <= minimum:
            raise Expired(f"tile 0/{number} has expired: entry {minimum} is the first one kept")
        known = pruned.edge if pruned is not None and start < minimum else b""
        if len(known) >= width * HASH:
            return known[: width * HASH]
        entries = self._entries(start + len(known) // HASH, start + width)
        return known + kernel.leaf_hashes(pack(entries))

    def subtree(self, level: int, number: int) -> bytes:
        """Returns the root of a perfect subtree; see `merkle.Subtree`."""
        tile_level, height = divmod(level, 8)
        first = number << height
        last = first % WIDTH + (1 << height)
        hashes = self.tile(tile_level, first // WIDTH, last)[first % WIDTH * HASH :]
        return kernel.root(kernel.extend(b"", 0, hashes)[0])

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Returns the audit path of an entry in the tree of `size` (RFC 6962 2.1.1)."""
        if not 0 <= index < size <= self._size:
            raise NoSuchEntry(f"entry {index} is not in a tree of {size} entries")
        return inclusion_proof(index, size, self.subtree)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Returns the proof that tree `old` is a prefix of tree `new` (RFC 6962 2.1.2)."""
        if not 0 <= old <= new <= self._size:
            raise NoSuchEntry(f"trees of {old} and {new} are not in one of {self._size} entries")
        return consistency_proof(old, new, self.subtree)

    def root_at(self, size: int) -> bytes:
        """Returns the root of the tree of the first `size` entries. Raises NoSuchEntry, Expired."""
        if not 0 <= size <= self._size:
            raise NoSuchEntry(f"a tree of {size} is not in one of {self._size} entries")
        return range_root(0, size, self.subtree)

    def root_after(self, index: int) -> tuple[int, bytes]:
        """Returns size and root of the tree after the group commit that holds an entry."""
        self._check(index)
        with self._lock:
            segment = self._segment_of(index)
            return segment.commit_end(self._disk, index)

    def _entries(self, start: int, stop: int) -> list[bytes]:
        entries: list[bytes] = []
        while start + len(entries) < stop:
            entries += self.read(start + len(entries), stop - start - len(entries)).entries
        return entries

    def _frame_of(self, index: int) -> tuple[int, list[bytes]]:
        """Returns the first index and the entries of the frame that holds `index`."""
        segment, offset = self._find(index)
        key = (segment.path, offset)
        with self._lock:
            known = self._payloads.get(key)
            if known is not None:
                self._payloads.move_to_end(key)
                return known
        with self._kept(index):
            frame = segment.frame(self._disk, offset, index)
        try:
            entries = kernel.unpack(frame.payload)
        except ValueError as error:
            raise Corrupt(str(segment.path), offset, "packed entries", str(error)) from error
        if len(entries) != frame.count:
            raise Corrupt(str(segment.path), offset, f"{frame.count} entries", f"{len(entries)}")
        with self._lock:
            self._payloads[key] = (frame.first, entries)
            while len(self._payloads) > _KEPT_PAYLOADS:
                self._payloads.popitem(last=False)
        return frame.first, entries

    def _find(self, index: int) -> tuple[WalkedSegment, int]:
        """Returns the segment that holds an entry, and the offset of the frame."""
        with self._lock, self._kept(index):
            segment = self._segment_of(index)
            return segment, segment.place(index)

    @contextmanager
    def _kept(self, index: int) -> Iterator[None]:
        """A segment that is not there any more may have expired meanwhile."""
        try:
            yield
        except FileNotFoundError:
            self.refresh()
            self._check(index)
            raise

    def _segment_of(self, index: int) -> WalkedSegment:
        """Returns the segment that holds `index`, its frames walked at least that far."""
        segment = self._segments.of(index, self.refresh)
        if segment is None:
            self._check(index)
            raise Corrupt(str(self._directory), 0, f"a segment with entry {index}", "none")
        return segment
