"""Verification of a shard: its segments, tree, tiles, checkpoints, key, and what others remember.

`verify` trusts no file that it reads. What one file says is checked against another, so that no
single file can be changed, cut short, removed, swapped or put back to an older state unseen; a
whole directory put back to an older state is found with a checkpoint kept elsewhere (`trust`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from muniment import kernel
from muniment.errors import Corrupt, InputError, SignatureInvalid
from muniment.log.checkpoint import Checkpoint, split_notes
from muniment.log.committer import CHECKPOINTS
from muniment.log.disk import Disk, PosixDisk
from muniment.log.frame import MAGIC as FRAME_MAGIC
from muniment.log.frame import Kind
from muniment.log.history import segment_names
from muniment.log.note import Note, Verifier
from muniment.log.recovery import CUT
from muniment.log.report import ShardReport
from muniment.log.segment import TRAILER, SegmentHeader, segment_first, walk
from muniment.log.shard import VERIFIER
from muniment.log.tiles import DIRECTORY, HASH, completed
from muniment.log.verify_segment import SegmentCheck, check_segment

Progress = Callable[[int], None]
"""Called with the bytes that were verified since the last call."""


def verify_shard(
    directory: Path,
    *,
    trust: Sequence[str] = (),
    keys: Sequence[Verifier] = (),
    jobs: int = 1,
    live: bool = False,
    progress: Progress | None = None,
    disk: Disk | None = None,
) -> ShardReport:
    """Reads every byte of a shard's directory and returns what was found.

    `trust` are signed checkpoints kept elsewhere, of any log; those of this shard must be on its
    history. `keys` are verifier keys known from elsewhere: one of this origin must be the shard's.
    `live` says that a writer is at work, so that files may grow while they are read.
    """
    disk = disk or PosixDisk()
    report = ShardReport(str(directory))
    verifier = _read_verifier(disk, directory, keys, report)
    if verifier is None:
        return report
    report.origin = verifier.name
    _check_names(disk, directory, report)
    published = _read(disk, directory / CHECKPOINTS)
    trusted = trusted_checkpoints(trust, verifier, directory / VERIFIER, report)
    checks = []
    for check in _check_segments(disk, directory, verifier, [c.size for c in trusted], jobs, live):
        checks.append(check)
        report.bytes += check.length
        if progress is not None:
            progress(check.length)
    checks.sort(key=lambda check: check.path.name)
    whole = _join(checks, report)
    covered = _compare_checkpoints(directory / CHECKPOINTS, published, checks, whole, live, report)
    if whole:
        _compare_tiles(disk, directory / DIRECTORY, checks, covered, live, report)
        _compare_trust(directory, trusted, checks, report)
    return report


def _read(disk: Disk, path: Path) -> bytes:
    return disk.read(path) if path.name in disk.names(path.parent) else b""


def _read_verifier(
    disk: Disk, directory: Path, keys: Sequence[Verifier], report: ShardReport
) -> Verifier | None:
    path = directory / VERIFIER
    try:
        data = disk.read(path)
        verifier = Verifier.parse(data.decode())
    except FileNotFoundError:
        report.find(path, "the shard's verifier key is missing")
        return None
    except (InputError, UnicodeDecodeError) as error:
        report.find(path, f"no verifier key: {error}", 0)
        return None
    if data != f"{verifier}\n".encode():
        report.find(path, "holds more than one line with the key", 0)
    known = [key for key in keys if key.name == verifier.name]
    if known and verifier not in known:
        report.find(path, f"the key is {verifier}, the trusted one is {known[0]}", 0)
    return verifier


def _check_names(disk: Disk, directory: Path, report: ShardReport) -> None:
    known = {VERIFIER, CHECKPOINTS, DIRECTORY}
    for name in disk.names(directory):
        if name in known or segment_first(name) is not None:
            continue
        if CUT in name or (name.startswith(".") and name.endswith(".new")):
            problem = "left by a recovery that was interrupted; the next start goes on with it"
        else:
            problem = "does not belong to a shard"
        report.find(directory / name, problem)


def trusted_checkpoints(
    trust: Sequence[str], verifier: Verifier, place: object, report: ShardReport
) -> list[Checkpoint]:
    """Returns the checkpoints in `trust` of this key's log, after checking that the key signed.

    One that it did not sign is a finding at `place`.
    """
    found = []
    for text in trust:
        note = Note.parse(text)
        checkpoint = Checkpoint.parse(note.text)
        if checkpoint.origin != verifier.name:
            continue
        try:
            note.check([verifier])
        except SignatureInvalid:
            report.find(
                place,
                f"the trusted checkpoint of size {checkpoint.size} is not signed by this log's key",
            )
            continue
        found.append(checkpoint)
    return found


def _check_segments(
    disk: Disk, directory: Path, verifier: Verifier, sizes: Sequence[int], jobs: int, live: bool
) -> Iterator[SegmentCheck]:
    paths = [directory / name for name in segment_names(disk, directory)]
    if live and paths and _is_begun(disk, paths[-1]):
        paths.pop()
    limits: list[int | None] = [None] * len(paths)
    if live and paths:
        limits[-1] = _whole_frames(disk, paths[-1])
    work = [(disk, path, verifier, sizes, limit) for path, limit in zip(paths, limits, strict=True)]
    native = kernel.ACTIVE == "native"  # its hashing runs beside other threads, Python's does not
    if native or jobs == 1 or len(paths) < 2:
        threads = jobs if native else 1
        yield from (check_segment(*arguments, threads=threads) for arguments in work)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered")
    yield from parallel(delayed(check_segment)(*arguments) for arguments in work)


def _is_begun(disk: Disk, path: Path) -> bool:
    """Whether a segment's header is still being written."""
    try:
        SegmentHeader.read(disk, path)
    except Corrupt:
        return FRAME_MAGIC not in disk.read(path)
    return False


