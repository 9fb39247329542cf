"""The replica as the log needs it: a second, remote place for each append, before it is told of.

A shard of durability `replicated` gives each append to its replica first, and to its own disk when
the replica has it: the disk never knows more than the replica. So whoever continues from the
replica alone continues the same history, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from muniment.errors import MunimentError


class Act(IntEnum):
    """What an append is: a group commit of entries, a checkpoint, or a seal.

    SEAL says that the segment before ends here although nothing follows yet. It has no frames, as
    everybody can make those of a seal; `segment`, `first` and `size` are the tree's size.
    """

    GROUP = 1
    CHECKPOINT = 2
    SEAL = 3


@dataclass(frozen=True, slots=True)
class Append:
    """Frames that go to the end of a shard's segments, all or none.

    `first` is the tree's size before and `size` after it, `root` its root after it. `segment` is
    the first index of the segment that the frames go to: where that is not the one before, that
    one is sealed first, and this append begins a new one.
    """

    act: Act
    segment: int
    first: int
    size: int
    root: bytes
    frames: bytes


Stored = Callable[[MunimentError | None], None]
"""Told None once an append is stored; Fenced, or another error where it never will be."""


class Replica(Protocol):
    """Stores appends in order. One caller; `stored` is called on a thread of the replica's."""

    @property
    def trouble(self) -> str:
        """Why appends are not stored now, in words, or nothing; seconds behind, not once a call."""

    def put(self, append: Append, stored: Stored) -> None:
        """Begins to store an append; returns at once, also while those before are under way.

        `stored` is called once for each, in the order of the calls, and with None only where all
        before it are stored too. The replica goes on for as long as the store refuses; only
        Fenced (for this and all later appends) and Unavailable (closed before it was stored) end
        that.
        """

    def close(self, seconds: float) -> None:
        """Waits up to `seconds` for what is under way, gives up the rest, and ends the threads."""
