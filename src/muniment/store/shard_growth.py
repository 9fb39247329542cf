"""What is laid down of a shard so far: its entries, the gaps in them, the tree that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from muniment.errors import Corrupt
from muniment.log.note import Verifier
from muniment.log.report import Finding
from muniment.log.segment import segment_name
from muniment.log.verify_segment import SegmentCheck
from muniment.store.names import shard_prefix
from muniment.store.tree import Companion


@dataclass(slots=True)
class Copy:
    """What is there now: entries `minimum` to `size`, but for those in `missing`.

    `missing` are [first, stop) of entries below `size` that no whole segment of the store holds;
    `findings` say what was wrong there. `newest` is the newest checkpoint, `fetched` and `kept`
    count segments, `bytes` those of fetched ones.
    """

    log: str
    shard: str
    size: int = 0
    minimum: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    newest: str | None = None
    verifier: Verifier | None = None
    fetched: int = 0
    kept: int = 0
    bytes: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing is missing below `size` and nothing was wrong."""
        return not self.missing and not self.findings


class Growth:
    """Grows a Copy segment by segment; `notes` and `tiles` are the files made of them so far.

    Behind a gap without companions no tile can be made any more.
    """

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.notes = bytearray()
        self.tiles: list[bytearray] = []
        self._frontier = b""
        self._unbroken = True

    def add_segment(self, check: SegmentCheck) -> None:
        """Takes a segment that was verified, and that `misplaced` has nothing against."""
        tiles = [b"".join(level) for level in check.tiles]
        notes = [one.note for one in check.checkpoints]
        self._add(check.first, tiles, notes, check.size, check.frontier)

    def add_companion(self, companion: Companion, place: str) -> None:
        """Takes what a companion says in place of its segment. Raises Corrupt."""
        copy = self.copy
        if companion.first < copy.size:
            raise Corrupt(place, 0, f"entry {copy.size}", f"entry {companion.first}")
        if companion.first == copy.size and companion.start != self._frontier:
            raise Corrupt(place, 0, "the frontier of the segments before it", "another one")
        self._add(companion.first, companion.tiles, companion.notes, companion.size, companion.end)

    def misplaced(self, check: SegmentCheck) -> Finding | None:
        """A segment must go on where the one before ended, if that one is known."""
        if check.first < self.copy.size:
            problem = f"begins with entry {check.first}, entry {self.copy.size} is next"
        elif check.first == self.copy.size and check.start != self._frontier:
            problem = "its frontier is not that of the segments before it"
        else:
            return None
        return Finding(str(check.path), problem, 0)

    def miss(self, first: int, stop: int) -> None:
        """Notes that the entries [first, stop) are not here."""
        missing = self.copy.missing
        if missing and first <= missing[-1][1]:
            begin, end = missing.pop()
            first, stop = min(first, begin), max(stop, end)
        missing.append((first, stop))

    def _add(
        self, first: int, tiles: Sequence[bytes], notes: Sequence[str], size: int, frontier: bytes
    ) -> None:
        self._gap(first)
        for number, hashes in enumerate(tiles if self._unbroken else ()):
            if number == len(self.tiles):
                self.tiles.append(bytearray())
            self.tiles[number] += hashes
        for note in notes:
            self.notes += note.encode()
            self.copy.newest = note
        self.copy.size, self._frontier = size, frontier

    def _gap(self, first: int) -> None:
        copy = self.copy
        if first > copy.size:
            place = Path(shard_prefix(copy.log, copy.shard)) / segment_name(copy.size)
            problem = f"is missing: entries {copy.size:,} to {first - 1:,}"
            copy.findings.append(Finding(str(place), problem))
            self.miss(copy.size, first)
            self._unbroken = False
