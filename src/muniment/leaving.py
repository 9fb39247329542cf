"""How a node leaves: what it holds is sealed and handed over, so that nobody needs it any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

from muniment.clock import Clock
from muniment.log import Shard
from muniment.shards import AnyShard
from muniment.storing import Stores

HAND_OVER_SECONDS = 30.0
LOOK_SECONDS = 1.0
PAUSE = 0.05
NAMED = 5
_logger = logging.getLogger(__name__)

Shards = Mapping[str, Mapping[str, AnyShard]]


def written(shards: Shards) -> list[Shard]:
    """Returns the shards that this node may write."""
    every = [one for of_log in shards.values() for one in of_log.values()]
    return [one for one in every if isinstance(one, Shard)]


async def hand_over(shards: Shards, stores: Stores, clock: Clock, hurry: asyncio.Event) -> bool:
    """Seals the shards of this node, and waits until the primary store has them.

    Says whether it has, within HAND_OVER_SECONDS and before `hurry` is set; what it has not is
    carried at the next start. Without a store it is enough that they are sealed.
    """
    own = [shard for shard in written(shards) if shard.writable]
    for shard in own:
        shard.seal()
    deadline = clock.monotonic() + HAND_OVER_SECONDS
    while waiting := _waiting(own, stores):
        hopeless = all(not shard.health.ok for shard in waiting)
        if hopeless or hurry.is_set() or clock.monotonic() > deadline:
            names = ", ".join(f"{shard.log}/{shard.name}" for shard in waiting[:NAMED])
            _logger.warning("not handed over, carried at the next start: %s", names)
            return False
        await asyncio.sleep(PAUSE)
    return True


def _waiting(own: Sequence[Shard], stores: Stores) -> list[Shard]:
    """The shards that are not sealed to their end, or not whole in the primary store."""
    return [one for one in own if one.raw.end.offset or not stores.has(one.log, one.name, one.size)]


async def until_fenced(shards: Shards, stopping: asyncio.Event) -> Shard | None:
    """Returns a shard once another node has taken it over; None once `stopping` is set."""
    while not stopping.is_set():
        for shard in written(shards):
            if shard.fenced:
                return shard
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)
    return None
