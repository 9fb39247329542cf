"""Segments of a data directory that are in a store only, and so were not read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from muniment.data_names import ARCHIVE
from muniment.log.disk import PosixDisk
from muniment.log.report import Finding
from muniment.log.segment import segment_name
from muniment.store.archive.books import read_items
from muniment.store.archive.catalog import remote_of


def evicted_segments(directory: Path, shards: Sequence[Path]) -> dict[Path, list[int]]:
    """Returns the first entries of the segments that a data directory has in its store only."""
    found = {}
    for shard in shards:
        books = directory / ARCHIVE / f"{shard.parent.name}.{shard.name}.json"
        items = read_items(PosixDisk(), books) or {}
        firsts = [one for one in remote_of(items, "") if not (shard / segment_name(one)).exists()]
        if firsts:
            found[shard] = sorted(firsts)
    return found


def find_unread(directory: Path, shards: Sequence[Path]) -> Iterator[Finding]:
    """Says of each shard which segments were not read: those in the store only."""
    for shard, firsts in evicted_segments(directory, shards).items():
        count = f"{len(firsts):,} segment{'s' if len(firsts) > 1 else ''}"
        yield Finding(
            str(shard),
            f"{count} from entry {firsts[0]:,} on {'are' if len(firsts) > 1 else 'is'} in the "
            "store only, and not read: name the node's settings with --config",
        )
