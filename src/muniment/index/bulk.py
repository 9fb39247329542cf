"""Rows on their way straight into parts, for an index that is far behind."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from muniment.index.columns import fit, leaf_columns, schema_of
from muniment.index.manifest import Sync
from muniment.index.part import Part, PartWriter, by_day, sorted_groups


class Bulk:
    """Parts of one shard, one a day, that grow as tables come; all methods raise OSError.

    A table with a column that the part of its day does not have ends that part and begins another
    one with the columns of both.
    """

    def __init__(self, directory: Path, sync: Sync = os.fsync) -> None:
        self._directory, self._sync = directory, sync
        self._growing: dict[str, PartWriter] = {}
        self._finished: list[Part] = []

    def add(self, table: pa.Table) -> None:
        """Writes the rows of a pruned table; each row group is sorted."""
        for day, rows in by_day(table).items():
            writer = self._writer(day, leaf_columns(rows.schema))
            for group in sorted_groups(rows):
                writer.add(fit(group, writer.schema))

    def _writer(self, day: str, leaves: frozenset[str]) -> PartWriter:
        writer = self._growing.get(day)
        if writer is not None:
            has = leaf_columns(writer.schema)
            if leaves <= has:
                return writer
            self._finished.append(writer.finish())
            leaves |= has
        made = PartWriter(self._directory, day, schema_of(leaves), working="bulk", sync=self._sync)
        self._growing[day] = made
        return made

    def finish(self) -> list[Part]:
        """Returns all parts, durable."""
        return self._finished + [writer.finish() for writer in self._growing.values()]

    def close(self) -> None:
        """Lets go of files that will not be finished."""
        for writer in self._growing.values():
            writer.close()
