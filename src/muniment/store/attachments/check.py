"""Verification of attachments: each that an entry names is there, with the bytes that it names."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from muniment import kernel
from muniment.errors import NotFound
from muniment.log import ShardReader
from muniment.log.disk import Disk
from muniment.log.report import Finding
from muniment.store.attachments.copies import Copies
from muniment.store.attachments.entry import ACTION, Claim, claim_of
from muniment.store.attachments.files import Files

_MARK = ACTION.encode()


class Source(Protocol):
    """A place in which attachments of one log are looked for."""

    def place(self, sha256: bytes) -> str:
        """Where that one is or would be, for a person."""

    def names(self) -> Iterator[bytes]:
        """Yields the SHA-256 of all that are there, in order."""

    def pieces(self, sha256: bytes) -> Iterator[bytes] | None:
        """Returns the bytes of one; None where it is not there."""


@dataclass(slots=True)
class Checked:
    """What was found of a log's attachments. `count` are those that are there and whole."""

    count: int = 0
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def claims_of(directory: Path, size: int, disk: Disk | None = None) -> Iterator[Claim]:
    """Yields what the first `size` entries of a shard claim, as far as they are not expired.

    Raises Corrupt.
    """
    for place, header, raw in marked(directory, size, (_MARK,), disk):
        found = claim_of(header, raw, place)
        if found is not None:
            yield found


def marked(
    directory: Path, size: int, marks: Sequence[bytes], disk: Disk | None = None
) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """Yields the entries of a shard whose record has one of some texts in it, expired ones not.

    Each as its place (SHARD/INDEX), its receipt header and its record. Raises Corrupt.
    """
    reader = ShardReader(directory) if disk is None else ShardReader(directory, disk)
    reader.advance(size)
    start = reader.minimum
    while start < size:
        packed = reader.packed(start)
        if any(mark in packed.payload for mark in marks):
            yield from _marked(directory.name, packed.first, packed.payload, marks)
        start = packed.first + packed.count


def _marked(
    shard: str, first: int, payload: bytes, marks: Sequence[bytes]
) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    split = kernel.split(payload)
    which, offsets = array("I", split.which), array("i", split.offsets)
    for place, number in enumerate(which):
        raw = split.raw[offsets[place] : offsets[place + 1]]
        if not any(mark in raw for mark in marks):
            continue
        try:
            header = orjson.loads(split.headers[number])
        except orjson.JSONDecodeError:
            continue
        if isinstance(header, dict):
            yield f"{shard}/{first + place}", header, raw


def check_attachments(log: str, claims: Iterable[Claim], sources: Sequence[Source]) -> Checked:
    """Reads every attachment that is claimed, in each source that has it, one at least.

    What no entry names is a note: a crash between the body and its entry leaves such, and so does
    the expiry of an entry. Raises StoreFailing, StorageFailing where a source cannot be read.
    """
    result = Checked()
    first: dict[bytes, Claim] = {}
    for claim in claims:
        known = first.setdefault(claim.sha256, claim)
        if known.size != claim.size:
            problem = f"says {claim.size:,} bytes of {_name(claim)}, {known.place} {known.size:,}"
            result.findings.append(Finding(f"{log}/{claim.place}", problem))
    for claim in first.values():
        _check(log, claim, sources, result)
    for source in sources:
        unnamed = sum(1 for name in source.names() if name not in first)
        if unnamed:
            result.notes.append(
                f"{log}: {unnamed:,} attachment{'s' if unnamed > 1 else ''} in "
                f"{source.place(b'')} that no entry names: left by a crash, or their entries have "
                "expired"
            )
    return result


def _check(log: str, claim: Claim, sources: Sequence[Source], result: Checked) -> None:
    there = sound = 0
    for source in sources:
        pieces = source.pieces(claim.sha256)
        if pieces is None:
            continue
        there += 1
        problem = _problem(claim, pieces)
        if problem:
            result.findings.append(Finding(source.place(claim.sha256), problem))
        else:
            sound += 1
    if not there:
        problem = f"names the attachment {_name(claim)}, which is not there"
        result.findings.append(Finding(f"{log}/{claim.place}", problem))
    elif sound:
        result.count += 1
        result.bytes += claim.size


def _problem(claim: Claim, pieces: Iterator[bytes]) -> str:
    hashed, size = hashlib.sha256(), 0
    try:
        for piece in pieces:
            hashed.update(piece)
            size += len(piece)
    except NotFound as error:
        return error.detail
    if size != claim.size:
        return f"has {size:,} bytes, but {claim.place} says {claim.size:,}"
    if hashed.digest() != claim.sha256:
        return f"has the SHA-256 {hashed.hexdigest()}, not that of its name and of {claim.place}"
    return ""


def _name(claim: Claim) -> str:
    return f"sha256:{claim.sha256.hex()}"


class LocalSource:
    """The attachments of a log in a data directory."""

    def __init__(self, files: Files, log: str) -> None:
        self._files, self._log = files, log

    def place(self, sha256: bytes) -> str:
        folder = self._files.directory / self._log
        return str(self._files.path(self._log, sha256) if sha256 else folder)

    def names(self) -> Iterator[bytes]:
        return self._files.names(self._log)

    def pieces(self, sha256: bytes) -> Iterator[bytes] | None:
        if self._files.size(self._log, sha256) is None:
            return None
        return self._files.pieces(self._log, sha256)


class StoreSource:
    """The attachments of a log in a store."""

    def __init__(self, copies: Copies, log: str, url: str) -> None:
        self._copies, self._log, self._url = copies, log, url

    def place(self, sha256: bytes) -> str:
        text = sha256.hex()
        return f"{self._url}/logs/{self._log}/attachments/{text[:2]}/{text}".rstrip("/")

    def names(self) -> Iterator[bytes]:
        return self._copies.names(self._log)

    def pieces(self, sha256: bytes) -> Iterator[bytes] | None:
        found = self._copies.find(self._log, sha256)
        return None if found is None else self._copies.pieces(found)
