"""What the spool remembers of its streams apart from the parcels: where each of them stands.

It is written anew, as a whole, before a segment whose parcels are acknowledged is removed. A file
of its own has how far parcels were acknowledged: it is written often and never synced, for what it
loses is only sent again, and known again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from muniment import kernel
from muniment.capture.chain import HEAD_BYTES, Head
from muniment.capture.parcel import is_stream
from muniment.capture.snapshot import Json
from muniment.errors import Corrupt
from muniment.log.disk import Disk, write_file

STREAMS = "streams.json"
ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a stream stands: the number of its next record, its head, its feed's position."""

    next: int
    head: bytes
    position: Mapping[str, Json] | None = None

    @property
    def at(self) -> Head:
        """The head as a note about heads has it."""
        return Head(self.next - 1, self.head)


def write_streams(disk: Disk, directory: Path, streams: Mapping[str, Standing]) -> None:
    """Replaces the file of the streams, durably. Raises OSError."""
    found = {
        name: {"next": one.next, "head": one.head.hex(), "position": one.position}
        for name, one in streams.items()
    }
    data = orjson.dumps({"streams": found}, option=orjson.OPT_APPEND_NEWLINE)
    write_file(disk, directory / STREAMS, data, 0o600)


def read_streams(disk: Disk, directory: Path) -> dict[str, Standing]:
    """Returns the streams; none where there is no file yet. Raises Corrupt and OSError."""
    path = directory / STREAMS
    if STREAMS not in disk.names(directory):
        return {}
    try:
        found = orjson.loads(disk.read(path))["streams"]
        return {name: _standing(name, one) for name, one in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(str(path), 0, "the streams of a spool", str(error)[:100]) from error


def _standing(name: str, one: Any) -> Standing:
    next_, head, position = one["next"], bytes.fromhex(one["head"]), one["position"]
    if not is_stream(name) or type(next_) is not int or next_ < 1 or len(head) != HEAD_BYTES:
        raise ValueError(name[:80])
    if not (position is None or isinstance(position, dict)):
        raise TypeError(name[:80])
    return Standing(next_, head, position)


class Acknowledged:
    """The file that says how far parcels were acknowledged: a segment and an offset in it."""

    def __init__(self, directory: Path) -> None:
        path = directory / ACKNOWLEDGED
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not os.fstat(self._descriptor).st_size:
            with suppress(OSError):
                self.write(0, 0)  # its room on the disk, while there is some

    def read(self) -> tuple[int, int]:
        """Returns the place; (0, 0) where none is known."""
        data = os.pread(self._descriptor, 64, 0)
        if len(data) != 20 or kernel.crc32c(data[:16]).to_bytes(4, "big") != data[16:]:
            return 0, 0
        return int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big")

    def write(self, segment: int, offset: int) -> None:
        """Replaces the place. Raises OSError."""
        data = segment.to_bytes(8, "big") + offset.to_bytes(8, "big")
        os.pwrite(self._descriptor, data + kernel.crc32c(data).to_bytes(4, "big"), 0)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)
