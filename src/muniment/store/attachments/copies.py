"""Attachments in a store: put with a lock, read back, found again behind a delete marker."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from muniment.errors import Corrupt, NoSuchObject
from muniment.store.attachments.files import PIECE, Kept
from muniment.store.inventory import first_version
from muniment.store.names import attachment_key, attachments_prefix, parse
from muniment.store.port import Lock, Object, Store

LockFor = Callable[[str], Lock | None]
"""Gives the lock that an object of a log gets now; None where it gets none of its own."""

READ = 4 * PIECE
"""Bytes that one request reads."""


class Copies:
    """The attachments in one store. Safe for several threads; blocks."""

    def __init__(self, store: Store, lock_for: LockFor) -> None:
        self._store, self._lock_for = store, lock_for

    def keep(self, log: str, kept: Kept, path: Path) -> None:
        """Puts a file unless the store has it, and reads it back; then it may be told of.

        A copy that is there is locked for as long as a new one would be. Raises StoreFailing, and
        Corrupt where the store holds other bytes under that name.
        """
        lock = self._lock_for(log)
        found = self.find(log, kept.sha256)
        if found is None:
            key = attachment_key(log, kept.sha256)
            version = self._store.put(key, path, sha256=kept.sha256, lock=lock)
            found = self.find(log, kept.sha256) or Object(key, kept.size, version)
        elif lock is not None:
            self._extend(found, lock)
        place = f"{self._store.url}/{found.key}"
        if found.size != kept.size:
            raise Corrupt(place, 0, f"{kept.size:,} bytes", f"{found.size:,}")
        hashed = hashlib.sha256()
        size = 0
        for piece in self.pieces(found):
            hashed.update(piece)
            size += len(piece)
        if hashed.digest() != kept.sha256:
            read = f"{size:,} bytes of SHA-256 {hashed.hexdigest()}"
            raise Corrupt(place, 0, f"SHA-256 {kept.sha256.hex()}", read)

    def find(self, log: str, sha256: bytes) -> Object | None:
        """Returns the copy of an attachment, its oldest version; None where there is none."""
        return first_version(self._store, attachment_key(log, sha256))

    def pieces(self, found: Object) -> Iterator[bytes]:
        """Yields the bytes of a copy. Raises StoreFailing, NoSuchObject."""
        offset = 0
        while offset < found.size:
            length = min(READ, found.size - offset)
            piece = self._store.get_range(found.key, offset, length, version=found.version)
            if not piece:
                raise NoSuchObject(f"{self._store.url}/{found.key} ends at byte {offset:,}")
            yield piece
            offset += len(piece)

    def names(self, log: str) -> Iterator[bytes]:
        """Yields the SHA-256 of each attachment of a log that the store has or hides, in order."""
        last = b""
        for one in self._store.write_once.versions(attachments_prefix(log)):
            name = parse(one.key)
            if name is not None and name.digest and name.digest != last and not one.marker:
                last = name.digest
                yield last

    def _extend(self, found: Object, lock: Lock) -> None:
        policy = self._store.write_once
        now = policy.state(found.key, version=found.version).lock
        if now is None or now.until < lock.until:
            policy.extend(found.key, lock, version=found.version)
