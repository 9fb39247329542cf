"""The files of a local store: drafts that a crash leaves hidden, and names that appear whole.

<folder>/<key>            an object, mode 0444; see `local_names`
<folder>/.../.<name>.lock its retention and hold; see `local_policy`
<folder>/.muniment/       drafts, and the guard: an empty file, of which those who change an object
                          lock one byte, by the object's key
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from muniment.errors import StoreFailing
from muniment.log.disk import PosixDisk
from muniment.store.local_attribute import set_immutable
from muniment.store.local_names import path_of
from muniment.store.port import Body

OWN, DRAFTS, GUARD = ".muniment", "drafts", "guard"
CHUNK = 1 << 20
PAUSE = 0.005
"""Seconds between two looks at a lock that another process holds."""

_REASONS = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EACCES: "credentials",
    errno.EPERM: "credentials",
    errno.EIO: "unreachable",
    errno.ENODEV: "unreachable",
    errno.ENOTCONN: "unreachable",
    errno.ESTALE: "unreachable",
    errno.ETIMEDOUT: "slow",
    errno.EMFILE: "busy",
    errno.ENFILE: "busy",
    errno.ENOLCK: "busy",
}


@contextlib.contextmanager
def translating(what: str, *, unknown: bool = False) -> Iterator[None]:
    """Turns OSError into StoreFailing; `unknown` where the object may stand there already."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, "refused")
        detail = f"{what}: {error.strerror or error}"
        raise StoreFailing(detail, reason=reason, unknown=unknown) from error


class Draft:
    """An open, synced file under a hidden name."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor

    def link(self, path: Path) -> bool:
        """Gives the file its name, unless it is taken: atomic, also over NFS (link(2)).

        Where an answer of NFS was lost and the request repeated, EEXIST speaks of our own link:
        the count of links tells.
        """
        try:
            os.link(self.path, path, follow_symlinks=False)
        except FileExistsError:
            if os.fstat(self.descriptor).st_nlink < 2:
                return False
        self.path.unlink()
        return True


class LocalFiles:
    """A folder of objects. Raises OSError, and StoreFailing where it waits too long."""

    def __init__(self, root: Path, timeout: float) -> None:
        self.root, self._timeout = root, timeout
        self._disk = PosixDisk()
        self._is_ready = False

    def ready(self) -> None:
        """Makes the folder, in one that is there, and removes the drafts of those who died."""
        if self._is_ready:
            return
        drafts = self.root / OWN / DRAFTS
        try:
            if not drafts.is_dir():
                if not self.root.parent.is_dir():
                    raise StoreFailing(f"{self.root.parent} is not there", reason="unreachable")
                self.root.mkdir(mode=0o700, exist_ok=True)
                self._disk.make_directory(self.root / OWN)
                (self.root / OWN / GUARD).touch(mode=0o600)  # now: a full disk has no room for it
                self._disk.make_directory(drafts)
            self._sweep(drafts)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES) or not self.root.is_dir():
                raise
        self._is_ready = True

    def path(self, key: str) -> Path:
        """The file of a key. Raises StoreFailing for what is no key."""
        return self.root.joinpath(*path_of(key))

    def make_folder(self, path: Path) -> None:
        """Makes the folders of a file, durably."""
        self._disk.make_directory(path.parent)

    def sync_folder(self, path: Path) -> None:
        """Makes the names beside a file durable."""
        self._disk.sync_directory(path.parent)

    @contextlib.contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Only one thread of one process changes the object of a key; not to be nested.

        A process that hangs in here keeps others from this key alone, not from the rest of the
        store. Raises StoreFailing after the time-out.
        """
        self.path(key)  # refuses what is no key
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.root / OWN / GUARD, flags, 0o600)  # ours: threads wait, too
        try:
            give_up = time.monotonic() + self._timeout
            while not lock_byte(descriptor, byte_of(key)):
                if time.monotonic() > give_up:
                    detail = f"{self.root}: {key} is held by another process"
                    raise StoreFailing(detail, reason="busy")
                time.sleep(PAUSE)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def draft(self, body: Body, sha256: bytes) -> Iterator[Draft]:
        """A draft with these bytes, synced, mode 0444; removed where it got no name.

        It waits for no other process: one that hangs must not keep others from their first writes,
        the fences of a takeover above all. Raises StoreFailing where the bytes do not have the
        given SHA-256.
        """
        path, descriptor = self._empty_draft()
        try:
            if sha256 not in (b"", _write(descriptor, body)):
                raise StoreFailing("the bytes have another SHA-256 than the one given")
            os.fchmod(descriptor, 0o444)
            os.fsync(descriptor)
            yield Draft(path, descriptor)
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            os.close(descriptor)

    def replace(self, path: Path, data: bytes) -> None:
        """Puts a small durable file in the place of another; a crash leaves old or new."""
        with self.draft(data, b"") as draft:
            draft.path.rename(path)
            self.sync_folder(path)

    def can_lock(self) -> bool:
        """Whether the immutable attribute holds here: tried on a draft, which is removed again."""
        with self.draft(b"", b"") as draft:
            try:
                return set_immutable(draft.path, True) and not _writable(draft.path)
            finally:
                set_immutable(draft.path, False)

    def read(self, path: Path, offset: int = 0, length: int | None = None) -> bytes:
        """Returns bytes of a regular file. FileNotFoundError where there is none."""
        return self._disk.read(path, offset, length) if is_file(path) else _none(path)

    def _empty_draft(self) -> tuple[Path, int]:
        """A file of ours and its descriptor, locked so that no sweep takes it for a dead one's."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            path = self.root / OWN / DRAFTS / secrets.token_hex(16)
            descriptor = os.open(path, flags, 0o600)
            try:
                if _locked(descriptor) and os.fstat(descriptor).st_nlink == 1:
                    return path, descriptor
            except OSError:  # such as a share that knows no locks
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
            os.close(descriptor)  # a sweep came between the two

    def _sweep(self, drafts: Path) -> None:
        for path in list(drafts.iterdir()):
            # Its writer has just come to its end, or its object has become immutable since.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                self._remove_dead(path)

    def _remove_dead(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if not _locked(descriptor, fcntl.LOCK_SH):  # NFS takes no other, only to read
                return  # somebody writes it now
            if os.fstat(descriptor).st_nlink == 1:
                set_immutable(path, False)
            path.unlink()
        finally:
            os.close(descriptor)


def _locked(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def byte_of(key: str) -> int:
    """The byte of the guard that belongs to a key; the file itself stays empty."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")


def lock_byte(descriptor: int, byte: int) -> bool:
    """Locks a byte for this open file (fcntl(2), F_OFD_SETLK), unless another has it locked."""
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)  # struct flock
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):  # EAGAIN, or EACCES in some systems
        return False
    return True


def _write(descriptor: int, body: Body) -> bytes:
    """Writes all of it and returns its SHA-256."""
    digest = hashlib.sha256()
    if isinstance(body, bytes):
        _write_all(descriptor, body)
        digest.update(body)
    else:
        with body.open("rb") as source:
            while chunk := source.read(CHUNK):
                _write_all(descriptor, chunk)
                digest.update(chunk)
    return digest.digest()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _writable(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    except PermissionError:
        return False
    return True


def is_file(path: Path) -> bool:
    """Whether there is a regular file, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _none(path: Path) -> bytes:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
