"""What a watcher saw last, kept in the state directory so that a restart forgets nothing.

    {"servers": {"time": "2026-11-21T10:00:00.000000Z", "objects": {"haproxy:lb1/server/web/w1":
        {"state": {...}, "redacted": [...], "names": [...], "by": {...}, "where": {...}}}}}

The events of a look and what is known after it must become durable together, while they lie in two
places. So what will be known is written beside (`.next`) before the events are put, its digest is
the position that is put with them, and only then does it take its name. After a crash, a `.next` is
adopted exactly where its digest is the stream's position: its events were put.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import orjson

from muniment.capture.snapshot import Json, Snapshot
from muniment.log.disk import Disk, write_file

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as it was seen, and the version that it had."""

    version: str
    snapshot: Snapshot

    @classmethod
    def of(cls, snapshot: Snapshot) -> Seen:
        return cls(snapshot.version, snapshot)


@dataclass(frozen=True, slots=True)
class Scope:
    """All objects of a scope at its last good look, which began at `time` (RFC 3339)."""

    time: str
    objects: Mapping[str, Seen]


Scopes = Mapping[str, Scope]


class Known:
    """The file of one watcher. One thread uses it."""

    def __init__(self, disk: Disk, directory: Path, name: str) -> None:
        """Makes the directory where it is not there. Raises OSError."""
        self._disk, self._directory = disk, directory
        self._path = directory / f"{quote(name, safe=':')}.json"
        self._next = self._path.with_suffix(".next")
        disk.make_directory(directory)

    def load(self, digest: str) -> Scopes:
        """Returns what was known when `digest` became the position; nothing where it is lost."""
        names = self._disk.names(self._directory)
        if self._next.name in names:
            if sha256(self._disk.read(self._next)).hexdigest() == digest:
                self.adopt()
            else:
                self._disk.remove(self._next)
        if self._path.name not in self._disk.names(self._directory):
            return {}
        data = self._disk.read(self._path)
        if sha256(data).hexdigest() != digest:
            return {}
        try:
            return _decode(data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _logger.warning("%s is of another version: all is observed anew: %s", self._path, error)
            return {}

    def prepare(self, scopes: Scopes) -> str:
        """Makes what will be known durable, beside what is, and returns its digest."""
        data = _encode(scopes)
        write_file(self._disk, self._next, data, 0o600)
        return sha256(data).hexdigest()

    def adopt(self) -> None:
        """What was prepared is now what is known."""
        self._disk.rename(self._next, self._path)
        self._disk.sync_directory(self._directory)


def _encode(scopes: Scopes) -> bytes:
    return orjson.dumps(
        {
            name: {
                "time": scope.time,
                "objects": {key: _facts(seen.snapshot) for key, seen in scope.objects.items()},
            }
            for name, scope in scopes.items()
        }
    )


def _facts(snapshot: Snapshot) -> dict[str, Json]:
    return {
        "state": snapshot.state,
        "redacted": list(snapshot.redacted),
        "names": list(snapshot.names),
        "by": dict(snapshot.by),
        "where": dict(snapshot.where),
    }


def _decode(data: bytes) -> Scopes:
    """Reads what `_encode` wrote. Raises KeyError and others for what another version wrote."""
    return {
        name: Scope(
            one["time"], {key: Seen.of(Snapshot(**facts)) for key, facts in one["objects"].items()}
        )
        for name, one in orjson.loads(data).items()
    }
