"""Drops the index of a log and makes it again from the evidence."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from muniment.data_names import INDEX, LOGS
from muniment.errors import Corrupt, UnknownLog
from muniment.index.damage import IndexInUse
from muniment.index.flusher import FLUSH_BYTES, FLUSH_ROWS
from muniment.index.log_index import LogIndex
from muniment.index.manifest import LOCK
from muniment.index.reading import OpenReader, packed_rows, take
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
    shards = sorted(path.name for path in evidence.iterdir() if NAME.fullmatch(path.name))
    sizes = {shard: measure(evidence / shard) for shard in shards}
    directory = data / INDEX / log
    drop(directory, log)
    index = LogIndex(directory, log, shards, clock=time.monotonic, now=_now)
    done, total = 0, sum(sizes.values())
    try:
        for shard, size in sizes.items():
            reader = open_reader(evidence / shard)
            reader.advance(size)
            index.skip(shard, reader.minimum)
            while (start := index.next_index(shard)) < size:
                turn = take(reader, start)
                index.append(shard, packed_rows(turn, log=log, shard=shard), start + turn.count)
                if index.recent_rows >= FLUSH_ROWS or index.recent_size >= FLUSH_BYTES:
                    index.flush()
                    while index.merge():
                        pass
                done += turn.count
                if progress is not None:
                    progress(done, total)
    finally:
        index.close()
    return done


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
