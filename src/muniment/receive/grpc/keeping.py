"""From a call's records to the log: packed under their header, queued, durable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from muniment.clock import Clock, rfc3339
from muniment.errors import TryLater
from muniment.log import Batch
from muniment.receive.durable import durable, until_durable
from muniment.receive.groups import Records, pack
from muniment.receive.grpc.call import Call
from muniment.receive.header import Origin
from muniment.receive.port import Count
from muniment.receive.target import Target

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """Counts of one service. `messages` are records received, `bytes` what they came in."""

    messages: int = 0
    bytes: int = 0
    entries: int = 0
    retries: int = 0
    refused: int = 0
    abandoned: int = 0

    def counts(self, name: str) -> Sequence[Count]:
        """Returns the numbers under the name of the service."""
        return (
            Count("receive_messages", name, "Records received.", lambda: self.messages),
            Count("receive_bytes", name, "Bytes received.", lambda: self.bytes),
            Count("receive_entries", name, "Entries durable.", lambda: self.entries),
            Count("receive_retries", name, "Batches tried again.", lambda: self.retries),
            Count("receive_refused", name, "Calls refused.", lambda: self.refused),
            Count("receive_abandoned", name, "Records given up.", lambda: self.abandoned),
        )


class Keeper:
    """Makes the records of calls durable; counts them."""

    def __init__(
        self, target: Callable[[str], Target], node: str, clock: Clock, tally: Tally
    ) -> None:
        self._target, self._node, self._clock, self.tally = target, node, clock, tally

    async def keep(self, call: Call, via: str, groups: Sequence[Records]) -> None:
        """Returns when all records are durable, at once where there are none.

        Raises TryLater where the log takes none now, TooLarge where a header would be too long.
        """
        batch = await self._pack(call, via, groups)
        if batch is not None:
            await durable(self._target(call.log).submit(batch))
            self.tally.entries += batch.count

    async def keep_asking(self, call: Call, via: str, groups: Sequence[Records]) -> None:
        """As `keep`, but asks a log that takes nothing again, however long that lasts."""
        batch = await self._pack(call, via, groups)
        if batch is None:
            return
        try:
            await until_durable(self._target(call.log).submit, batch, partial(self._refused, via))
        except BaseException:
            self.tally.abandoned += batch.count
            _logger.error("%s: %d received records were given up", via, batch.count)
            raise
        self.tally.entries += batch.count

    def _refused(self, via: str, error: TryLater) -> None:
        if not self.tally.retries % 100:
            _logger.warning("%s: received records wait: %s", via, error.detail)
        self.tally.retries += 1

    async def _pack(self, call: Call, via: str, groups: Sequence[Records]) -> Batch | None:
        size = sum(sum(map(len, group.records)) for group in groups)
        origin = Origin(via, "", call.peer, call.caller.name)
        at = rfc3339(self._clock.now())
        batch = Batch(await call.run(size, pack, groups, at, self._node, origin))
        return batch if batch.count else None
