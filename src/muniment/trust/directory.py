"""Verification of a data directory: every shard, and every file beside them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from muniment import kernel
from muniment.access.tokens import check_tokens
from muniment.data_names import ACCESS, FENCED, INDEX, KEYS, KNOWN, LOGS, READ_ONLY, TOKENS
from muniment.errors import Corrupt, InputError, NotFound
from muniment.index.check import check_index
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import Disk, PosixDisk
from muniment.log.note import Signer, Verifier
from muniment.log.report import Finding, Report
from muniment.log.shard import VERIFIER
from muniment.log.verify import Elsewhere, Progress, verify_shard
from muniment.store.marks import Mark, read_mark
from muniment.store.names import is_key_of
from muniment.store.port import Store
from muniment.trust.chains import check_chains, findings
from muniment.trust.evicted import find_unread
from muniment.trust.local_attachments import find_attachments


def shard_directories(directory: Path) -> list[Path]:
    """Returns the shards below a data directory, a log's directory or a shard's directory.

    Raises NotFound where there is none.
    """
    if not directory.is_dir():
        raise NotFound(f"{directory} is no directory")
    if (directory / LOGS).is_dir():
        found = [shard for log in _folders(directory / LOGS) for shard in _folders(log)]
    elif (directory / VERIFIER).is_file() or any(directory.glob("*.seg")):
        found = [directory]
    else:
        found = [shard for shard in _folders(directory) if (shard / VERIFIER).is_file()]
    if not found:
        raise NotFound(f"{directory} holds no log")
    return found


def evidence_bytes(directory: Path) -> int:
    """Returns the bytes that `verify_directory` will read of the segments, for a progress bar."""
    return sum(
        segment.stat().st_size
        for shard in shard_directories(directory)
        for segment in shard.glob("*.seg")
    )


def verify_directory(
    directory: Path,
    *,
    trust: Sequence[str] = (),
    keys: Sequence[Verifier] = (),
    agents: Sequence[Verifier] = (),
    jobs: int = 1,
    progress: Progress | None = None,
    disk: Disk | None = None,
    primary: Callable[[], Store | None] = lambda: None,
    elsewhere: Elsewhere | None = None,
) -> Report:
    """Verifies all that a directory holds and returns what was found.

    See `verify_shard` for `trust` and `keys`; `agents` are the keys of agents. `disk` also reads
    the segments that are in a store only; without it they are findings: they were not read.
    `primary` opens that store: attachments that are not here are looked for there. `elsewhere` has
    segments read by others.
    Raises NotFound where there is no log to look at, StoreFailing.
    """
    report = Report()
    if disk is not None and kernel.ACTIVE != "native":
        jobs = 1  # other processes would verify, without the store
    shards = shard_directories(directory)
    whole = (directory / LOGS).is_dir()
    live = whole and _is_live(directory)
    if live:
        report.notes.append("a server is writing here: what it wrote since is not covered")
    for shard in shards:
        report.shards.append(
            verify_shard(
                shard,
                trust=trust,
                keys=keys,
                jobs=jobs,
                live=live,
                progress=progress,
                disk=disk,
                elsewhere=elsewhere,
            )
        )
        found = report.shards[-1]
        if whole and found.origin and not is_key_of(found.origin, shard.parent.name, shard.name):
            found.find(shard / VERIFIER, f"is the key of another shard, {found.origin}")
        report.notes += found.notes
    origins = {shard.origin for shard in report.shards}
    for note in trust:
        checkpoint = Checkpoint.of_note(note)
        if checkpoint.origin not in origins:
            problem = f"there is no log {checkpoint.origin}, of which a checkpoint was kept"
            report.other.append(Finding(str(directory), problem))
    if shards == [directory]:
        report.notes.append("captured streams are checked where the whole log is given")
    else:
        _check_chains(report, shards, agents, disk)
    if whole:
        marks = _marks(directory, shards, report)
        report.other += _check_keys(directory, shards, marks)
        report.other += _check_beside(directory, restored=bool(marks))
        if disk is None:
            report.other += find_unread(directory, shards)
        report.other += find_attachments(directory, report, disk, primary)
        if live:
            report.notes.append("the index is not checked while a server writes it")
        else:
            report.other += _check_indexes(directory)
    return report


def _check_chains(
    report: Report, shards: Sequence[Path], agents: Sequence[Verifier], disk: Disk | None
) -> None:
    """Checks captured streams, log by log; not of a log that could not be read in full."""
    logs: dict[Path, dict[Path, int]] = {}
    for path, shard in zip(shards, report.shards, strict=True):
        logs.setdefault(path.parent, {})[path] = -1 if shard.findings else shard.size
    for folder, sizes in logs.items():
        if min(sizes.values()) < 0:
            report.notes.append(
                f"{folder.name}: captured streams are not checked: see the findings"
            )
            continue
        checked = check_chains(folder.name, sizes, agents, disk)
        report.streams += checked.streams
        report.notes += checked.notes
        for stream in checked.streams:
            report.other += findings(stream)


def _folders(directory: Path) -> list[Path]:
    return sorted(p for p in directory.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_live(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _marks(directory: Path, shards: Sequence[Path], report: Report) -> dict[Path, Mark]:
    """The marks of read-only shards; says what they state of a restore."""
    found = {}
    known = {f"{shard.parent.name}.{shard.name}.json": shard for shard in shards}
    folder = directory / READ_ONLY
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        shard = known.get(path.name)
        if shard is None:
            report.other.append(Finding(str(path), "is the mark of a shard that is not here"))
            continue
        try:
            mark = read_mark(PosixDisk(), directory, shard.parent.name, shard.name)
        except Corrupt as error:
            report.other.append(Finding.of(error))
            continue
        if mark is None:
            continue
        found[shard] = mark
        if not mark.done:
            problem = "the restore of this shard did not come to its end: run it again"
            report.other.append(Finding(str(path), problem))
        report.notes.append(f"{shard.parent.name}/{shard.name} is read-only: {mark.detail}")
    return found


def _check_keys(
    directory: Path, shards: Sequence[Path], marks: Mapping[Path, Mark]
) -> Iterator[Finding]:
    """Each shard has its private key, each key its shard, and the two belong together.

    A read-only shard needs none; one that another node took over has a key out of use.
    """
    names = {f"{shard.parent.name}.{shard.name}.key": shard for shard in shards}
    folder = directory / KEYS
    found = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    for name, shard in names.items():
        fenced = name.removesuffix(".key") + FENCED
        here = [one for one in (name, fenced) if one in found]
        if not here and shard not in marks:
            yield Finding(str(folder / name), f"the key of shard {shard.name} is missing")
        for one in here:
            yield from _check_key(found.pop(one), shard / VERIFIER)
    for name in sorted(found):
        yield Finding(str(folder / name), "the shard of this key is missing")


def _check_key(path: Path, verifier: Path) -> Iterator[Finding]:
    try:
        text = path.read_text(encoding="utf-8")
        signer = Signer.parse(text)
        if text not in (signer.export(), signer.export() + "\n"):
            yield Finding(str(path), "holds more than a private key", 0)
        if verifier.is_file() and verifier.read_bytes().strip() != str(signer.verifier).encode():
            yield Finding(str(path), f"is not the key of {verifier}", 0)
    except PermissionError:
        return  # who verifies need not be who may sign
    except (InputError, UnicodeDecodeError) as error:
        yield Finding(str(path), f"no private key: {error}", 0)


def _check_beside(directory: Path, *, restored: bool) -> Iterator[Finding]:
    for path in sorted(directory.iterdir()):
        if path.name not in KNOWN:
            yield Finding(str(path), "does not belong to a data directory")
    for path in sorted((directory / LOGS).rglob("*")):
        if len(path.relative_to(directory / LOGS).parts) <= 2 and not path.is_dir():
            yield Finding(str(path), "does not belong to a data directory")
    tokens = directory / ACCESS / TOKENS
    problem = check_tokens(tokens) if tokens.is_file() else "the access tokens are missing"
    if problem is not None and (tokens.is_file() or not restored):
        yield Finding(str(tokens), problem)
    if tokens.parent.is_dir():
        for path in sorted(tokens.parent.iterdir()):
            if path.name != TOKENS:
                yield Finding(str(path), "does not belong to a data directory")


def _check_indexes(directory: Path) -> Iterator[Finding]:
    folder = directory / INDEX
    for index in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not (directory / LOGS / index.name).is_dir():
            yield Finding(str(index), "is the index of a log that is not here")
            continue
        for finding in check_index(index):
            yield Finding(str(finding.file), f"{finding.detail} (`muniment index rebuild`)")
