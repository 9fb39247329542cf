"""Attachments: bodies larger than an entry, kept write-once by their SHA-256.

The body is durable before the entry that names it is put: first here (`files`), under durability
`replicated` in the primary store as well (`copies`). The entry holds digest, size, media type and
name (`entry`). A crash between the two leaves a body that no entry names; it is harmless, and
whoever sends it again adopts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from muniment.errors import NoSuchObject
from muniment.store.attachments.copies import READ, Copies
from muniment.store.attachments.entry import Claim, Said, batch_id, claim_of, record_of
from muniment.store.attachments.files import PIECE, Draft, Files, Kept

__all__ = [
    "PIECE",
    "Attachments",
    "Claim",
    "Copies",
    "Draft",
    "Files",
    "Kept",
    "Opened",
    "Said",
    "batch_id",
    "claim_of",
    "record_of",
]


WORKERS = 16


@dataclass(frozen=True, slots=True)
class Opened:
    """An attachment that is read: its size, and its bytes in pieces, which nobody has checked yet.

    A piece has `piece` bytes at most.
    """

    size: int
    pieces: Iterator[bytes]
    piece: int = PIECE


class Attachments:
    """The attachments of a node: its files, and the copies in its primary store where it has one.

    `replicated` says that a body must be in the store before its entry is acknowledged. Safe for
    several threads; all methods block, for as long as a store's time-outs last: `workers` are
    threads for them that nobody else waits for.
    """

    def __init__(
        self, files: Files, copies: Copies | None = None, *, replicated: bool = False
    ) -> None:
        self.files, self._copies, self._replicated = files, copies, replicated
        self.workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="attachments")

    def confirm(self, log: str, kept: Kept) -> None:
        """Returns once a body is where the log's durability wants it.

        Raises StoreFailing where the store does not have it, Corrupt where it has other bytes.
        """
        if self._replicated and self._copies is not None:
            self._copies.keep(log, kept, self.files.path(log, kept.sha256))

    def open(self, log: str, sha256: bytes) -> Opened:
        """Opens an attachment: the local file, else the copy in the primary store.

        Raises NoSuchObject, StorageFailing, StoreFailing; the pieces may raise them, too.
        """
        size = self.files.size(log, sha256)
        if size is not None:
            return Opened(size, self.files.pieces(log, sha256))
        if self._copies is not None:
            found = self._copies.find(log, sha256)
            if found is not None:
                return Opened(found.size, self._copies.pieces(found), READ)
        raise NoSuchObject(f"the log {log} has no attachment {sha256.hex()}")
