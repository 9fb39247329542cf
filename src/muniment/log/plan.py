"""The planner: what goes into the log next, decided ahead of the disk.

It makes frames, signatures and the tree's growth, and says where a segment ends, without a look at
any file: so an append can be on its way to a replica while those before it are not on this disk
yet. What it planned must reach the files in the same order (`appender`), or `reset` takes it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from muniment import kernel
from muniment.log.batch import Batch
from muniment.log.checkpoint import Checkpoint
from muniment.log.frame import Frame, Kind
from muniment.log.group import merge
from muniment.log.note import Signer
from muniment.log.replica import Act, Append
from muniment.log.segment import SegmentHeader
from muniment.log.tail import SegmentLimits, Tail


@dataclass(slots=True)
class Planned:
    """An append with all that the files need of it, so that nothing is computed twice.

    `places` are its frames of entries: first index, and offset in the append. `tiles` are the
    hashes that each of them completed for tile levels 1, 2, ...; `frontier` is the tree's after
    it. `note` is the signed checkpoint after it: the receipt of a group, or what is published.
    """

    act: Act
    segment: int
    first: int
    size: int
    root: bytes
    frontier: bytes
    frames: Sequence[bytes] = ()
    places: Sequence[tuple[int, int]] = ()
    tiles: Sequence[Sequence[bytes]] = ()
    note: str = field(default="", repr=False)

    @property
    def length(self) -> int:
        """Bytes of the frames."""
        return sum(map(len, self.frames))

    def append(self) -> Append:
        """Returns what a replica stores; the frames are kept once, in one piece."""
        joined = b"".join(self.frames)
        self.frames = (joined,)
        return Append(self.act, self.segment, self.first, self.size, self.root, joined)


class Planner:
    """Plans the appends of one shard. Not safe for several threads at once.

    `size` is the tree's after all that was planned, `published` that of the last checkpoint.
    """

    def __init__(self, signer: Signer, tail: Tail, limits: SegmentLimits) -> None:
        self.origin = signer.verifier.name
        self._signer = signer
        self._limits = limits
        self.reset(tail)

    def reset(self, tail: Tail) -> None:
        """Goes on from the files: what was planned beyond them is forgotten."""
        self.size, self._frontier = tail.size, tail.frontier
        note = tail.pending or tail.published
        self.published = Checkpoint.of_note(note).size if note else 0
        self._segment = tail.segment.first if tail.segment else None
        self._offset, self._frames = tail.offset, len(tail.places)
        self._opened: float | None = None

    def sign(self, size: int, root: bytes) -> str:
        """Returns the signed checkpoint of a tree of this log."""
        return self._signer.sign(str(Checkpoint(self.origin, size, root)))

    def start_age(self, now: float) -> None:
        """Lets the segment that is open grow old from `now` on, unless it does already."""
        if self._opened is None:
            self._opened = now

    def seal_in(self, now: float) -> float | None:
        """Returns in how many seconds the open segment is to be sealed, at least 0.

        None where it holds no entries: it need not be, and the next has the same name.
        """
        if self._segment is None or not self._frames or self._opened is None:
            return None
        return max(0.0, self._opened + self._limits.age - now)

    def segment(self, now: float) -> int:
        """Returns the first index of the segment that the next append goes to."""
        if self._opened is not None and self._over(now):
            self._segment = None
        if self._segment is None:
            self._segment, self._frames, self._opened = self.size, 0, now
            self._offset = SegmentHeader(self.origin, self.size, self._frontier).length
        self.start_age(now)
        return self._segment

    def _over(self, now: float) -> bool:
        limits = self._limits
        full = self._offset >= limits.size or self._frames >= limits.frames
        return bool(self._frames) and (full or self.seal_in(now) == 0.0)

    def group(self, batches: Sequence[Batch], now: float) -> Planned:
        """Plans a group commit of the batches, in order."""
        segment, first = self.segment(now), self.size
        size, frontier, offset = first, self._frontier, 0
        frames, places, tiles = [], [], []
        groups = list(merge(batches, size))
        for number, (ids, chunk) in enumerate(groups, 1):
            frontier, completed = kernel.extend(frontier, size, chunk.leaves)
            tiles.append(completed)
            root = kernel.root(frontier)
            checkpoint = str(Checkpoint(self.origin, size + chunk.count, root))
            signature = self._signer.signature(checkpoint)
            frame = Frame(
                Kind.ENTRIES,
                size,
                chunk.count,
                root,
                chunk.payload,
                begins=number == 1,
                ends=number == len(groups),
                ids=ids,
                signature=signature,
                compressed=chunk.compressed,
            ).encode()
            places.append((size, offset))
            size += chunk.count
            offset += len(frame)
            frames.append(frame)
        note = self._signer.note(checkpoint, signature)
        self.size, self._frontier = size, frontier
        self._frames += len(frames)
        self._offset += offset
        return Planned(Act.GROUP, segment, first, size, root, frontier, frames, places, tiles, note)

    def checkpoint(self, now: float) -> Planned:
        """Plans the checkpoint of all that was planned before it."""
        segment, size, frontier = self.segment(now), self.size, self._frontier
        root = kernel.root(frontier)
        note = self.sign(size, root)
        frame = Frame(Kind.CHECKPOINT, size, 0, root, frontier + note.encode()).encode()
        self._offset += len(frame)
        self.published = size
        frames = [frame]
        return Planned(Act.CHECKPOINT, segment, size, size, root, frontier, frames, note=note)

    def seal(self) -> Planned:
        """Plans the end of the open segment; the next append begins another."""
        self._segment = None
        size, frontier = self.size, self._frontier
        return Planned(Act.SEAL, size, size, size, kernel.root(frontier), frontier)
