"""Checks every byte of a log's index without trusting any of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deltalake import DeltaTable

from muniment.index import manifest
from muniment.index.damage import Finding
from muniment.index.deltalog import (
    LAST_CHECKPOINT,
    LOG,
    checkpoint_version,
    commit_version,
    live_parts,
    removed_paths,
    transactions,
)
from muniment.index.manifest import LOCK, PENDING
from muniment.index.marks import Marks
from muniment.index.part import WORKING, Part, file_digest, name_digest

_ATTEMPTS = 5


def check_index(directory: Path) -> list[Finding]:
    """Returns everything that is wrong with the index of one log; never raises on damage.

    Findings name files with `directory` before them. Every file is read whole: the manifest
    vouches for the Delta log, the Delta log names the parts, each part's name carries its digest,
    and says how many entries of a shard have no row for good reason, so that no other is missing.
    A missing directory is no damage. What a crash in the middle of a commit leaves behind is none
    either: `PENDING` tells so, and the next start mends it. An index that is being written to can
    be checked too: what changes under the check is looked at again.
    """
    found: list[Finding] = []
    for attempt in range(_ATTEMPTS):
        before = _mark(directory)
        try:
            now = _check(directory)
        except OSError as error:
            now = [Finding(str(error.filename or "."), f"cannot be read: {error.strerror}")]
        found = now if attempt == 0 else [finding for finding in now if finding in found]
        if not found or (before == _mark(directory) and PENDING not in before):
            break
    return [Finding(str(directory / finding.file), finding.detail) for finding in found]


def _mark(directory: Path) -> tuple[str, ...]:
    """Something that differs after each commit."""
    try:
        names = [PENDING] if (directory / PENDING).exists() else []
        return (*names, hashlib.sha256((directory / manifest.NAME).read_bytes()).hexdigest())
    except OSError as error:
        return (type(error).__name__,)


def _check(directory: Path) -> list[Finding]:
    if not directory.is_dir():
        return []
    log = check_delta_log(directory)
    found = list(log.findings)
    parts = {} if found else _live(directory, log, found)
    found += _strangers(directory)
    present: set[str] = set()
    for file in sorted(directory.glob("day=*/*")):
        path = str(file.relative_to(directory))
        present.add(path)
        found += _check_part(file, path, parts if not log.findings else None, log)
    if not log.findings:
        found += [Finding(path, "is missing") for path in parts.keys() - present]
        wrong = {} if found or log.pending else log.marks.wrong(list(parts.values()))
        found += [Finding(LOG, wrong[shard]) for shard in sorted(wrong)]
    return found


@dataclass(slots=True)
class DeltaLogCheck:
    """What the manifest says, what is wrong, and whether a commit was under way."""

    digests: Mapping[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    marks: Marks = field(default_factory=Marks)
    pending: bool = False


def check_delta_log(directory: Path) -> DeltaLogCheck:
    """Compares the Delta log of an index with its manifest."""
    log = DeltaLogCheck(pending=(directory / PENDING).exists())
    try:
        data = (directory / manifest.NAME).read_bytes()
        if log.pending:
            data = data[: data.rfind(b"\n") + 1]
        log.digests = manifest.parse_manifest(data)
    except FileNotFoundError:
        if not log.pending:
            log.findings.append(Finding(manifest.NAME, "is missing"))
        return log
    except (OSError, ValueError) as error:
        log.findings.append(Finding(manifest.NAME, str(error)))
        return log
    for path, digest in log.digests.items():
        if log.pending and path == LAST_CHECKPOINT:
            continue
        log.findings += _check_file(directory / path, path, digest)
    if not log.pending:
        for file in sorted((directory / LOG).glob("*")):
            path = str(file.relative_to(directory))
            if path not in log.digests:
                log.findings.append(Finding(path, f"is not in {manifest.NAME}"))
    log.findings += _check_versions(log.digests)
    return log


def _check_file(file: Path, path: str, digest: str) -> Iterator[Finding]:
    try:
        if file_digest(file) != digest:
            yield Finding(path, "does not have the SHA-256 that was recorded for it")
    except FileNotFoundError:
        yield Finding(path, "is missing")
    except OSError as error:
        yield Finding(path, f"cannot be read: {error.strerror}")


def _check_versions(digests: Mapping[str, str]) -> Iterator[Finding]:
    """The commits must follow each other, from the first or from a checkpoint."""
    versions = sorted(v for v in map(commit_version, digests) if v is not None)
    checkpoints = {v for v in map(checkpoint_version, digests) if v is not None}
    if not versions:
        yield Finding(manifest.NAME, "names no commit")
    elif len(versions) != versions[-1] - versions[0] + 1:
        yield Finding(manifest.NAME, "does not name every commit")
    elif versions[0] > 0 and not any(v >= versions[0] - 1 for v in checkpoints):
        yield Finding(manifest.NAME, "names no checkpoint that the commits follow")


def _live(directory: Path, log: DeltaLogCheck, found: list[Finding]) -> dict[str, Part]:
    if log.pending and not log.digests:
        return {}
    try:
        log.removed = removed_paths(directory, log.digests)
        log.marks = Marks.of(transactions(directory, log.digests))
        return {part.path: part for part in live_parts(DeltaTable(str(directory)))}
    except Exception as error:  # whatever is in the files, a check answers
        found.append(Finding(LOG, f"cannot be read: {error}"))
        log.findings.append(found[-1])
        return {}


def _check_part(
    file: Path, path: str, live: Mapping[str, Part] | None, log: DeltaLogCheck
) -> Iterator[Finding]:
    if log.pending and path.endswith(WORKING):
        return
    try:
        digest = name_digest(path)
    except ValueError:
        yield Finding(path, "does not belong to the index")
        return
    yield from _check_file(file, path, digest)
    if live is None:
        return
    part = live.get(path)
    if part is None and path not in log.removed and not log.pending:
        yield Finding(path, "is not named by the Delta log")


def _strangers(directory: Path) -> Iterator[Finding]:
    """Files that have no place beside the Delta log and the day folders."""
    pending = (directory / PENDING).exists()
    for file in sorted(directory.iterdir()):
        name = file.name
        if file.is_dir() and not file.is_symlink():
            if name != LOG and not name.startswith("day="):
                yield Finding(name, "does not belong to the index")
        elif name in (LOCK, PENDING):
            if file.is_symlink() or file.stat().st_size:
                yield Finding(name, "must be an empty file")
        elif name != manifest.NAME and not (pending and name == manifest.WORKING):
            yield Finding(name, "does not belong to the index")
