"""Drops the index of a log and makes it again from the evidence."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from muniment.data_names import INDEX, LOGS
from muniment.errors import Corrupt, UnknownLog
from muniment.index.copies import Copies, Sifted
from muniment.index.damage import IndexInUse
from muniment.index.flusher import FLUSH_BYTES, FLUSH_ROWS
from muniment.index.log_index import LogIndex
from muniment.index.manifest import LOCK
from muniment.index.reading import OpenReader, take
from muniment.index.state import ShardState
from muniment.log import ShardReader
from muniment.log.disk import Disk, PosixDisk
from muniment.log.history import segment_names
from muniment.log.segment import Place, SegmentHeader, read_frame, walk
from muniment.log.shard import NAME

Progress = Callable[[int, int], None]
"""Called with the entries that are done and all entries."""


def rebuild(
    data: Path,
    log: str,
    progress: Progress | None = None,
    *,
    open_reader: OpenReader = ShardReader,
    durable_size: Callable[[Path], int] | None = None,
) -> int:
    """Makes the index of a log anew and returns how many entries it holds.

    The same evidence gives the same rows. Raises UnknownLog, IndexInUse while another process
    has the index open, EvidenceError where the evidence cannot be read, OSError.
    """
    evidence = data / LOGS / log
    if NAME.fullmatch(log) is None or not evidence.is_dir():
        raise UnknownLog(f"there is no log {log} in {data}")
    measure = durable_size or find_durable_size
    found = sorted(path.name for path in evidence.iterdir() if NAME.fullmatch(path.name))
    sizes = {shard: measure(evidence / shard) for shard in found}
    directory = data / INDEX / log
    drop(directory, log)
    index = LogIndex(directory, log, clock=time.monotonic, now=_now)
    done, total = 0, sum(sizes.values())
    try:
        shards = {shard: ShardState(open_reader(evidence / shard)) for shard in sizes}
        for shard, state in shards.items():
            state.reader.advance(sizes[shard])
            index.skip(shard, state.reader.minimum)
        copies = Copies(evidence, open_reader)
        while (name := _next(index, shards)) is not None:
            done += _take(index, name, shards, copies)
            if index.recent_rows >= FLUSH_ROWS or index.recent_size >= FLUSH_BYTES:
                index.flush()
                while index.merge():
                    pass
            if progress is not None:
                progress(done, total)
    finally:
        index.close()
    return done - index.duplicates


def _next(index: LogIndex, shards: Mapping[str, ShardState]) -> str | None:
    """Returns the shard that goes on: entries are read about in the order of their receipt."""
    left = [
        (state.reached, shard)
        for shard, state in shards.items()
        if state.reader.size > index.next_index(shard)
    ]
    return min(left)[1] if left else None


def _take(index: LogIndex, shard: str, shards: Mapping[str, ShardState], copies: Copies) -> int:
    """Takes a piece of a shard; returns how many entries it has."""
    start, readers = index.next_index(shard), {name: one.reader for name, one in shards.items()}
    turn = take(readers[shard], start)
    sifted = copies.sift(shard, turn, readers, index.snapshot.cursors)
    if sifted.after == start:  # the rest of a batch is not there, and does not come
        sifted = Sifted(turn, turn.end)
    table = sifted.rows(index.log, shard)
    shards[shard].note(table)
    index.append(shard, table, sifted.after, copies=sifted.after - start - table.num_rows)
    return sifted.after - start


def drop(directory: Path, log: str) -> None:
    """Empties the index directory of a log. Raises IndexInUse or OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
    except BlockingIOError as error:
        raise IndexInUse(log) from error
    finally:
        os.close(handle)


def find_durable_size(directory: Path) -> int:
    """Returns how many entries of a shard were committed, from its files alone; changes nothing.

    A group commit that a crash cut short at the very end does not count. Raises Corrupt or
    OSError where the files cannot be read.
    """
    disk = PosixDisk()
    for name in reversed(segment_names(disk, directory)):
        path = directory / name
        header = SegmentHeader.read(disk, path)
        size = _whole_size(disk, path, header)
        if size is not None:
            return size
    return 0


def _whole_size(disk: Disk, path: Path, header: SegmentHeader) -> int | None:
    """The tree's size after the last whole group commit of a segment; None where it has none."""
    groups: list[list[Place]] = [[]]
    try:
        for place in walk(disk, path, header.length, disk.size(path)):
            groups[-1].append(place)
            if place.header.ends:
                groups.append([])
    except Corrupt:
        pass  # the torn end of the last group
    for number, group in enumerate(reversed(groups[:-1])):
        if number > 0 or _readable(disk, path, group):
            return group[-1].header.size
    return None


def _readable(disk: Disk, path: Path, group: list[Place]) -> bool:
    try:
        for place in group:
            read_frame(disk, path, place)
    except Corrupt:
        return False
    return True


def _now() -> int:
    return time.time_ns() // 1_000_000
