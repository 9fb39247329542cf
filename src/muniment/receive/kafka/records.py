"""From Kafka's records to the log's, without a connection: headers, numbers, what is known already.

An entry's bytes are the record's value. What the producer said beside it (key, timestamp, headers)
stands in the receipt header under `about`, and so do topic and partition; `seq` is the offset.
Records that agree in all of that, and whose offsets follow each other, share a header.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import orjson

from muniment.receive.groups import Records

MAX_ABOUT = 4 << 10
"""Bytes of key, headers and names in a receipt header; more is kept as a record of its own."""

_ID = "kafka"


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was consumed; `timestamp` is in milliseconds, None where there is none."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def said(self) -> int:
        """Bytes of its key and its headers, and some for each header."""
        size = len(self.key or b"")
        for name, value in self.headers:
            size += len(name) + len(value or b"") + 16
        return size

    @property
    def long(self) -> bool:
        """Whether what is said beside the value is not for a receipt header."""
        return self.said > MAX_ABOUT or not all(name.isprintable() for name, _ in self.headers)


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a topic, consumed by a group of a cluster."""

    cluster: str
    group: str
    topic: str
    number: int

    @property
    def scope(self) -> str:
        """The beginning of the ids of its batches."""
        names = orjson.dumps([self.cluster, self.group, self.topic, self.number])
        return f"{_ID} {sha256(names).hexdigest()[:32]} "

    def batch_id(self, records: Sequence[Record]) -> str:
        """The id of a batch of all records from the first to the last of these."""
        first, last = records[0], records[-1]
        return f"{self.scope}{first.offset}-{last.offset} {first.timestamp}"

    def groups(self, records: Iterable[Record], source: str) -> list[Records]:
        """The records as groups that share a header, in order."""
        groups: list[Records] = []
        values: list[bytes] = []
        shared: Mapping[str, str] = {}
        following = -1
        for record in records:
            long = record.long
            if long:
                groups.append(self._head(record))
            about = {**self._place, "head": "before"} if long else self._about(record)
            if long or about != shared or record.offset != following:
                values, shared = [], about
                groups.append(Records(source, values, about, record.offset))
            values.append(record.value or b"")
            following = record.offset + 1
        return groups

    @property
    def _place(self) -> dict[str, str]:
        return {"topic": self.topic, "partition": str(self.number)}

    def _about(self, record: Record) -> dict[str, str]:
        about = self._place
        if record.timestamp is not None:
            about["timestamp"] = str(record.timestamp)
        if record.key is not None:
            _say(about, "key", record.key)
        if record.value is None:
            _say(about, "value", None)
        for name, value in record.headers:
            _say(about, f"header.{name}", value)
        return about

    def _head(self, record: Record) -> Records:
        """A key or headers too long for a receipt header, as an entry before the record's own."""
        fields = {
            "actor": "muniment",
            "action": "kafka.head",
            "resource": f"{self.topic}/{self.number}@{record.offset}",
            "timestamp": record.timestamp,
            "key": _base64(record.key),
            "headers": [[_plain(name), _base64(value)] for name, value in record.headers],
            "tombstone": record.value is None,
        }
        return Records("muniment", [orjson.dumps(fields)], self._place, record.offset)


@dataclass(slots=True)
class Known:
    """Which records of a partition are durable already, by the ids of the batches in the log.

    `ranges` are the last offset and the first timestamp of batches by their first offset. A batch
    is taken for known where it begins with the very record that comes now: same offset, same
    timestamp. So a topic that was made anew is not mistaken for the old one.
    """

    ranges: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    until: int = -1

    @classmethod
    def of(cls, partition: Partition, ids: Iterable[str]) -> Known:
        """Reads the ids of a log's batches, as far as they are this partition's."""
        scope = partition.scope
        ranges: dict[int, tuple[int, str]] = {}
        for id_ in ids:
            if id_.startswith(scope):
                offsets, _, timestamp = id_[len(scope) :].partition(" ")
                first, _, last = offsets.partition("-")
                ranges[int(first)] = (int(last), timestamp)
        return cls(ranges)

    def has(self, record: Record) -> bool:
        """Whether a record is durable; to be asked of all of them, in order."""
        if record.offset > self.until:
            last, timestamp = self.ranges.get(record.offset, (-1, ""))
            if timestamp == str(record.timestamp):
                self.until = last
        return record.offset <= self.until


def _say(about: dict[str, str], name: str, value: bytes | None) -> None:
    """Adds a value as text, or what it is else; a name that is there gets a number."""
    text, kind = "true", ".null"
    if value is not None:
        text, kind = value.decode(errors="replace"), ""
        if not text.isprintable() or text.encode() != value:
            text, kind = b64encode(value).decode(), ".base64"
    number, key = 1, name + kind
    while key in about:
        number += 1
        key = f"{name}#{number}{kind}"
    about[key] = text


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
