"""A store in a local directory: one file an object, at a path that is its key.

`put_if_absent` is a hidden draft, synced, and a hard link, which fails where the name is taken: of
any number of writers one wins, over NFS too. A crash leaves the object whole, or not at all. There
are no versions, and a key cannot go on below another: `a` and `a/b` exclude each other.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from muniment.clock import Clock, SystemClock
from muniment.errors import NoSuchObject, StoreFailing, StoreLocked
from muniment.settings.store import Connection
from muniment.store import fencing
from muniment.store.bounded import MAX_OBJECT
from muniment.store.local_files import Draft, LocalFiles, is_file, translating
from muniment.store.local_names import CONTINUED, folder_part_of, part_of, path_of
from muniment.store.local_policy import LocalPolicy
from muniment.store.locks import asked
from muniment.store.port import Body, Lock, Object


class LocalStore:
    """The Store of a `file:///` URL. The directory is made, in one that is there.

    The system's own calls have no time-out: a directory over a network that hangs, hangs.
    """

    def __init__(self, connection: Connection, name: str, *, clock: Clock | None = None) -> None:
        self.name, self.url = name, connection.url
        self._files = LocalFiles(Path(connection.prefix), connection.timeout)
        self._clock = clock or SystemClock()
        self._policy = LocalPolicy(self._files, self._clock, self.list)

    @property
    def write_once(self) -> LocalPolicy:
        return self._policy

    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        lock = asked(key, lock, self._clock.now())
        path = self._path_for_writing(key)
        with (
            translating(key),
            self._files.draft(body, sha256) as draft,
            translating(key, unknown=True),
            self._files.alone(key),
        ):
            self._policy.free(key, path)
            self._policy.put_in_place(draft.path, path, lock)
        return ""

    def put_if_absent(
        self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None
    ) -> str | None:
        lock = asked(key, lock, self._clock.now())
        path = self._path_for_writing(key)
        if is_file(path):
            return None
        with translating(key), self._files.draft(body, sha256) as draft:
            if not self._link(draft, key, path):
                return None
            with translating(key, unknown=True):
                self._files.sync_folder(path)
                if lock is not None:
                    self._lock_new(key, path, lock)
        return ""

    def fences(self, prefix: str) -> bool:
        return fencing.fences(self, prefix)

    def get(self, key: str, *, version: str = "") -> bytes:
        data = self._read(key, version, 0, MAX_OBJECT + 1)
        if len(data) > MAX_OBJECT:
            raise StoreFailing(f"{self.url}: {key} is over {MAX_OBJECT} bytes")
        return data

    def get_range(self, key: str, offset: int, length: int, *, version: str = "") -> bytes:
        return self._read(key, version, offset, length)

    def head(self, key: str, *, version: str = "") -> Object | None:
        with translating(key):
            self._files.ready()
            path = self._files.path(key)
            if version or not is_file(path):
                return None
            try:
                return _object(key, path.stat(follow_symlinks=False))
            except FileNotFoundError:
                return None

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Object]:
        with translating(f"{self.url}: list {prefix}"):
            self._files.ready()
            for key, path in self._walk(self._files.root, "", prefix, after):
                try:
                    found = _object(key, path.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue  # removed meanwhile
                yield found

    def remove(self, key: str) -> None:
        self._policy.remove(key)

    def close(self) -> None:
        """Nothing is kept open."""

    def _path_for_writing(self, key: str) -> Path:
        with translating(key):
            self._files.ready()
            path = self._files.path(key)
            self._files.make_folder(path)
            if path.is_dir():
                raise StoreFailing(f"{key}: there are keys below it", reason="refused")
        return path

    def _lock_new(self, key: str, path: Path, lock: Lock) -> None:
        try:
            with self._files.alone(key), suppress(StoreLocked):  # by another, since it is there
                self._policy.strengthen(key, path, lock)
        except StoreFailing as error:
            error.unknown = True  # the object is there, durably, and not locked
            raise

    def _link(self, draft: Draft, key: str, path: Path) -> bool:
        with translating(key, unknown=True):
            return draft.link(path)

    def _read(self, key: str, version: str, offset: int, length: int) -> bytes:
        with translating(key):
            self._files.ready()
            path = self._files.path(key)
            try:
                if not version:
                    return self._files.read(path, offset, length)
            except FileNotFoundError:
                pass
            raise NoSuchObject(f"{self.url}: there is no {key}")

    def _walk(
        self, folder: Path, before: str, prefix: str, after: str
    ) -> Iterator[tuple[str, Path]]:
        """Yields keys with their files, by key. Folders that cannot have any are left alone."""
        found: list[tuple[str, Path, bool]] = []
        for entry in os.scandir(folder):
            is_folder = entry.is_dir(follow_symlinks=False)
            part = folder_part_of(entry.name) if is_folder else part_of(entry.name)
            if part is None or entry.name.startswith("."):
                continue
            text = before + part
            if is_folder and _may_hold(text, prefix, after):
                found.append((text, Path(entry.path), True))
            elif (
                entry.is_file(follow_symlinks=False)
                and text.startswith(prefix)
                and text > after
                and self._is_at(text, entry.path)
            ):
                found.append((text, Path(entry.path), False))
        found.sort()
        branches = (
            self._walk(path, text, prefix, after) if is_folder else iter([(text, path)])
            for text, path, is_folder in found
        )
        if any(path.name.endswith(CONTINUED) for _, path, is_folder in found if is_folder):
            yield from heapq.merge(*branches)  # a cut part and others may begin alike
        else:
            for branch in branches:
                yield from branch

    def _is_at(self, key: str, path: str) -> bool:
        """Whether a file lies where its key says: nobody else's file passes for an object."""
        try:
            return Path(path).parts[len(self._files.root.parts) :] == tuple(path_of(key))
        except StoreFailing:
            return False


def _may_hold(folder: str, prefix: str, after: str) -> bool:
    """Whether keys that begin with `folder` may begin with `prefix` and stand behind `after`."""
    if not (folder.startswith(prefix) or prefix.startswith(folder)):
        return False
    return folder >= after[: len(folder)]


def _object(key: str, stat: os.stat_result) -> Object:
    return Object(key, stat.st_size, "", datetime.fromtimestamp(stat.st_mtime, UTC))
