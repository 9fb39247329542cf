"""What a receiver is: one protocol, started and stopped by the node, counted in the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Count:
    """A number for the metrics page; `gauge` says that it can fall.

    `name` stands after `muniment_`; `receiver` is the label that tells receivers apart.
    """

    name: str
    receiver: str
    help: str
    value: Callable[[], float]
    gauge: bool = False


class Receiver(Protocol):
    """Takes entries over one protocol and gives them to a shard."""

    @property
    def name(self) -> str:
        """What tells it apart from the others, in the metrics too."""

    @property
    def address(self) -> str:
        """Where it listens, with the real port."""

    @property
    def counts(self) -> Sequence[Count]:
        """Its numbers."""

    async def start(self) -> None:
        """Begins to take entries."""

    async def stop(self) -> None:
        """Takes nothing more, and returns when all that was taken is durable or given up.

        May be called again, and without `start`.
        """
