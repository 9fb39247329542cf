"""Shards of several nodes with batches that have ids, and an index that is moved step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
import pyarrow.parquet as pq
from index_fixture import LOG, Clock

from muniment import kernel
from muniment.index.copies import Copies
from muniment.index.log_index import LogIndex
from muniment.index.reading import take
from muniment.log import Batch, Shard, ShardReader
from muniment.log.note import Signer


def header(node: str, id_: str = "", sender: str = "") -> bytes:
    """A receipt header: the time and the node differ, the rest is of the batch."""
    fields = {"at": f"2026-03-01T10:00:{len(node):02d}.000000Z", "node": node, "via": "http"}
    fields |= {"from": sender} if sender else {}
    fields |= {"as": "text"} | ({"id": id_} if id_ else {})
    return orjson.dumps(fields) + b"\n"


class Fleet:
    """Shards, each written by a node of its own; a data directory that has them all."""

    def __init__(self, data: Path, shards: Sequence[str]) -> None:
        self.data = data
        self.shards: dict[str, Shard] = {}
        for shard in shards:
            self.join(shard)

    @property
    def evidence(self) -> Path:
        return self.data / "logs" / LOG

    def join(self, shard: str) -> None:
        """One more shard."""
        directory = self.evidence / shard
        directory.parent.mkdir(parents=True, exist_ok=True)
        signer = Signer(f"muniment.local/{LOG}/{shard}", bytes(range(32)))
        Shard.create(directory, signer)
        self.shards[shard] = Shard.open(directory, signer, log=LOG)

    def put(self, shard: str, lines: Sequence[str], id_: str = "", sender: str = "") -> int:
        """Puts a batch; returns the index of its first entry."""
        return self.put_all(shard, [(lines, id_)], sender)

    def put_all(
        self, shard: str, batches: Sequence[tuple[Sequence[str], str]], sender: str = ""
    ) -> int:
        """Puts batches, about in one group commit."""
        waiting = []
        for lines, id_ in batches:
            records = [line.encode() for line in lines]
            chunks = kernel.pack_records(records, header(f"node of {shard}", id_, sender))
            named = f"{sender} {id_}" if sender and id_ else id_
            waiting.append(self.shards[shard].submit(Batch(chunks, named or None)))
        return min(done.result().first for done in waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for shard in self.shards.values():
            shard.close()


class Steps:
    """The index of a fleet's log, which goes on shard by shard as it is told to."""

    def __init__(self, fleet: Fleet, *, remembered: int = 1 << 20) -> None:
        clock = Clock()
        self.fleet = fleet
        self.index = LogIndex(
            fleet.data / "index" / LOG, LOG, clock=clock, now=clock.now, sync=lambda handle: None
        )
        self.copies = Copies(fleet.evidence, ShardReader, remembered=remembered)
        self.readers: dict[str, ShardReader] = {}

    def read(self, shard: str) -> bool:
        """Takes what a turn takes of a shard; tells whether there was anything."""
        reader = self.readers.setdefault(shard, ShardReader(self.fleet.evidence / shard))
        reader.advance(self.fleet.shards[shard].size)
        start = self.index.next_index(shard)
        if start >= reader.size:
            return False
        turn = take(reader, start)
        sifted = self.copies.sift(shard, turn, self.readers, self.index.snapshot.cursors)
        table = sifted.rows(LOG, shard)
        copies = sifted.after - start - table.num_rows
        return self.index.append(shard, table, sifted.after, copies=copies, relies=sifted.relies)

    def read_all(self, *shards: str) -> None:
        """Takes all that there is, of one shard after the other."""
        for shard in shards or tuple(self.fleet.shards):
            while self.read(shard):
                pass

    def lines(self) -> list[str]:
        """The raw lines of all rows, sorted."""
        return sorted(line for _, _, line in self.rows())

    def rows(self) -> list[tuple[str, int, str]]:
        """All rows as (shard, index, raw line), in order."""
        snapshot = self.index.snapshot
        tables = [recent.table for recent in snapshot.recent]
        tables += [pq.ParquetFile(self.index.trusted(part)).read() for part in snapshot.parts]
        found: list[tuple[str, int, str]] = []
        for table in tables:
            columns = (table[name].to_pylist() for name in ("shard", "index", "raw_data"))
            found += zip(*columns, strict=True)
        return sorted(found)
