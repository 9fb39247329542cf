"""Verification of a shard: its segments, tree, tiles, checkpoints, key, and what others remember.

`verify` trusts no file that it reads. What one file says is checked against another, so that no
single file can be changed, cut short, removed, swapped or put back to an older state unseen; a
whole directory put back to an older state is found with a checkpoint kept elsewhere (`trust`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from muniment import kernel
from muniment.errors import Corrupt, InputError, SignatureInvalid
from muniment.log.checkpoint import Checkpoint
from muniment.log.committer import CHECKPOINTS
from muniment.log.disk import Disk, PosixDisk
from muniment.log.frame import MAGIC as FRAME_MAGIC
from muniment.log.frame import Kind
from muniment.log.history import segment_names
from muniment.log.note import Note, Verifier
from muniment.log.pruned import PRUNED
from muniment.log.recovery import CUT
from muniment.log.report import ShardReport
from muniment.log.segment import TRAILER, SegmentHeader, segment_first, walk
from muniment.log.shard import VERIFIER
from muniment.log.tiles import DIRECTORY
from muniment.log.verify_beside import compare_checkpoints, compare_tiles, compare_trust
from muniment.log.verify_pruned import (
    check_act,
    earlier_checkpoints,
    leave_out,
    read_note,
    start_of,
    tiles_before,
)
from muniment.log.verify_segment import SegmentCheck, check_segment

Progress = Callable[[int], None]
"""Called with the bytes that were verified since the last call."""


@dataclass(frozen=True, slots=True)
class SegmentWork:
    """A segment that is to be checked; see `check_segment`."""

    path: Path
    verifier: Verifier
    sizes: Sequence[int] = ()
    limit: int | None = None


Elsewhere = Callable[[Disk, Sequence[SegmentWork]], Iterator[SegmentCheck]]
"""Has segments checked by others and returns what they are, each once, in any order."""


def verify_shard(
    directory: Path,
    *,
    trust: Sequence[str] = (),
    keys: Sequence[Verifier] = (),
    jobs: int = 1,
    live: bool = False,
    progress: Progress | None = None,
    disk: Disk | None = None,
    elsewhere: Elsewhere | None = None,
) -> ShardReport:
    """Reads every byte of a shard's directory and returns what was found.

    `trust` are signed checkpoints kept elsewhere, of any log; those of this shard must be on its
    history. `keys` are verifier keys known from elsewhere: one of this origin must be the shard's.
    `live` says that a writer is at work, so that files may grow while they are read. With
    `elsewhere`, others read the segments; all that joins them is checked here.
    """
    disk = disk or PosixDisk()
    while True:
        report = ShardReport(str(directory))
        verifier = _read_verifier(disk, directory, keys, report)
        if verifier is None:
            return report
        report.origin = verifier.name
        _verify(disk, directory, verifier, trust, jobs, live, progress, elsewhere, report)
        if not live or not report.findings or not _went_on(disk, directory, verifier, report):
            return report


def _went_on(disk: Disk, directory: Path, verifier: Verifier, report: ShardReport) -> bool:
    """Whether more segments have expired while they were read."""
    now = read_note(disk, directory, verifier, ShardReport(str(directory)))
    return now is not None and now.minimum > report.minimum


def _verify(
    disk: Disk,
    directory: Path,
    verifier: Verifier,
    trust: Sequence[str],
    jobs: int,
    live: bool,
    progress: Progress | None,
    elsewhere: Elsewhere | None,
    report: ShardReport,
) -> None:
    _check_names(disk, directory, report)
    pruned = read_note(disk, directory, verifier, report)
    published = _read(disk, directory / CHECKPOINTS)
    trusted = trusted_checkpoints(trust, verifier, directory / VERIFIER, report)
    checks = []
    work = _work(disk, directory, verifier, [c.size for c in trusted], live)
    for check in elsewhere(disk, work) if elsewhere else check_segments(disk, work, jobs):
        checks.append(check)
        report.bytes += check.length
        if progress is not None:
            progress(check.length)
    checks.sort(key=lambda check: check.path.name)
    checks = leave_out(pruned, checks, report)
    start = start_of(pruned, directory, checks, report)
    whole = _join(checks, start, report)
    path = directory / CHECKPOINTS
    oldest = next((frame.note for check in checks for frame in check.checkpoints), None)
    earlier = earlier_checkpoints(pruned, path, published, oldest, verifier, report)
    covered = compare_checkpoints(path, published, earlier.length, checks, whole, live, report)
    if whole:
        tiles = directory / DIRECTORY
        before = tiles_before(pruned, disk, tiles, start[1], report)
        compare_tiles(disk, tiles, before, checks, covered, live, report)
        compare_trust(directory, trusted, checks, earlier, report)
        check_act(pruned, disk, directory, report)


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
    known = {VERIFIER, CHECKPOINTS, DIRECTORY, PRUNED}
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


def _work(
    disk: Disk, directory: Path, verifier: Verifier, sizes: Sequence[int], live: bool
) -> list[SegmentWork]:
    paths = [directory / name for name in segment_names(disk, directory)]
    if live and paths and _is_begun(disk, paths[-1]):
        paths.pop()
    work = [SegmentWork(path, verifier, sizes) for path in paths]
    if live and paths:
        work[-1] = SegmentWork(paths[-1], verifier, sizes, _whole_frames(disk, paths[-1]))
    return work


def check_segments(disk: Disk, work: Sequence[SegmentWork], jobs: int) -> Iterator[SegmentCheck]:
    """Checks segments on this machine, `jobs` threads or processes at a time."""
    native = kernel.ACTIVE == "native"  # its hashing runs beside other threads, Python's does not
    todo = [(disk, one.path, one.verifier, one.sizes, one.limit) for one in work]
    if native or jobs == 1 or len(work) < 2:
        threads = jobs if native else 1
        yield from (check_segment(*arguments, threads=threads) for arguments in todo)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered")
    yield from parallel(delayed(check_segment)(*arguments) for arguments in todo)


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


def _join(checks: Sequence[SegmentCheck], start: tuple[int, bytes], report: ShardReport) -> bool:
    """Checks that each segment goes on where the one before ended. Says whether all is whole."""
    report.segments = len(checks)
    size, frontier = start
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
