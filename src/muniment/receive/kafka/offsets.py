"""Which offsets of a group may be committed, and which were."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

Place = tuple[str, int]
"""A topic and the number of a partition."""


class Offsets:
    """The next offset of each partition, as far as records are durable. For one thread.

    `topic_partition` makes the client's object of a topic, a partition and an offset.
    """

    def __init__(self, topic_partition: Callable[[str, int, int], Any]) -> None:
        self._topic_partition = topic_partition
        self._durable: dict[Place, int] = {}
        self._asked: dict[Place, int] = {}

    @property
    def places(self) -> Collection[Place]:
        """The partitions of which something is durable."""
        return self._durable.keys()

    def durable(self, place: Place, following: int) -> None:
        """Says that all records before an offset are durable."""
        self._durable[place] = following

    def commit(self, consumer: Any, *, asynchronous: bool) -> None:
        """Commits what is durable and was not committed yet. Raises KafkaException."""
        changed = {
            place: offset
            for place, offset in self._durable.items()
            if self._asked.get(place) != offset
        }
        if changed:
            found = [self._topic_partition(*place, offset) for place, offset in changed.items()]
            consumer.commit(offsets=found, asynchronous=asynchronous)
            self._asked.update(changed)

    def failed(self, partitions: Iterable[Any]) -> None:
        """Lets the next commit try these partitions again."""
        for found in partitions:
            self._asked.pop((found.topic, found.partition), None)

    def forget(self, place: Place) -> None:
        """Drops a partition that is another member's now, or will be read anew."""
        self._durable.pop(place, None)
        self._asked.pop(place, None)
