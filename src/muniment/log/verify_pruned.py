"""Verification of a shard whose first segments have expired.

Their entries are gone, and with them what the tree could be recomputed from. What remains is bound
by the log's signatures all the same: the first signed frame after the minimum commits to the
frontier there, that frontier to every hash in the tile files below it and to the leaf hashes in
the `pruned` note, and an entry under a signed checkpoint says that they went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from muniment import kernel
from muniment.errors import Corrupt, InputError, MunimentError, SignatureInvalid
from muniment.log.checkpoint import Checkpoint, split_notes
from muniment.log.disk import Disk
from muniment.log.note import Note, Verifier
from muniment.log.pruned import PRUNED, Pruned, read_pruned
from muniment.log.reader import ShardReader
from muniment.log.report import Finding, ShardReport
from muniment.log.tiles import HASH, WIDTH, completed
from muniment.log.verify_segment import SegmentCheck


def read_note(
    disk: Disk, directory: Path, verifier: Verifier, report: ShardReport
) -> Pruned | None:
    """Returns the note of a shard, or None; one that does not hold is a finding."""
    try:
        pruned = read_pruned(disk, directory, verifier)
    except Corrupt as error:
        report.findings.append(Finding.of(error))
        return None
    if pruned is not None:
        report.minimum = pruned.minimum
    return pruned


def leave_out(
    pruned: Pruned | None, checks: Sequence[SegmentCheck], report: ShardReport
) -> list[SegmentCheck]:
    """Returns the segments from the minimum on.

    Expired ones that are still there, since their removal is under way, must be whole by
    themselves, and end where the others begin.
    """
    if pruned is None:
        return list(checks)
    for check in checks:
        if check.first >= pruned.minimum:
            continue
        if check.finding is not None:
            report.findings.append(check.finding)
        elif check.size > pruned.minimum:
            report.find(check.path, f"goes beyond entry {pruned.minimum}, where expiry ended")
        else:
            report.notes.append(f"{check.path}: has expired, and is still to be removed")
    return [check for check in checks if check.first >= pruned.minimum]


def start_of(
    pruned: Pruned | None, directory: Path, checks: Sequence[SegmentCheck], report: ShardReport
) -> tuple[int, bytes]:
    """Returns size and frontier of the tree with which the segments must begin."""
    if pruned is None:
        return 0, b""
    path = directory / PRUNED
    if not checks:
        report.find(path, f"all below entry {pruned.minimum} has expired, and the rest is missing")
        return pruned.minimum, b""
    first = checks[0]
    if first.first == pruned.minimum and not pruned.check_frontier(first.start):
        report.find(path, "its hashes are not those of the tree at its minimum")
    return pruned.minimum, first.start


def check_act(pruned: Pruned | None, disk: Disk, directory: Path, report: ShardReport) -> None:
    """The entry that the note names must be there, and say the same."""
    if pruned is None:
        return
    path, problem = directory / PRUNED, ""
    if pruned.act >= report.size:
        problem = f"rolled back or cut short: here are {report.size} entries"
    else:
        reader = ShardReader(directory, disk)
        reader.advance(report.size)
        try:
            if not pruned.is_stated_by(reader.entry(pruned.act)):
                problem = "which says something else"
        except (MunimentError, OSError) as error:
            problem = f"which cannot be read: {error}"
    if problem:
        report.find(path, f"names entry {pruned.act} as the act of expiry, {problem}")


@dataclass(slots=True)
class Earlier:
    """The checkpoints at the beginning of `checkpoints` whose segments have expired.

    `length` are their bytes; `roots` are those that the log's key signed, by size.
    """

    length: int = 0
    roots: dict[int, bytes] = field(default_factory=dict)


def earlier_checkpoints(
    pruned: Pruned | None,
    path: Path,
    published: bytes,
    first: str | None,
    verifier: Verifier,
    report: ShardReport,
) -> Earlier:
    """Checks the checkpoints before `first`, the oldest one that stands in a segment.

    Each must be signed by the log's key, be larger than the one before, and not go beyond the
    minimum. Their roots cannot be recomputed.
    """
    found = Earlier()
    if pruned is None:
        return found
    end = published.find(first.encode()) if first is not None else len(published)
    end = len(published) if end < 0 else end
    size = 0
    try:
        for text in split_notes(published[:end].decode()):
            note = Note.parse(text)
            note.check([verifier])
            checkpoint = Checkpoint.parse(note.text)
            ascending = size < checkpoint.size <= pruned.minimum
            if checkpoint.origin != verifier.name or not ascending or len(note.signatures) != 1:
                raise InputError(f"one of size {checkpoint.size} behind one of {size}")
            size = checkpoint.size
            found.roots[size] = checkpoint.root
            found.length += len(text.encode())
    except (InputError, SignatureInvalid, UnicodeDecodeError) as error:
        problem = f"expected the checkpoints up to size {pruned.minimum}, found {error}"
        report.find(path, problem, found.length)
        found.length = end
    return found


def tiles_before(
    pruned: Pruned | None, disk: Disk, directory: Path, frontier: bytes, report: ShardReport
) -> list[bytes]:
    """Returns the hashes of tile levels 1, 2, ... below the minimum, after checking them.

    Those of level 1 must lead to the frontier; those above follow from them.
    """
    if pruned is None or not completed(pruned.minimum, 1):
        return []
    path = directory / "1"
    count = completed(pruned.minimum, 1)
    names = disk.names(directory) if directory.name in disk.names(directory.parent) else []
    hashes = disk.read(path, 0, count * HASH) if path.name in names else b""
    if len(hashes) != count * HASH:
        report.find(path, f"holds {len(hashes) // HASH} hashes, {count} are of expired entries")
        return [hashes]
    found, above = kernel.extend(b"", 0, hashes)
    if found != frontier[: HASH * (pruned.minimum // WIDTH).bit_count()]:
        report.find(path, "hashes of expired entries do not lead to the tree at the minimum", 0)
    return [hashes, *above]
