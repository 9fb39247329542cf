"""Marks on shards that this node shows but does not write: restored, mirrored, taken over.

The mark stands beside the evidence, in DATA/read-only/<log>.<shard>.json, never in it. Whoever
wrote such a shard before may have signed more of it than is here, so going on with it could sign
a second history; new entries go to a new shard beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from muniment.data_names import READ_ONLY
from muniment.errors import Corrupt
from muniment.log.disk import Disk, write_file

SUFFIX = ".json"
MAX_BYTES = 1 << 20


class Why(StrEnum):
    """Why a shard is not written: it comes from a store, or another node writes it."""

    RESTORED = "restored"
    FENCED = "fenced"
    MIRRORED = "mirrored"


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a shard is read-only, since when (RFC 3339), in words; where it was restored from.

    `done` is false while a restore is under way. `size` entries were there, `missing` are first
    and last index of those below it that were not. `problem` says why a mirror was stopped, and
    `evidence` has the signed checkpoints that contradict each other, where there are any.
    """

    why: Why
    at: str
    detail: str = ""
    store: str = ""
    done: bool = True
    size: int = 0
    missing: Sequence[tuple[int, int]] = ()
    problem: str = ""
    evidence: Sequence[str] = ()


def mark_path(data: Path, log: str, shard: str) -> Path:
    """The file of a shard's mark."""
    return data / READ_ONLY / f"{log}.{shard}{SUFFIX}"


def read_mark(disk: Disk, data: Path, log: str, shard: str) -> Mark | None:
    """Returns a shard's mark, or None. Raises Corrupt."""
    path = mark_path(data, log, shard)
    try:
        text = disk.read(path, 0, MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(text, type=Mark)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(str(path), 0, "the mark of a read-only shard", str(error)[:200]) from error


def write_mark(disk: Disk, data: Path, log: str, shard: str, mark: Mark) -> None:
    """Marks a shard, durably. Raises OSError."""
    path = mark_path(data, log, shard)
    disk.make_directory(path.parent)
    write_file(disk, path, msgspec.json.encode(mark) + b"\n", 0o600)


def remove_mark(disk: Disk, data: Path, log: str, shard: str) -> None:
    """Takes a shard's mark away, durably, where there is one. Raises OSError."""
    path = mark_path(data, log, shard)
    if path.exists():
        disk.remove(path)
        disk.sync_directory(path.parent)
