"""What stands beside the segments of a shard, compared with what the segments say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from muniment import kernel
from muniment.errors import InputError
from muniment.log.checkpoint import Checkpoint, split_notes
from muniment.log.disk import Disk
from muniment.log.report import ShardReport
from muniment.log.tiles import HASH, completed
from muniment.log.verify_pruned import Earlier
from muniment.log.verify_segment import SegmentCheck


def compare_checkpoints(
    path: Path,
    published: bytes,
    offset: int,
    checks: Sequence[SegmentCheck],
    whole: bool,
    live: bool,
    report: ShardReport,
) -> int:
    """`checkpoints` must hold, from `offset` on, just the checkpoints that stand in the segments.

    Beside a writer, `published` was read before the segments: they may hold more, never less.
    Returns the size of the last checkpoint that is in both.
    """
    frames = [frame for check in checks for frame in check.checkpoints]
    report.checkpoints = len(frames)
    covered = 0
    for frame in frames:
        note = frame.note.encode()
        found = published[offset : offset + len(note)]
        if found != note:
            if live and offset + len(found) == len(published) and note.startswith(found):
                return covered
            text = _describe(found)
            report.find(path, f"expected the checkpoint of size {frame.size}, found {text}", offset)
            return covered
        offset, covered = offset + len(note), frame.size
    if offset < len(published) and (whole or not checks):
        rest = published[offset:]
        report.find(
            path,
            f"holds a checkpoint that the segments do not: {_describe(rest)}; they end at "
            f"{report.size} entries",
            offset,
        )
    return covered


def _describe(data: bytes) -> str:
    if not data:
        return "the end of the file"
    try:
        checkpoint = Checkpoint.of_note(split_notes(data.decode())[0])
    except (InputError, UnicodeDecodeError):
        return repr(data[:80])
    return f"one of size {checkpoint.size} with root {checkpoint.root.hex()}"


def compare_tiles(
    disk: Disk,
    directory: Path,
    before: Sequence[bytes],
    checks: Sequence[SegmentCheck],
    covered: int,
    live: bool,
    report: ShardReport,
) -> None:
    """The tile files must hold the hashes of the tree; beside a writer, those of `covered`.

    `before` are those of each level that belong to expired entries.
    """
    names = disk.names(directory) if directory.name in disk.names(directory.parent) else []
    size = report.size
    level = 1
    while completed(size, level):
        path = directory / str(level)
        hashes = [
            h for check in checks if level <= len(check.tiles) for h in check.tiles[level - 1]
        ]
        expired = before[level - 1] if level <= len(before) else b""
        expected = expired + b"".join(hashes)
        found = disk.read(path) if path.name in names else b""
        common = len(expected)
        if live:
            common = max(min(len(found), len(expected)), completed(covered, level) * HASH)
        if found[:common] != expected[:common] or (not live and len(found) != len(expected)):
            offset = next(
                (i for i in range(common) if found[i : i + 1] != expected[i : i + 1]), common
            )
            place = offset // HASH
            report.find(path, f"hash {place} is not that of the entries below it", offset)
        level += 1
    known = {str(number) for number in range(1, level)}
    for name in names:
        if name not in known and not live:
            report.find(directory / name, "is no tile file of a log of this size")


def compare_trust(
    directory: Path,
    trusted: Sequence[Checkpoint],
    checks: Sequence[SegmentCheck],
    earlier: Earlier,
    report: ShardReport,
) -> None:
    """The tree must hold every checkpoint that was kept elsewhere, of expired entries too."""
    roots = {0: kernel.root(b""), **earlier.roots}
    for check in checks:
        roots.update(check.roots)
    for checkpoint in trusted:
        if checkpoint.size > report.size:
            report.find(
                directory,
                f"rolled back or cut short: a checkpoint kept elsewhere says {checkpoint.size} "
                f"entries, here are {report.size}",
            )
        elif checkpoint.size < report.minimum and checkpoint.size not in roots:
            report.notes.append(
                f"{directory}: the checkpoint of {checkpoint.size} entries that was kept elsewhere "
                "cannot be compared any more: those entries have expired"
            )
        elif roots.get(checkpoint.size) != checkpoint.root:
            found = roots.get(checkpoint.size, b"").hex() or "none"
            report.find(
                directory,
                f"another history: a checkpoint kept elsewhere says root {checkpoint.root.hex()} "
                f"at size {checkpoint.size}, here it is {found}",
            )
