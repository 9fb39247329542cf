"""Who writes: a node by its name, and by 16 random bytes that stay with its data directory.

A node that starts again with its data directory goes on with its shards by itself. One that lost
it is another, whatever it is called: it must be told to take over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from muniment.data_names import INSTANCE
from muniment.errors import Corrupt, SettingsError
from muniment.log.disk import Disk, write_file

ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Node:
    """Who writes: the `node` setting, and 16 bytes that only this data directory has."""

    name: str
    instance: bytes


def node_instance(data: Path, disk: Disk, randomness: Callable[[int], bytes]) -> bytes:
    """Returns the bytes of the data directory, made at the first call.

    Raises Corrupt where the file holds anything else, SettingsError where it cannot be made.
    """
    path = data / INSTANCE
    try:
        if INSTANCE not in disk.names(data):
            write_file(disk, path, f"{randomness(ID_BYTES).hex()}\n".encode(), 0o600)
        text = disk.read(path)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error
    try:
        found = bytes.fromhex(text.decode("ascii").strip())
    except ValueError as error:
        raise Corrupt(str(path), 0, f"{ID_BYTES} bytes in hex", repr(text[:40])) from error
    if len(found) != ID_BYTES:
        raise Corrupt(str(path), 0, f"{ID_BYTES} bytes in hex", repr(text[:40]))
    return found
