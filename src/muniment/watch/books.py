"""What the follower of completeness remembers of a log, and the file where it does so.

The file only saves work: records of what was told stand in the log itself, and where the file is
lost, the follower begins again behind the last of them.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import msgspec

from muniment.log.disk import Disk, write_file
from muniment.watch.reconcile import KEPT_MS, Ledger
from muniment.watch.records import Counted, Numbered
from muniment.watch.sequence import Sequence

MAX_LEDGERS = 10_000
MAX_OF_SENDER = 1_000
"""Counters of one sender: nobody who may write takes the places of all others."""

MAX_SEQUENCES = 10_000
MAX_BYTES = 256 << 20
_logger = logging.getLogger(__name__)


class _CounterLine(msgspec.Struct):
    key: Counted
    ledger: Ledger


class _StreamLine(msgspec.Struct):
    key: Numbered
    sequence: Sequence


class _File(msgspec.Struct):
    version: int
    after: dict[str, int]
    seen: dict[str, int]
    ledgers: list[_CounterLine]
    streams: list[_StreamLine]


class Books:
    """The ledgers of a log, the numbers of its streams, and how far both were read.

    `after` is the last entry of each shard that was looked through for counters, `seen` the first
    one that was not yet for streams.
    """

    def __init__(self) -> None:
        self.after: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self.ledgers: dict[Counted, Ledger] = {}
        self.streams: dict[Numbered, Sequence] = {}
        self.left_out = 0

    def ledger(self, key: Counted) -> Ledger | None:
        """Returns the ledger of a counter, a new one for a new counter; None beyond the bound."""
        found = self.ledgers.get(key)
        if found is None:
            of_sender = sum(known.sender == key.sender for known in self.ledgers)
            if len(self.ledgers) >= MAX_LEDGERS or of_sender >= MAX_OF_SENDER:
                self.left_out += 1
                return None
            found = self.ledgers[key] = Ledger()
        return found

    def forget(self, now: int) -> None:
        """Forgets counters that nobody looks at, and the most silent streams beyond the bound."""
        for key, ledger in list(self.ledgers.items()):
            last = ledger.current.last.received if ledger.current else now
            if not ledger.waiting and last + KEPT_MS < now:
                del self.ledgers[key]
        over = len(self.streams) - MAX_SEQUENCES
        if over > 0:
            for silent in sorted(self.streams, key=lambda name: self.streams[name].at)[:over]:
                del self.streams[silent]

    def encode(self) -> bytes:
        """Returns the bytes of the file."""
        return msgspec.json.encode(
            _File(
                1,
                self.after,
                self.seen,
                [_CounterLine(*item) for item in self.ledgers.items()],
                [_StreamLine(*item) for item in self.streams.items()],
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Books | None:
        """Returns what a file holds; None where it cannot be used."""
        try:
            file = msgspec.json.decode(data, type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if file.version != 1:
            return None
        books = cls()
        books.after, books.seen = file.after, file.seen
        books.ledgers = {line.key: line.ledger for line in file.ledgers}
        books.streams = {line.key: line.sequence for line in file.streams}
        return books if all(_sound(ledger) for ledger in books.ledgers.values()) else None


def _sound(ledger: Ledger) -> bool:
    """Whether the counts of each segment are as many as there are stretches between looks."""
    return all(
        len(one.looks) == 1 + len(one.possible) == 1 + len(one.sure) == 1 + len(one.ended)
        and 0 <= one.settled <= len(one.looks)
        for one in ledger.all()
    )


def load(path: Path) -> Books | None:
    """Returns what a file holds; None where there is none that can be used."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    books = Books.decode(data)
    if books is None:
        _logger.warning("%s cannot be used; completeness begins anew", path)
    return books


def save(disk: Disk, path: Path, books: bytes) -> None:
    """Replaces the file. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
    write_file(disk, path, books, 0o600)
