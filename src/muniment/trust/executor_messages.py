"""What travels between who verifies and the workers of a cluster: JSON, checked on arrival.

A task names a segment that the worker can read by itself: a path on a shared file system, or a
version of an object in a store. No secret goes with it. An answer is a worker's claim: nothing in
it is believed because it decodes.
"""

from __future__ import annotations

import os
from pathlib import Path
from socket import gethostname

import msgspec

from muniment import __version__
from muniment.errors import InputError
from muniment.log.history import CheckpointFrame
from muniment.log.report import Finding
from muniment.log.tiles import HASH
from muniment.log.verify_segment import SegmentCheck

MAX_ANSWER = 256 << 20
"""Bytes of an answer: some 100 for 256 entries."""


def process_name() -> str:
    """The host and this process."""
    return f"{gethostname()}:{os.getpid()}"


class StorePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a store is, without who may read it; and the one version of the object."""

    connection: dict[str, str | bool | float]
    size: int
    version: str


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One segment to be checked. `path` is absolute, or the key in a store."""

    number: int
    path: str
    verifier: str
    sizes: list[int]
    store: StorePlace | None = None
    release: str = __version__


class CheckpointClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A checkpoint frame; see `CheckpointFrame`."""

    offset: int
    size: int
    root: bytes
    frontier: bytes
    note: str


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker says of a segment; see `SegmentCheck`.

    `trouble` says why it could not look, `finding` what it found to be wrong. `digest` is the
    SHA-256 of an object of a store. `worker` is the host and the process.
    """

    number: int
    release: str = __version__
    trouble: str = ""
    finding: str = ""
    first: int = 0
    start: bytes = b""
    after_failure: bool = False
    size: int = 0
    frontier: bytes = b""
    signature: bytes = b""
    length: int = 0
    sealed: bool = False
    tiles: list[bytes] = []
    checkpoints: list[CheckpointClaim] = []
    roots: list[tuple[int, bytes]] = []
    digest: bytes = b""
    worker: str = msgspec.field(default_factory=process_name)


_TASK, _ANSWER = msgspec.json.Decoder(Task), msgspec.json.Decoder(Answer)


def encode(message: Task | Answer) -> bytes:
    """Returns the JSON of a message."""
    return msgspec.json.encode(message)


def decode_task(data: bytes) -> Task:
    """Raises InputError for bytes that are no task."""
    try:
        return _TASK.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"no task of a verification: {error}") from error


def decode_answer(data: object) -> Answer:
    """Raises InputError for what is no answer."""
    if not isinstance(data, bytes) or len(data) > MAX_ANSWER:
        raise InputError("no answer of a verification: not bytes, or too many")
    try:
        return _ANSWER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"no answer of a verification: {error}") from error


def answer_of(number: int, check: SegmentCheck, digest: bytes = b"") -> Answer:
    """Returns what a worker says of a segment that it looked at."""
    return Answer(
        number=number,
        finding="" if check.finding is None else str(check.finding),
        first=check.first,
        start=check.start,
        after_failure=check.after_failure,
        size=check.size,
        frontier=check.frontier,
        signature=check.signature,
        length=check.length,
        sealed=check.sealed,
        tiles=[b"".join(hashes) for hashes in check.tiles],
        checkpoints=[
            CheckpointClaim(one.offset, one.size, one.root, one.frontier, one.note)
            for one in check.checkpoints
        ],
        roots=sorted(check.roots.items()),
        digest=digest,
    )


def check_of(answer: Answer, path: Path) -> SegmentCheck:
    """Returns an answer in the form of a check of the segment at `path`. It is still a claim."""
    finding = Finding(str(path), answer.finding) if answer.finding else None
    return SegmentCheck(
        path=path,
        first=answer.first,
        start=answer.start,
        after_failure=answer.after_failure,
        size=answer.size,
        frontier=answer.frontier,
        signature=answer.signature,
        length=answer.length,
        sealed=answer.sealed,
        tiles=[_hashes(level) for level in answer.tiles],
        checkpoints=[
            CheckpointFrame(path, one.offset, one.size, one.root, one.frontier, one.note)
            for one in answer.checkpoints
        ],
        roots=dict(answer.roots),
        finding=finding,
    )


def _hashes(level: bytes) -> list[bytes]:
    return [level[place : place + HASH] for place in range(0, len(level), HASH)]
