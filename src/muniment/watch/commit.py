"""Putting records of Muniment's own into a log, durable before anything else happens."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from muniment.clock import Clock, rfc3339
from muniment.errors import TryLater
from muniment.log import Batch
from muniment.receive.durable import until_durable
from muniment.receive.groups import pack_records
from muniment.receive.header import Origin
from muniment.receive.target import Target
from muniment.watch.records import Record

_ORIGIN = Origin("muniment", "muniment")


class Committer:
    """Puts records into a log, however often it has to be asked."""

    def __init__(self, target: Target, node: str, clock: Clock) -> None:
        self._target, self._node, self._clock = target, node, clock
        self.retries = self.records = 0

    async def __call__(self, records: Sequence[Record]) -> None:
        """Returns when the records are durable. Raises what the log refuses for good."""
        texts = [orjson.dumps({"actor": "muniment", **record}) for record in records]
        batch = Batch(pack_records(texts, rfc3339(self._clock.now()), self._node, _ORIGIN))
        await until_durable(self._target.submit, batch, self._refused)
        self.records += len(records)

    def _refused(self, error: TryLater) -> None:  # noqa: ARG002
        self.retries += 1
