"""A configuration file put in place so that every moment has a whole one: draft, check, replace.

The draft is written beside the file, in the same file system, with its owner and mode, and made
durable. The system validates the draft; then it takes the file's place in one step (rename(2)), the
system loads it, and what it did is looked at. Where loading fails, the old bytes come back the same
way. A symbolic link stays: what it leads to is replaced.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from muniment.errors import MunimentError
from muniment.rollback.port import ApplyFailed, CannotRollBack

MOST = 8 << 20
"""Bytes that a file may have."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file and what shall be in it; None: it shall not be there.

    `mode` is for a file that is not there yet: one that is keeps its mode and owner. `old` is what
    it held when the change was planned (None: it was not there).
    """

    path: Path
    content: bytes | None
    old: bytes | None
    mode: int = 0o644


def read_bounded(path: Path, most: int = MOST) -> bytes | None:
    """Returns a regular file's bytes, None where there is none. Raises CannotRollBack."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotRollBack(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CannotRollBack(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise CannotRollBack(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise CannotRollBack(f"{path} has more than {most} bytes")
    return content


@contextlib.contextmanager
def draft(change: FileChange) -> Iterator[Path | None]:
    """Writes the new content beside the file, durable; the draft is gone afterwards.

    Yields its path, or None where the file is to be removed. Raises ApplyFailed.
    """
    if change.content is None:
        yield None
        return
    if change.old is None and change.path.is_symlink():
        raise ApplyFailed(f"{change.path} is a link that leads to nothing; nothing was changed")
    target = _target(change.path)
    path = target.with_name(f".{target.name[:200]}.muniment-{secrets.token_hex(4)}")
    try:
        try:
            _write(path, change.content, target, change.mode)
        except OSError as error:
            raise ApplyFailed(f"{path} cannot be written: {error.strerror}") from error
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def replace(
    change: FileChange,
    validate: Callable[[Path | None], str],
    reload: Callable[[], str],
    verify: Callable[[], str],
) -> list[str]:
    """Does all of it and returns what was done and answered, in words.

    `validate` gets the draft (None for a removal); it, `reload` and `verify` return the system's
    answer or raise MunimentError. Raises ApplyFailed; then the file is as it was, and loaded again
    where it had been replaced, as far as that can be; the detail says which.
    """
    with draft(change) as path:
        answers = [_checked(validate, path)]
        _refuse_if_moved(change)
        _put(change, path)
    answers.append(f"{change.path} {'removed' if change.content is None else 'replaced'}")
    try:
        answers += [reload(), verify()]
    except MunimentError as error:
        back = _put_back(change, reload)
        raise ApplyFailed(f"{error.detail}; {back}") from error
    return [answer for answer in answers if answer]


def _checked(validate: Callable[[Path | None], str], path: Path | None) -> str:
    try:
        return validate(path)
    except ApplyFailed:
        raise
    except MunimentError as error:
        raise ApplyFailed(f"{error.detail}; nothing was changed") from error


def _refuse_if_moved(change: FileChange) -> None:
    try:
        now = read_bounded(change.path)
    except CannotRollBack as error:
        raise ApplyFailed(f"{error.detail}; nothing was changed") from error
    if now != change.old:
        raise ApplyFailed(f"{change.path} was changed by others meanwhile; nothing was changed")


def _put(change: FileChange, path: Path | None) -> None:
    target = _target(change.path)
    try:
        if path is None:
            target.unlink()
        else:
            path.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise ApplyFailed(f"{change.path} cannot be replaced: {error.strerror}") from error


def _put_back(change: FileChange, reload: Callable[[], str]) -> str:
    back = FileChange(change.path, change.old, change.content, change.mode)
    try:
        with draft(back) as path:
            _put(back, path)
        answer = reload()
    except MunimentError as error:
        return f"putting the old file back failed too: {error.detail}"
    return f"the old file is back ({answer or 'loaded again'})"


def _write(path: Path, content: bytes, like: Path, mode: int) -> None:
    """Writes a file that nobody else can read before it has the owner and mode of `like`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with contextlib.suppress(FileNotFoundError):
            found = like.stat()
            mode = stat.S_IMODE(found.st_mode)
            if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, found.st_uid, found.st_gid)
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
