"""A file written anew under its own name: what it held, in a file whose syncs have not failed."""

from __future__ import annotations

from pathlib import Path

from muniment.log.disk import Disk

_PIECE = 8 << 20


def rewrite(disk: Disk, path: Path, length: int) -> None:
    """Puts the first `length` bytes of a file, durable, in its place; a crash leaves old or new.

    Raises OSError; where there was no room, the draft `.<name>.new` is left and has to go.
    """
    draft = path.with_name(f".{path.name}.new")
    if draft.name in disk.names(path.parent):
        disk.remove(draft)
    file = disk.create(draft)
    try:
        for offset in range(0, length, _PIECE):
            file.write(disk.read(path, offset, min(_PIECE, length - offset)))
        file.sync()
    finally:
        file.close()
    disk.rename(draft, path)
    disk.sync_directory(path.parent)
