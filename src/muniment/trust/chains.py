"""Capture chains in the shards of a log: is all here that an agent captured, as it captured it?

The agent numbers the records of each stream, chains its parcels and signs the heads of its chains
now and then (see `capture.chain`). The receipt headers keep stream, number and chain, and the
entries the bytes, so that everything can be computed again here: what is missing between others,
what came twice or out of order, what is not linked, and which head is not the one that was signed.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from muniment import kernel
from muniment.capture.chain import read_heads
from muniment.errors import InputError, SignatureInvalid
from muniment.log import ShardReader
from muniment.log.disk import Disk
from muniment.log.note import Note, Verifier
from muniment.log.report import Finding, StreamReport
from muniment.trust.stream import Parcel, Stream

MAX_STREAMS = 100_000
MAX_FINDINGS = 100
_HEADS = "capture.heads"
_MARK = b'"stream":"'
_COPIED = ("from", "stream", "seq", "prev", "at")


@dataclass(slots=True)
class Checked:
    """The streams of a log, and remarks on what could not be checked."""

    streams: list[StreamReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_chains(
    log: str,
    shards: Mapping[Path, int],
    keys: Sequence[Verifier] = (),
    disk: Disk | None = None,
) -> Checked:
    """Checks the chains in the shards of a log, given by directory with their sizes.

    `keys` are the agents' verifier keys. Entries that have expired are left out. Raises Corrupt
    where entries cannot be read.
    """
    found = _Chains(keys)
    runs = [_runs(directory, size, disk) for directory, size in shards.items()]
    for _, header, run in heapq.merge(*runs, key=lambda item: item[0]):
        found.take(header, run)
    return found.result(log)


@dataclass(slots=True)
class _Run:
    """Consecutive entries of one parcel, as one shard holds them."""

    place: str
    count: int = 0
    hashed: Any = field(default_factory=sha256)
    notes: list[bytes] = field(default_factory=list)

    def add(self, header: Mapping[str, Any], raw: bytes) -> None:
        part = header.get("part")
        if isinstance(part, dict) and isinstance(size := part.get("bytes"), int):
            if part.get("number") == 1:
                self._begin(size)
            self.hashed.update(raw)
            return
        self._begin(len(raw))
        self.hashed.update(raw)
        if header.get("as") == "muniment" and _HEADS.encode() in raw:
            self.notes.append(raw)

    def _begin(self, size: int) -> None:
        self.count += 1
        self.hashed.update((size & 0xFFFFFFFF).to_bytes(4, "big"))


def _runs(
    directory: Path, size: int, disk: Disk | None
) -> Iterator[tuple[str, Mapping[str, Any], _Run]]:
    """Yields parcels in the order of a shard, each with its time of receipt and its header."""
    reader = ShardReader(directory, disk)
    reader.advance(size)
    key: tuple[Any, ...] | None = None
    header: Mapping[str, Any] = {}
    run = _Run("")
    for index, found, raw in _captured(reader, size):
        own = tuple(found.get(name) for name in _COPIED)
        if own != key:
            if key is not None:
                yield str(header.get("at")), header, run
            key, header, run = own, found, _Run(f"{directory.name}/{index}")
        run.add(found, raw)
    if key is not None:
        yield str(header.get("at")), header, run


def _captured(reader: ShardReader, size: int) -> Iterator[tuple[int, Mapping[str, Any], bytes]]:
    """Yields index, header and bytes of the entries that are of a chained stream."""
    start = reader.minimum
    while start < size:
        packed = reader.packed(start)
        if _MARK in packed.payload:
            yield from _chained(packed.first, packed.payload)
        start += packed.count


def _chained(first: int, payload: bytes) -> Iterator[tuple[int, Mapping[str, Any], bytes]]:
    split = kernel.split(payload)
    headers = [_header(header) for header in split.headers]
    which = array("I", split.which)
    offsets = array("i", split.offsets)
    for place, number in enumerate(which):
        header = headers[number]
        if header is not None:
            yield first + place, header, split.raw[offsets[place] : offsets[place + 1]]


def _header(line: bytes) -> Mapping[str, Any] | None:
    """The header of an entry in a chained stream; None for any other."""
    if _MARK not in line:
        return None
    try:
        found = orjson.loads(line)
        prev = bytes.fromhex(found["prev"])
        sound = isinstance(found["stream"], str) and type(found["seq"]) is int and len(prev) == 32
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    return found if sound and 0 < found["seq"] < 1 << 63 else None


class _Chains:
    """Streams by sender and name, and the keys of agents."""

    def __init__(self, keys: Sequence[Verifier]) -> None:
        self._keys = {key.name: key for key in keys}
        self._streams: dict[tuple[str, str], Stream] = {}
        self._ended: list[tuple[tuple[str, str], Stream]] = []
        self._unsigned: dict[str, int] = {}
        self._left_out = 0

    def take(self, header: Mapping[str, Any], run: _Run) -> None:
        sender = header.get("from") or ""
        stream = self._stream(str(sender), header["stream"])
        if stream is None or not run.count:
            return
        digest, prev = run.hashed.digest(), bytes.fromhex(header["prev"])
        parcel = Parcel(header["seq"], run.count, prev, digest, run.place)
        if stream.begins_again(parcel):
            stream = self._again((str(sender), stream.name), stream, parcel)
        stream.take(parcel)
        for raw in run.notes:
            self._take_heads(str(sender), stream, raw, run.place)

    def _stream(self, sender: str, name: str) -> Stream | None:
        known = self._streams.get((sender, name))
        if known is None:
            if len(self._streams) + len(self._ended) >= MAX_STREAMS:
                self._left_out += 1
                return None
            known = self._streams[sender, name] = Stream(name)
        return known

    def _again(self, key: tuple[str, str], stream: Stream, parcel: Parcel) -> Stream:
        """A stream that begins again is another one from then on, as long as there is room."""
        if len(self._streams) + len(self._ended) >= MAX_STREAMS:
            return stream
        self._ended.append((key, stream))
        self._streams[key] = stream.again(parcel)
        return self._streams[key]

    def _take_heads(self, sender: str, own: Stream, raw: bytes, where: str) -> None:
        """Takes the heads that an agent signed; what is no such note is no business of chains."""
        agent = own.name.partition("/")[0]
        try:
            fields = orjson.loads(raw)
            if not isinstance(fields, dict) or fields.get("action") != _HEADS:
                return
            note = Note.parse(str(fields.get("note")))
            named, heads = read_heads(note.text)
            if named != agent:
                raise InputError(f"they are those of {named!r}")
            self._check(agent, note)
        except orjson.JSONDecodeError:
            return
        except (InputError, SignatureInvalid) as error:
            own.problems.append(f"the signed heads at {where} cannot be trusted: {error.detail}")
            return
        for name, head in heads.items():
            stream = self._stream(sender, name) if name.startswith(f"{agent}/") else None
            if stream is not None:
                stream.promise(head, where)

    def _check(self, agent: str, note: Note) -> None:
        key = self._keys.get(agent)
        if key is None:
            self._unsigned[agent] = self._unsigned.get(agent, 0) + 1
        else:
            note.check([key])

    def result(self, log: str) -> Checked:
        streams = [*self._ended, *self._streams.items()]
        found = Checked([_report(log, *item) for item in sorted(streams, key=_name)])
        for agent, count in sorted(self._unsigned.items()):
            found.notes.append(
                f"{log}: {count:,} signed heads of agent {agent} were compared, but nobody gave "
                "the agent's key to check the signatures (--agent-keys)"
            )
        if self._left_out:
            found.notes.append(f"{log}: more than {MAX_STREAMS:,} streams; the others are left out")
        return found


def _name(item: tuple[tuple[str, str], Stream]) -> tuple[str, str]:
    return item[0]


def _report(log: str, key: tuple[str, str], stream: Stream) -> StreamReport:
    return StreamReport(
        log,
        *key,
        stream.records,
        stream.first,
        stream.last,
        list(stream.missing()),
        stream.repeated,
        stream.reordered,
        stream.signed,
        stream.ahead,
        stream.problems,
    )


def findings(found: StreamReport) -> Iterator[Finding]:
    """Yields what is wrong with a stream: records that are missing, and what contradicts itself."""
    place = f"stream {found.stream} of {found.sender or 'nobody known'} in {found.log}"
    for first, last in found.missing[:MAX_FINDINGS]:
        count = last - first + 1
        yield Finding(place, f"records {first:,} to {last:,} are missing: {count:,} were captured")
    if len(found.missing) > MAX_FINDINGS:
        others = len(found.missing) - MAX_FINDINGS
        yield Finding(place, f"{others:,} more ranges are missing: {found.lost:,} records in all")
    for problem in found.problems:
        yield Finding(place, problem)


def read_agent_keys(path: Path) -> list[Verifier]:
    """Returns the verifier keys in a file, one a line; `#` begins a remark.

    Raises InputError for anything else, OSError where it cannot be read.
    """
    try:
        lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} holds no keys: {error}") from error
    stripped = (line.strip() for line in lines)
    return [Verifier.parse(line) for line in stripped if line and not line.startswith("#")]
