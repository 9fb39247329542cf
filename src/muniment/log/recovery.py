"""Recovery: what a shard's files say at start, and what may be mended without asking.

Three things can stand in the files of a writer that died, none of which was acknowledged: a
segment whose header is not whole, a group commit at the end of the last segment that is not
whole, and a checkpoint that is in the segment but not yet in `checkpoints`. Those are mended; the
bytes of a group that is cut off are kept in a file until they are themselves an entry. Anything
else raises Corrupt, and nothing is changed.
"""

from __future__ import annotations

from errno import ENOSPC
from hashlib import sha256
from pathlib import Path

from muniment import kernel
from muniment.errors import Corrupt, SettingsError
from muniment.log.committer import CHECKPOINTS
from muniment.log.disk import Disk, write_file
from muniment.log.frame import Kind
from muniment.log.history import (
    CheckpointFrame,
    all_places,
    check_signature,
    checkpoint_frames,
    segment_names,
)
from muniment.log.last_segment import LastSegment, check_place, could_be_torn, last_segment
from muniment.log.note import Verifier
from muniment.log.rewrite import rewrite
from muniment.log.segment import Place, SegmentHeader, read_frame
from muniment.log.tail import Tail
from muniment.log.tiles import DIRECTORY, TileFiles, check_edge

VERIFIER = "verifier"
CUT = ".cut-"
_CHECKPOINT_TAIL = 64 << 10


def check_key(disk: Disk, directory: Path, verifier: Verifier) -> None:
    """Raises Corrupt where a shard has no `verifier`, SettingsError where its key is another."""
    path = directory / VERIFIER
    try:
        found = disk.read(path).decode(errors="replace").strip()
    except FileNotFoundError:
        raise Corrupt(str(path), 0, f"the verifier key {verifier}", "no file") from None
    if found != str(verifier):
        raise SettingsError(f"{path} names the key {found}, the key given is that of {verifier}")


def remove_drafts(disk: Disk, directory: Path) -> None:
    """Removes files that a crash left half made; they were never renamed into place."""
    for name in disk.names(directory):
        if name.startswith(".") and name.endswith(".new"):
            disk.remove(directory / name)


def open_tail(disk: Disk, directory: Path, verifier: Verifier) -> Tail:
    """Returns where a shard's log ends, mending what a crash may leave.

    Raises Corrupt naming file, byte, what was expected and what was found.
    """
    segment = last_segment(disk, directory)
    if segment is None:
        _check_published(disk, directory, [])
        disk.sync_directory(directory.parent)
        tiles = TileFiles(disk, directory / DIRECTORY, 0)
        return Tail(0, b"", tiles, published=None, checkpoints=0)
    check_place(segment, verifier)
    newest = checkpoint_frames(disk, directory, segment.path, segment.places, most=2)
    for checkpoint in newest[:1]:
        checkpoint.check(verifier)
    published, pending, durable = _check_published(disk, directory, newest)
    tail = _read_tree(disk, directory, segment, newest[0] if newest else None, verifier)
    tail.published, tail.pending, tail.checkpoints = published, pending, durable
    _make_durable(disk, segment, tail)
    if not segment.sealed:
        tail.segment, tail.offset = segment.header, segment.end
        entries = [place for place in segment.places if place.header.kind is Kind.ENTRIES]
        tail.places = [(place.header.first, place.offset) for place in entries]
    return tail


def _check_published(
    disk: Disk, directory: Path, newest: list[CheckpointFrame]
) -> tuple[str | None, str | None, int]:
    """Compares `checkpoints` with the newest checkpoints in the segments.

    Returns the published checkpoint, the one that is still to be published, and the bytes of
    `checkpoints` that stand. Only the newest one may be missing there, or be cut short.
    """
    path = directory / CHECKPOINTS
    size = disk.size(path) if CHECKPOINTS in disk.names(directory) else 0
    start = max(0, size - _CHECKPOINT_TAIL)
    end = disk.read(path, start, size - start) if size else b""
    if not newest:
        if end:
            raise Corrupt(str(path), 0, "no checkpoint: the segments hold none", f"{size} bytes")
        return None, None, 0
    last = newest[0].note
    if end.endswith(last.encode()):
        return last, None, size
    before = newest[1].note if len(newest) > 1 else ""
    place = end.rfind(before.encode()) if before else 0
    rest = end[place + len(before.encode()) :]
    if place < 0 or not could_be_torn(rest, last.encode()):
        raise Corrupt(
            str(path),
            size,
            f"the checkpoint of size {newest[0].size} that the segments end with, or the one "
            "before it",
            f"another end: {end[-120:].decode(errors='replace')!r}",
        )
    return before or None, last, size - len(rest)


