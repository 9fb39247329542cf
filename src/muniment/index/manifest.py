"""The manifest of a log's index: `SHA256SUMS`, one line for each file of the Delta log.

The form is that of sha256sum(1). Parts carry their digest in their names and are named by the
Delta log, so with this every file of the index can be checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from muniment.index.part import sync_directory

NAME = "SHA256SUMS"
WORKING = "SHA256SUMS.tmp"
PENDING = "PENDING"
LOCK = "LOCK"
_LINE = re.compile(r"([0-9a-f]{64})  (_delta_log/[0-9A-Za-z._-]+)\Z", re.ASCII)

Sync = Callable[[int], None]


def parse_manifest(data: bytes) -> dict[str, str]:
    """Returns the digests by path. Raises ValueError that names the line which is wrong."""
    if data and not data.endswith(b"\n"):
        raise ValueError(f"line {data.count(10) + 1} is not whole")
    found: dict[str, str] = {}
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        match = _LINE.match(line.decode("ascii", "replace"))
        if match is None:
            raise ValueError(f"line {number} is not a digest, two spaces and a file name")
        if match[2] in found:
            raise ValueError(f"line {number} names {match[2]} a second time")
        found[match[2]] = match[1]
    return found


def format_manifest(digests: Mapping[str, str]) -> bytes:
    """Returns the text of a manifest."""
    return "".join(f"{digest}  {path}\n" for path, digest in digests.items()).encode()


def append_manifest(directory: Path, digests: Mapping[str, str], sync: Sync = os.fsync) -> None:
    """Adds lines, durably. A crash can leave the last line torn. Raises OSError."""
    with (directory / NAME).open("ab") as file:
        file.write(format_manifest(digests))
        file.flush()
        sync(file.fileno())


def replace_manifest(directory: Path, digests: Mapping[str, str], sync: Sync = os.fsync) -> None:
    """Puts another manifest in the place of the old one, durably and at once. Raises OSError."""
    with (directory / WORKING).open("wb") as file:
        file.write(format_manifest(digests))
        file.flush()
        sync(file.fileno())
    (directory / WORKING).replace(directory / NAME)
    sync_directory(directory, sync)
