"""Batches that came to several shards: the index has the entries of the first that it saw.

A client that got no answer from one node repeats its batch, under the same id, at another one. The
log keeps both, for both arrived. A batch is a copy where another of the same id, sender and number
of entries is in the index, and each entry has the same bytes behind its receipt header. An id that
came again with anything else is a conflict: all of it is indexed. Batches without an id are never
compared, and those of a log with one shard need not be: the shard itself answers a repetition.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pyarrow as pa

from muniment.errors import MunimentError, TryLater, Unavailable
from muniment.event.schema import SCHEMA
from muniment.index.places import Place, Places, key_of, recall
from muniment.index.reading import OpenReader, Reader, Turn, packed_rows
from muniment.log.frame import BatchId

REMEMBERED = 1 << 20
"""The newest batches of a log whose ids are known: each of its shards has an equal share."""

_COMPARED = 8
"""An id that came with so many different contents is not compared with any more of them."""
_ENTRIES = 4_096
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sifted:
    """A turn, and which of its entries are copies; `after` is where the shard goes on.

    `copies` are their stretches [first, end), the last of which may end behind the turn. They are
    copies only while `relies` is in the index: by shard, the highest first entry of an original.
    """

    turn: Turn
    after: int
    copies: tuple[tuple[int, int], ...] = ()
    relies: Mapping[str, int] = field(default_factory=dict)

    def rows(self, log: str, shard: str) -> pa.Table:
        """Returns the rows of what is no copy."""
        kept = self._kept() if self.copies else None
        if kept is not None and not kept:
            return SCHEMA.empty_table()
        table = packed_rows(self.turn, log=log, shard=shard)
        return table if kept is None else table.take(pa.array(kept, pa.int64()))

    def _kept(self) -> list[int]:
        """Places within the turn."""
        kept: list[int] = []
        place = 0
        for first, end in self.copies:
            kept += range(place, first - self.turn.first)
            place = end - self.turn.first
        return [*kept, *range(place, self.turn.count)]


class Copies:
    """Finds the copies in one log. Belongs to the thread that follows it.

    `directory` holds the evidence of the log, a folder for each shard. Nothing need be told when
    an index goes back to what is on the disk: what it does not have (any more) is no original.
    """

    def __init__(
        self,
        directory: Path,
        open_reader: OpenReader,
        *,
        remembered: int = REMEMBERED,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._directory, self._open_reader = directory, open_reader
        self._remembered, self._stopping = remembered, stopping
        self._places: dict[str, Places] = {}
        self._own: dict[str, Reader] = {}
        self._readers: Mapping[str, Reader] = {}
        self._cursors: Mapping[str, int] = {}
        self._share = remembered
        self.conflicts = 0

    def sift(
        self, shard: str, turn: Turn, readers: Mapping[str, Reader], cursors: Mapping[str, int]
    ) -> Sifted:
        """Finds the copies in a turn of a shard.

        `readers` are the shards that are followed, `cursors` what is in the index. A batch that may
        be a copy and is not all there yet ends the turn before it. Raises TryLater where an
        original cannot be read now, and what the reader of `shard` raises.
        """
        shards = readers.keys() | cursors.keys()
        if not turn.ids or len(shards) < 2:
            return Sifted(turn, turn.end)
        self._readers, self._cursors = readers, cursors
        self._recall(shards)
        copies: list[tuple[int, int]] = []
        relies: dict[str, int] = {}
        free = turn.first
        for batch in turn.ids:
            if not (free <= batch.first < turn.end and batch.count):
                continue  # the table of a frame is not under the tree: it may say anything
            free = batch.first + batch.count
            key = key_of(batch.id)
            others = self._others(shard, batch, key)
            if others and free > readers[shard].size:
                turn = turn.head(batch.first - turn.first)
                break
            for name, place in others:
                if self._alike(shard, batch, name, place):
                    copies.append((batch.first, free))
                    if name != shard:
                        relies[name] = max(relies.get(name, 0), place.first)
                    break
            else:
                self._note(shard, batch, key, conflict=bool(others))
        after = max(turn.end, copies[-1][1] if copies else 0)
        return Sifted(turn, after, tuple(copies), relies)

    def _recall(self, shards: Set[str]) -> None:
        """Learns of shards what stands in them before the cursor, once."""
        self._share = max(1, self._remembered // len(shards))
        for shard in sorted(shards - self._places.keys()):
            stop = self._cursors.get(shard, 0)
            found = recall(self._directory / shard, stop, self._share, self._stopping)
            if self._stopping():
                raise Unavailable("the index is closing")  # and what was found may not be all
            self._places[shard] = found

    def _others(self, shard: str, batch: BatchId, key: int) -> list[tuple[str, Place]]:
        """Returns shard and place of batches of the same id that are in the index before it."""
        found: list[tuple[str, Place]] = []
        for name, places in self._places.items():
            known = places.find(key)
            if known:
                end = batch.first if name == shard else self._cursors.get(name, 0)
                reader = self._readers.get(name)
                minimum = reader.minimum if reader is not None else 0
                found += [(name, place) for place in known if minimum <= place.first < end]
        return found[:_COMPARED]

    def _note(self, shard: str, batch: BatchId, key: int, *, conflict: bool) -> None:
        """Remembers a batch that goes into the index."""
        place = Place(batch.first, batch.count)
        if place in self._places[shard].find(key):
            return  # it has been here, before the index went back
        self._places[shard].add(key, place, self._share)
        if conflict:
            self.conflicts += 1
            _log.warning(
                "%s/%s: entry %d begins a batch whose id stands before other entries, too: "
                "all of them are indexed",
                *(self._directory.name, shard, batch.first),
            )

    def _alike(self, shard: str, batch: BatchId, name: str, place: Place) -> bool:
        """Whether two batches are of one sender and have the same entries behind the headers."""
        other = self._reader(name, place)
        if batch.count != place.entries or other is None:
            return False
        done = 0
        while done < batch.count:
            wanted = min(_ENTRIES, batch.count - done)
            mine = self._readers[shard].read(batch.first + done, wanted).entries
            try:
                theirs = other.read(place.first + done, len(mine)).entries
            except TryLater:
                raise
            except (MunimentError, OSError):  # it is damaged: nothing is left out for its sake
                return False
            if not (mine and theirs) or (done == 0 and _said(mine[0]) != _said(theirs[0])):
                return False
            pairs = zip(mine, theirs, strict=False)
            if any(a.partition(b"\n")[2] != b.partition(b"\n")[2] for a, b in pairs):
                return False
            done += min(len(mine), len(theirs))
        return True

    def _reader(self, shard: str, place: Place) -> Reader | None:
        """Returns what reads a batch of a shard, which need not be followed (yet)."""
        end = place.first + place.entries
        reader = self._readers.get(shard)
        if reader is None or reader.size < end:
            if shard not in self._own:
                self._own[shard] = self._open_reader(self._directory / shard)
            reader = self._own[shard]
            reader.advance(self._cursors.get(shard, 0))
        return reader if reader.minimum <= place.first and end <= reader.size else None


def _said(entry: bytes) -> tuple[object, object]:
    """Who sent an entry, and under which id, by its receipt header."""
    try:
        header = orjson.loads(entry.partition(b"\n")[0])
        return header.get("from"), header.get("id")
    except (orjson.JSONDecodeError, AttributeError):
        return None, None