def _read_tree(
    disk: Disk,
    directory: Path,
    segment: LastSegment,
    newest: CheckpointFrame | None,
    verifier: Verifier,
) -> Tail:
    """Rebuilds the tree from the newest checkpoint on, or from nothing where there is none.

    The header of a later segment is under no signature, so the way there is hashed as well.
    """
    size, frontier = (newest.size, newest.frontier) if newest is not None else (0, b"")
    tiles = TileFiles(disk, directory / DIRECTORY, size)
    check_edge(disk, directory / DIRECTORY, size, frontier)
    tail = Tail(size, frontier, tiles, published=None, checkpoints=0)
    for name in segment_names(disk, directory):
        path = directory / name
        if path.name > segment.path.name or (newest is not None and path < newest.path):
            continue
        places = segment.places if path == segment.path else all_places(disk, path)
        if newest is not None and path == newest.path:
            places = [place for place in places if place.offset > newest.offset]
        else:
            header = SegmentHeader.read(disk, path)
            if (header.first, header.frontier) != (tail.size, tail.frontier):
                expected = f"a segment from entry {tail.size} with the tree's frontier there"
                raise Corrupt(str(path), 0, expected, f"one from {header.first}")
        for place in places:
            if place.header.kind is Kind.ENTRIES:
                _read_entries(disk, path, place, tail, verifier)
    return tail


def _read_entries(disk: Disk, path: Path, place: Place, tail: Tail, verifier: Verifier) -> None:
    frame = read_frame(disk, path, place)
    if frame.first != tail.size:
        raise Corrupt(str(path), place.offset, f"entry {tail.size}", f"entry {frame.first}")
    try:
        leaves = kernel.leaf_hashes(frame.payload)
    except ValueError as error:
        raise Corrupt(str(path), place.offset, "packed entries", str(error)) from error
    if len(leaves) != 32 * frame.count:
        raise Corrupt(str(path), place.offset, f"{frame.count} entries", f"{len(leaves) // 32}")
    tail.frontier, completed = kernel.extend(tail.frontier, tail.size, leaves)
    found = kernel.root(tail.frontier)
    if found != frame.root:
        raise Corrupt(str(path), place.offset, f"root {frame.root.hex()}", found.hex())
    check_signature(path, place, frame, verifier)
    tail.tiles.append(completed)
    tail.size += frame.count


def _make_durable(disk: Disk, segment: LastSegment, tail: Tail) -> None:
    """Makes durable what is built upon from here on, and cuts off what is not whole.

    A process that was killed may not have synced what it wrote. One whose sync had failed may
    have died before it cut that off, and then no sync of the same file helps. So the segment is
    written anew, unless it ends with a checkpoint that is in `checkpoints` too: that came after
    a sync. The last checkpoint there is written once more, as nothing tells of its own sync.
    """
    directory = segment.path.parent
    disk.sync_directory(directory.parent)
    disk.sync_directory(directory)
    torn = not segment.sealed and segment.end < segment.size
    if torn:
        _keep(disk, segment)
    last = segment.places[-1].header.kind if segment.places else None
    if torn or tail.pending is not None or last is not Kind.CHECKPOINT:
        _write_anew(disk, segment, torn)
    if tail.published is not None and tail.pending is None:
        note = tail.published.encode()
        file = disk.append(directory / CHECKPOINTS)
        try:
            file.truncate(tail.checkpoints - len(note))
            file.write(note)
            file.sync()
        finally:
            file.close()


def _keep(disk: Disk, segment: LastSegment) -> None:
    """Puts the bytes of a group that is to be cut off into a file of their own.

    The record of an earlier cut can itself be cut off, at the same place: its file stays.
    """
    path, end = segment.path, segment.end
    lost = disk.read(path, end, segment.size - end)
    kept = path.with_name(f"{path.name}{CUT}{end}")
    number = 1
    while kept.name in disk.names(kept.parent) and disk.read(kept) != lost:
        number += 1
        kept = path.with_name(f"{path.name}{CUT}{end}.{number}")
    write_file(disk, kept, lost)


def _write_anew(disk: Disk, segment: LastSegment, torn: bool) -> None:
    path = segment.path
    try:
        rewrite(disk, path, segment.end if torn else segment.size)
    except OSError as error:
        if torn or error.errno != ENOSPC:
            raise
        file = disk.append(path)  # no room for a copy: a full disk is not one whose syncs fail
        try:
            file.sync()
        finally:
            file.close()
    if segment.sealed:
        disk.seal(path)


def cut_files(disk: Disk, directory: Path) -> list[Path]:
    """Returns the files that hold cut-off bytes, until those bytes are entries themselves."""
    return [directory / name for name in disk.names(directory) if CUT in name]


def cut_record(path: Path, data: bytes) -> dict[str, object]:
    """Describes cut-off bytes: what is recorded of them in the log."""
    segment, _, offset = path.name.partition(CUT)
    return {
        "action": "log.cut",
        "resource": segment,
        "outcome": "success",
        "reason": "a group commit was not whole when the log was opened; it was not acknowledged",
        "offset": int(offset.partition(".")[0]),
        "bytes": len(data),
        "sha256": sha256(data).hexdigest(),
    }
