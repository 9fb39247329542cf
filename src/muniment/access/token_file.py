"""A token file that no server owns: changed by commands, one after the other, whole each time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from muniment.access.tokens import Tokens
from muniment.errors import InputError, Unavailable

PATIENCE = 10.0
"""Seconds that a change waits for another one to end."""

_LOOK_SECONDS = 0.05


@contextmanager
def changing(path: Path, *, patience: float = PATIENCE) -> Iterator[Tokens]:
    """Yields the tokens of a file, which nobody else changes meanwhile; no file is no token.

    What is made or revoked is durable in the file, whole or not at all, when the call returns. Its
    mode is 0600; its owner stays, as far as this user may say so. Raises InputError where the
    folder is not there, Unavailable where another change does not end, Corrupt, OSError.
    """
    path = path.resolve()
    with _locked(path.parent, patience):
        before = _owner(path)
        tokens = Tokens.open(path)
        try:
            yield tokens
        finally:
            if before is not None:
                _give_back(path, before)


@contextmanager
def _locked(folder: Path, patience: float) -> Iterator[None]:
    """Holds the folder: a lock on the file itself would stay with the one that is replaced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"there is no folder {folder}") from None
    try:
        _lock(descriptor, folder, time.monotonic() + patience)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Unavailable(
                    f"another command changes a token file in {folder}", retry_after=1
                ) from None
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _give_back(path: Path, owner: tuple[int, int]) -> None:
    """Makes the new file the old owner's. That one may write to the folder, and this may be root:
    what he has put there meanwhile, a link to another file, stays as it is.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        found = os.fstat(descriptor)
        ours = found.st_uid == os.geteuid() and found.st_nlink == 1
        if ours and (found.st_uid, found.st_gid) != owner:
            with suppress(PermissionError):
                os.fchown(descriptor, *owner)
    finally:
        os.close(descriptor)


def _owner(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_uid, found.st_gid