def _whole_frames(disk: Disk, path: Path) -> int | None:
    """Returns where the last whole group commit of a segment that is being written ends."""
    end = None
    try:
        end, size = SegmentHeader.read(disk, path).length, disk.size(path)
        for place in walk(disk, path, end, size):
            trailer = TRAILER.size if place.header.kind is Kind.SEAL else 0
            if place.header.ends and place.end + trailer <= size:
                end = place.end + trailer
    except Corrupt:
        pass  # the write under way; what `checkpoints` covered before must stand before it
    return end


def _join(checks: Sequence[SegmentCheck], report: ShardReport) -> bool:
    """Checks that each segment goes on where the one before ended. Says whether all is whole."""
    report.segments = len(checks)
    size, frontier = 0, b""
    before: SegmentCheck | None = None
    whole = True
    for check in checks:
        if check.finding is not None:
            report.findings.append(check.finding)
            whole = False
        if check.first != size and whole:
            report.find(check.path, f"begins with entry {check.first}, entry {size} is next", 0)
            whole = False
        if check.start != frontier and whole:
            report.find(check.path, "its frontier is not that of the segments before it", 0)
            whole = False
        if before is not None and whole and not (before.sealed or check.after_failure):
            report.find(before.path, "the seal is missing", before.length)
        size, frontier, before = check.size, check.frontier, check
    report.size, report.root = size, kernel.root(frontier).hex() if whole else ""
    return whole


def _compare_checkpoints(
    path: Path,
    published: bytes,
    checks: Sequence[SegmentCheck],
    whole: bool,
    live: bool,
    report: ShardReport,
) -> int:
    """`checkpoints` must hold just the checkpoints that stand in the segments.

    Beside a writer, `published` was read before the segments: they may hold more, never less.
    Returns the size of the last checkpoint that is in both.
    """
    frames = [frame for check in checks for frame in check.checkpoints]
    report.checkpoints = len(frames)
    offset = covered = 0
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


def _compare_tiles(
    disk: Disk,
    directory: Path,
    checks: Sequence[SegmentCheck],
    covered: int,
    live: bool,
    report: ShardReport,
) -> None:
    """The tile files must hold the hashes of the tree; beside a writer, those of `covered`."""
    names = disk.names(directory) if directory.name in disk.names(directory.parent) else []
    size = report.size
    level = 1
    while completed(size, level):
        path = directory / str(level)
        hashes = [
            h for check in checks if level <= len(check.tiles) for h in check.tiles[level - 1]
        ]
        expected = b"".join(hashes)
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


def _compare_trust(
    directory: Path,
    trusted: Sequence[Checkpoint],
    checks: Sequence[SegmentCheck],
    report: ShardReport,
) -> None:
    roots = {0: kernel.root(b"")}
    for check in checks:
        roots.update(check.roots)
    for checkpoint in trusted:
        if checkpoint.size > report.size:
            report.find(
                directory,
                f"rolled back or cut short: a checkpoint kept elsewhere says {checkpoint.size} "
                f"entries, here are {report.size}",
            )
        elif roots.get(checkpoint.size) != checkpoint.root:
            found = roots.get(checkpoint.size, b"").hex() or "none"
            report.find(
                directory,
                f"another history: a checkpoint kept elsewhere says root {checkpoint.root.hex()} "
                f"at size {checkpoint.size}, here it is {found}",
            )
