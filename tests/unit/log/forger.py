"""A competent forger: changes entries and makes everything fit again, but for the signatures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from simulated_disk import SimulatedDisk

from muniment import kernel
from muniment.log.checkpoint import Checkpoint
from muniment.log.frame import Frame, Kind
from muniment.log.history import all_places, segment_names
from muniment.log.note import Note, Signer
from muniment.log.segment import END, TRAILER, SegmentHeader, read_frame, seal_payload

Sign = Callable[[Checkpoint, str], str | None]
"""What to put for a checkpoint, given the one that would fit and the note that stood there.

Frames of entries are signed as well; where the note is empty, one of them is meant.
"""


def keep(fitting: Checkpoint, note: str) -> str:
    """The old note: its root is not the tree's any more."""
    return note


def sign_with(signer: Signer) -> Sign:
    """A new note of the right root, signed by the forger."""
    return lambda fitting, note: signer.sign(str(fitting))


def drop(fitting: Checkpoint, note: str) -> None:
    """No checkpoint at all."""


@dataclass(slots=True)
class Forger:
    """Rewrites a shard on `disk` with other entries at some indexes.

    With `only`, the other segments are left as they are, as is the tree that they were part of.
    With `verbatim`, each checkpoint frame is, with the true root and frontier. Segments in `spared`
    are left as they are, but what comes after them goes on with the forged tree.
    """

    disk: SimulatedDisk
    directory: Path
    entries: Mapping[int, bytes]
    sign: Sign = keep
    only: Path | None = None
    verbatim: bool = False
    spared: Collection[Path] = ()
    ids: Mapping[str, str] | None = None
    size: int = 0
    frontier: bytes = b""
    tiles: bytes = b""
    notes: str = ""
    origin: str = ""

    def work(self) -> SimulatedDisk:
        """Writes the files anew and returns the disk."""
        for name in segment_names(self.disk, self.directory):
            self._segment(self.directory / name)
        if self.tiles:
            self.disk.poke(self.directory / "tiles" / "1", self.tiles)
        self.disk.poke(self.directory / "checkpoints", self.notes.encode())
        return self.disk

    def _segment(self, path: Path) -> None:
        header = SegmentHeader.read(self.disk, path)
        self.origin = header.origin
        mine = self.only is None or path == self.only
        if not mine:
            self.size, self.frontier = header.first, header.frontier
        frames = [read_frame(self.disk, path, place) for place in all_places(self.disk, path)]
        data = replace(header, frontier=self.frontier).encode()
        listed: list[tuple[int, int]] = []
        for frame in frames:
            if frame.kind is Kind.ENTRIES:
                listed.append((frame.first, len(data)))
                data += self._entries(frame, mine)
            elif frame.kind is Kind.CHECKPOINT:
                data += self._checkpoint(frame)
            else:
                seal = replace(frame, payload=seal_payload(listed), root=self._root())
                data += seal.encode() + TRAILER.pack(END, len(data))
        if mine and path not in self.spared:
            self.disk.poke(path, data)

    def _entries(self, frame: Frame, mine: bool) -> bytes:
        entries = kernel.unpack(frame.payload)
        if mine:
            entries = [self.entries.get(frame.first + i, e) for i, e in enumerate(entries)]
        (chunk,) = kernel.pack_records(entries, b"")
        self.frontier, tiles = kernel.extend(self.frontier, self.size, chunk.leaves)
        self.tiles += b"".join(tiles[:1])
        self.size += frame.count
        ids = [replace(known, id=(self.ids or {}).get(known.id, known.id)) for known in frame.ids]
        forged = replace(frame, payload=chunk.payload, root=self._root(), ids=ids)
        put = self.sign(Checkpoint(self.origin, self.size, self._root()), "")
        if put:
            forged = replace(forged, signature=Note.parse(put).signatures[0].blob)
        return forged.encode()

    def _checkpoint(self, frame: Frame) -> bytes:
        note = frame.payload[32 * frame.first.bit_count() :].decode()
        if self.verbatim:
            self.notes += note
            return frame.encode()
        old = Checkpoint.of_note(note)
        put = self.sign(replace(old, root=self._root()), note)
        if put is None:
            return b""
        self.notes += put
        return replace(frame, payload=self.frontier + put.encode(), root=self._root()).encode()

    def _root(self) -> bytes:
        return kernel.root(self.frontier)
