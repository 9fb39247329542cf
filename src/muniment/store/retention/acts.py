"""What retention does to a log stands in that log first: own records, in the native form."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from muniment import kernel
from muniment.clock import Clock, rfc3339
from muniment.errors import TryLater, Unavailable
from muniment.log import Acknowledgement, Batch, Health
from muniment.log.note import Signer
from muniment.log.reader import ShardReader

SOURCE = "muniment"
TRIES = 5
PUBLISH_SECONDS = 10.0
ANSWER_SECONDS = 60.0

EXTENDED = "retention.extended"
PLACED, RELEASED = "hold.place", "hold.release"


class Shard(Protocol):
    """What retention needs of an open shard. See muniment.log.Shard."""

    name: str
    reader: ShardReader

    @property
    def origin(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def health(self) -> Health: ...
    def submit(self, batch: Batch) -> Future[Acknowledgement]: ...
    def wait_published(self, size: int, timeout: float) -> bool: ...
    def seal(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OpenShard:
    """An open shard, where its files are, and its key."""

    shard: Shard
    directory: Path
    signer: Signer


class Acts:
    """Commits records into one log. Blocks; for a thread that may."""

    def __init__(
        self,
        log: str,
        shards: Mapping[str, OpenShard],
        node: str,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.log = log
        self._shards, self._node, self._clock, self._sleep = shards, node, clock, sleep

    def put(
        self, record: Mapping[str, Any], id_: str, shard: str | None = None, sender: str = ""
    ) -> Acknowledgement:
        """Returns when the record is durable and under a published checkpoint.

        The same record under the same id is put once into a shard, however often this is called.
        `shard` names it, else it is the first one that takes entries. Raises TryLater.
        """
        opened = self._shards[shard] if shard else self._first()
        chosen = opened.shard
        header = {"at": rfc3339(self._clock.now()), "node": self._node, "via": SOURCE}
        header |= ({"from": sender} if sender else {}) | {"as": SOURCE}
        line = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        # No sender can guess a signature, and so take the id for a batch of its own.
        secret = opened.signer.signature(f"muniment.dev/act/v1\n{id_}\n")
        batch = Batch(kernel.pack_records([text], line), f"act {sha256(secret).hexdigest()}")
        found = self._submit(chosen, batch)
        if not chosen.wait_published(found.first + found.count, PUBLISH_SECONDS):
            raise Unavailable(f"no checkpoint of {self.log}/{chosen.name} covers the record yet")
        return found

    def _first(self) -> OpenShard:
        shards = [self._shards[name] for name in sorted(self._shards)]
        if not shards:
            raise Unavailable(f"no shard of {self.log} is open for writing")
        return next((one for one in shards if one.shard.health.ok), shards[0])

    def _submit(self, shard: Shard, batch: Batch) -> Acknowledgement:
        for left in reversed(range(TRIES)):
            try:
                return shard.submit(batch).result(timeout=ANSWER_SECONDS)
            except TimeoutError as error:
                raise Unavailable(f"{self.log}/{shard.name} does not take a record") from error
            except TryLater as error:
                if not left:
                    raise
                self._sleep(min(error.retry_after, 2))
        raise AssertionError("unreachable")
