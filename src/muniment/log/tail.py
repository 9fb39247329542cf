"""The end of a log, where the next group commit goes, and when a segment is long enough."""

from __future__ import annotations

from dataclasses import dataclass, field

from muniment import kernel
from muniment.log.segment import SegmentHeader
from muniment.log.tiles import TileFiles


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """When a segment is sealed: at so many bytes, frames, or seconds of age."""

    size: int = 64 << 20
    frames: int = 65_536
    age: float = 24 * 3600.0


@dataclass(slots=True)
class Tail:
    """Where the log ends: the tree, and the segment that is being written.

    `offset` is the last durable byte of `segment`; `places` are its frames of entries.
    `pending` is a checkpoint that is durable in the segment and not yet in `checkpoints`.
    """

    size: int
    frontier: bytes
    tiles: TileFiles
    published: str | None
    checkpoints: int
    pending: str | None = None
    segment: SegmentHeader | None = None
    offset: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)

    @property
    def root(self) -> bytes:
        """The tree's root."""
        return kernel.root(self.frontier)
