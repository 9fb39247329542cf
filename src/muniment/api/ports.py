"""What the HTTP face needs of the log and of the query process, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from muniment.log import Acknowledgement, Batch, Health
from muniment.log.health import WriterMetrics
from muniment.log.proof_file import ProofFile
from muniment.log.pruned import Pruned
from muniment.log.raw import RawSegments
from muniment.log.waiting import Done

Answer = dict[str, Any]
"""A JSON object as the query process gives it."""


class Reader(Protocol):
    """Reads a shard; safe for several threads. See muniment.log.ShardReader."""

    @property
    def minimum(self) -> int: ...
    @property
    def pruned(self) -> Pruned | None: ...
    def entry(self, index: int) -> bytes: ...
    def entry_bundle(self, number: int, width: int = 256) -> bytes: ...
    def tile(self, level: int, number: int, width: int = 256) -> bytes: ...


class Shard(Protocol):
    """An open shard. See muniment.log.Shard."""

    log: str
    name: str
    verifier: str

    @property
    def reader(self) -> Reader: ...
    @property
    def origin(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def raw(self) -> RawSegments: ...
    @property
    def published_size(self) -> int: ...
    @property
    def health(self) -> Health: ...
    @property
    def metrics(self) -> WriterMetrics: ...

    @property
    def writable(self) -> bool: ...
    def knows(self, id_: str) -> bool: ...
    def offer(self, batch: Batch, done: Done) -> None: ...
    def submit(self, batch: Batch) -> Future[Acknowledgement]: ...
    def batch_ids(self) -> Sequence[str]: ...
    def checkpoint(self) -> str | None: ...
    def wait_published(self, size: int, timeout: float) -> bool: ...
    def prove(self, index: int) -> ProofFile: ...


Logs = Mapping[str, Mapping[str, Shard]]
"""The open shards by log and by name."""


class Query(Protocol):
    """Answers questions from the index. See muniment.query.client.QueryProcess.

    `start` and `end` are milliseconds since the epoch, the end not included. All raise QueryError
    for a text that is wrong and Unavailable while the process is not there.
    """

    async def search(
        self,
        log: str,
        q: str,
        *,
        start: int | None,
        end: int | None,
        limit: int,
        cursor: str | None,
        order: str,
    ) -> Answer: ...

    async def histogram(
        self, log: str, q: str, *, start: int | None, end: int | None, buckets: int
    ) -> Answer: ...

    async def sql(self, statement: str, *, log: str | Sequence[str], limit: int) -> Answer: ...

    async def tail(
        self, log: str, q: str, *, after: Mapping[str, int], limit: int, wait: float
    ) -> Answer: ...

    async def ask(self, question: str, log: str, **asked: Any) -> Answer: ...

    def lag(self, log: str) -> int | None: ...

    def duplicates(self, log: str) -> tuple[int, int]: ...

    async def status(self) -> Answer: ...
