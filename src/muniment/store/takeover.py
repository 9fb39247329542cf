"""Going on with a shard from the stores alone: what the archive has, and what was put ahead of it.

`bring_up` feeds the write-ahead appends of a claimed shard to its files; `take_over` makes those
files first, from the archive, for a node that never had the shard.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from muniment.clock import rfc3339
from muniment.errors import Corrupt, NoSuchEntry, NotFound, UnknownShard
from muniment.log.disk import Disk, write_file
from muniment.log.note import Verifier
from muniment.log.reader import ShardReader
from muniment.log.replay import Replay
from muniment.log.shard import VERIFIER
from muniment.store.port import Store
from muniment.store.shard_copy import lay_down
from muniment.store.wal import Claim, Tree

TRIES = 3
"""How often the archive is asked again: the old owner may just have moved a segment there."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A shard as it was taken over: its entries, those of them from write-ahead objects, its term.

    `last_owner` and `since` tell who had claimed it before, and when.
    """

    size: int
    replayed: int
    term: int
    last_owner: str
    since: str


def bring_up(claim: Claim, directory: Path, verifier: Verifier, disk: Disk) -> Tree:
    """Applies what a shard's files lack of its write-ahead appends; returns the tree they have now.

    It is larger than the claim's where entries came while durability was `local`. Raises Corrupt
    where entries between the files and the first append are gone, or where the files do not
    continue the tree that the write-ahead store knows of.
    """
    replay = Replay.open(directory, verifier, disk)
    try:
        for append in claim.appends(replay.size):
            replay.apply(append)
        found = Tree(replay.size, replay.root)
    finally:
        replay.close()
    if claim.begun and found != Tree(claim.size, claim.root):
        _check_continues(claim, directory, found, disk)
    return found


def _check_continues(claim: Claim, directory: Path, found: Tree, disk: Disk) -> None:
    """Raises Corrupt where the files do not hold the tree of the write-ahead store."""
    expected = f"the {claim.size} entries with root {claim.root.hex()} of the write-ahead store"
    if found.size <= claim.size:
        name = f"{found.size} with root {found.root.hex()}"
        raise Corrupt(str(directory), 0, expected, name)
    reader = ShardReader(directory, disk)
    reader.advance(found.size)
    try:
        root = reader.root_at(claim.size)
    except (OSError, NoSuchEntry) as error:
        raise Corrupt(str(directory), 0, expected, f"what cannot be read: {error}") from error
    if root != claim.root:
        raise Corrupt(str(directory), 0, expected, f"a tree with root {root.hex()} at that size")


def take_over(
    claim: Claim, archive: Store, log: str, shard: str, draft: Path, verifier: Verifier, disk: Disk
) -> Taken:
    """Makes a claimed shard's files from the stores, in the folder `draft`.

    Segments before the newest ones stay in the archive. Raises Corrupt where the archive is
    damaged, or where entries are neither in it nor in the write-ahead store; NotFound where there
    is nothing of the shard at all.
    """
    problem: Corrupt | None = None
    for _ in range(TRIES):
        if draft.exists():
            shutil.rmtree(draft)
        based = _base(archive, log, shard, draft, verifier, disk)
        if not based and not claim.begun:
            raise NotFound(f"neither store holds anything of {log}/{shard}")
        try:
            size = bring_up(claim, draft, verifier, disk).size
        except Corrupt as error:
            problem = error
            continue
        return taken(claim, size, size - based)
    assert problem is not None
    raise problem


def taken(claim: Claim, size: int, replayed: int) -> Taken:
    """Returns what there is to tell of a shard that was claimed and taken over."""
    before = claim.before
    node, since = (before.node.name, rfc3339(before.at)) if before is not None else ("", "")
    return Taken(size, replayed, claim.term, node, since)


def _base(archive: Store, log: str, shard: str, draft: Path, verifier: Verifier, disk: Disk) -> int:
    """Lays down what the archive has of a shard; returns its entries."""
    where = f"{archive.url}: {log}/{shard}"
    try:
        copy = lay_down(archive, log, shard, draft, disk, all_segments=False)
    except UnknownShard:
        disk.make_directory(draft)
        write_file(disk, draft / VERIFIER, f"{verifier}\n".encode())
        return 0
    if not copy.whole:
        found = str(copy.findings[0]) if copy.findings else f"without {copy.missing}"
        raise Corrupt(where, 0, "a whole copy (see muniment verify --store)", found)
    if copy.verifier != verifier:
        raise Corrupt(where, 0, f"the key {verifier}", str(copy.verifier))
    return copy.size
