"""What a shelf of the archive is: a shard's segments, or a log's attachments, by name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from muniment.store.archive.books import Books, Item
from muniment.store.archive.carry import Pause
from muniment.store.port import Body


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that a store does not have yet, as far as is known: bytes, and since when."""

    name: str
    length: int
    since: int


class Shelf(Protocol):
    """Finds what is to be carried, and makes the objects of it. Safe for several threads.

    `log` and `shard` are for metrics and records; of attachments `shard` is `attachments`.
    """

    log: str
    shard: str
    books: Books

    def waiting(self, store: str) -> list[Waiting]:
        """Returns what a store has not confirmed, oldest first, after a look at the disk."""

    def keys(self, name: str) -> list[str]:
        """The keys of an item's objects, in the order in which they are put."""

    def item(self, name: str) -> Item:
        """Returns an item with all that is to be known of it. Raises Corrupt, OSError."""

    def bodies(
        self, name: str, item: Item, lane: str, pause: Pause
    ) -> AbstractContextManager[list[Body]]:
        """Lends the bytes of an item's objects. Raises Corrupt, StoreFailing, OSError."""

    def held(self, name: str, item: Item) -> bool:
        """Whether a legal hold is on it."""

    def confirmed(self, name: str, stores: Mapping[str, object]) -> None:
        """Told that a store confirmed an item; `stores` are all that there are."""

    @property
    def incomplete(self) -> bool:
        """Whether something is neither on the local disk nor in the books."""

    def recover(self) -> None:
        """Makes the books agree with the store where they were lost. Raises StoreFailing."""


def moment(seconds: int) -> datetime:
    """Seconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def seconds(nanoseconds: int) -> int:
    """A time of the file system as whole seconds since the epoch, rounded up."""
    return -(-nanoseconds // 1_000_000_000)
