"""Verification of a log over HTTP: every entry bundle and every tile, hashed anew.

Works on any log that speaks C2SP tlog-tiles. What is fetched is not trusted: leaves are hashed
from the entries, every tile is compared with what the entries give, and the root with what the
log signed. Memory is bounded by the bundles under way, whatever the size of the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from muniment.errors import Corrupt, InputError, NotFound, SignatureInvalid
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Note, Verifier
from muniment.log.pruned import Pruned, parse_pruned
from muniment.log.report import Finding, ShardReport
from muniment.log.tiles import WIDTH
from muniment.log.verify import trusted_checkpoints
from muniment.trust.remote_tree import Fetch, Progress, TreeWalk

PUBLISH_SECONDS = 5


def verify_remote(
    prefix: str,
    fetch: Fetch,
    verifier: Verifier,
    *,
    trust: Sequence[str] = (),
    claimed: int | None = None,
    jobs: int = 4,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> ShardReport:
    """Reads a whole log and returns what was found; `prefix` names it in the findings.

    `trust` are signed checkpoints kept elsewhere, of any log; those of this origin must be on its
    history. `claimed` is the size that the server states without a signature, where it does: its
    checkpoint must reach it. Raises what `fetch` raises (the network is no finding), NotFound only
    where there is no checkpoint and nothing says that there should be one.
    """
    report = ShardReport(prefix, verifier.name)
    trusted = trusted_checkpoints(trust, verifier, f"{report.directory}/checkpoint", report)
    kept = max((checkpoint.size for checkpoint in trusted), default=0)
    wanted = {"a checkpoint kept elsewhere": kept, "the server": claimed or 0}
    checkpoint = _published(fetch, verifier, wanted, report, sleep)
    if checkpoint is None and not report.findings and claimed is None:
        raise NotFound(f"{prefix} has no checkpoint: is it the address of a log?")
    if checkpoint is None:
        return report
    report.size, report.checkpoints = checkpoint.size, 1
    note = _note(fetch)
    pruned = _pruned(note, verifier, checkpoint, report)
    walk = TreeWalk(prefix, fetch, checkpoint.size, [c.size for c in trusted], report)
    whole = pruned is None or walk.skip(pruned.minimum)
    whole = whole and walk.run(jobs, progress)
    if whole and walk.root != checkpoint.root:
        report.find(
            f"{prefix}/checkpoint",
            f"the signed root is {checkpoint.root.hex()}, the entries give {walk.root.hex()}",
        )
    if whole:
        report.root = walk.root.hex()
        _compare(trusted, walk, report)
    if report.findings and _note(fetch) != note:  # more has expired meanwhile
        return verify_remote(
            *(prefix, fetch, verifier),
            trust=trust,
            claimed=claimed,
            jobs=jobs,
            progress=progress,
            sleep=sleep,
        )
    return report


def _note(fetch: Fetch) -> bytes | None:
    try:
        return fetch("pruned")
    except NotFound:
        return None


def _pruned(
    note: bytes | None, verifier: Verifier, checkpoint: Checkpoint, report: ShardReport
) -> Pruned | None:
    """The log's word on what has expired, after its signature."""
    place = f"{report.directory}/pruned"
    if note is None:
        return None
    try:
        found = parse_pruned(note, place, verifier)
    except Corrupt as error:
        report.findings.append(Finding.of(error))
        return None
    if found.act >= checkpoint.size:
        report.find(place, f"names entry {found.act}, the checkpoint says {checkpoint.size}")
        return None
    report.minimum = found.minimum
    report.notes.append(
        f"{report.directory}: entries below {found.minimum} have expired, as the log says; entry "
        f"{found.act} tells which"
    )
    return found


def _published(
    fetch: Fetch,
    verifier: Verifier,
    wanted: Mapping[str, int],
    report: ShardReport,
    sleep: Callable[[float], None],
) -> Checkpoint | None:
    """The log's checkpoint, after its signature; a receipt may be a little ahead of it."""
    place = f"{report.directory}/checkpoint"
    checkpoint, size = None, 0
    for attempt in range(PUBLISH_SECONDS + 1):
        if attempt:
            sleep(1)
        try:
            checkpoint = _checked(fetch("checkpoint"), verifier)
            size = checkpoint.size
        except NotFound:
            checkpoint, size = None, 0
        except (InputError, UnicodeDecodeError, SignatureInvalid) as error:
            report.find(place, f"no checkpoint of this log: {error}")
            return None
        if size >= max(wanted.values()):
            return checkpoint
    for who, entries in wanted.items():
        if size < entries:
            problem = f"{who} says {entries} entries, the log's checkpoint {size}"
            report.find(place, f"rolled back or cut short: {problem}")
    return checkpoint


def _checked(note_text: bytes, verifier: Verifier) -> Checkpoint:
    note = Note.parse(note_text.decode())
    note.check([verifier])
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != verifier.name:
        raise InputError(f"it is of {checkpoint.origin}, not of {verifier.name}")
    return checkpoint


def _compare(trusted: Sequence[Checkpoint], walk: TreeWalk, report: ShardReport) -> None:
    for checkpoint in trusted:
        if checkpoint.size > report.size:
            continue  # reported with the checkpoint
        if checkpoint.size not in walk.roots and checkpoint.size < report.minimum + WIDTH:
            report.notes.append(
                f"{report.directory}: the checkpoint of {checkpoint.size} entries that was kept "
                "elsewhere cannot be compared any more: entries below it have expired"
            )
            continue
        found = walk.roots.get(checkpoint.size, b"")
        if found != checkpoint.root:
            report.find(
                f"{report.directory}/checkpoint",
                f"another history: a checkpoint kept elsewhere says root {checkpoint.root.hex()} "
                f"at size {checkpoint.size}, the entries give {found.hex() or 'none'}",
            )
