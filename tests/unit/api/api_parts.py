"""What the API's tests stand on: a real shard on disk, and a query process that is not there."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muniment.access import Guard, Scope, Tokens
from muniment.api import Context, Limits
from muniment.api.server import HttpServer
from muniment.errors import MunimentError
from muniment.log import Acknowledgement, Batch, Health, Shard
from muniment.log.note import Signer
from muniment.log.waiting import Done

NAME = "5f0c1a9e"


class ScriptedQuery:
    """Answers with what a test puts into it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.error: MunimentError | None = None
        self.behind: int | None = None
        self.pages: list[dict[str, Any]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.grown = asyncio.Event()

    def _answer(self, operation: str, answer: dict[str, Any], **asked: Any) -> dict[str, Any]:
        self.asked.append((operation, asked))
        if self.error is not None:
            raise self.error
        return answer

    async def search(self, log: str, q: str, **asked: Any) -> dict[str, Any]:
        answer = {"rows": [], "next": None, "indexed": {}, "lag": 0, "partial": False}
        return self._answer("search", answer, log=log, q=q, **asked)

    async def histogram(self, log: str, q: str, **asked: Any) -> dict[str, Any]:
        more = {"total": 3, "indexed": {}, "lag": 0, "partial": False}
        answer = {"start": 1_000, "width": 500, "counts": [1, 0, 2], **more}
        return self._answer("histogram", answer, log=log, q=q, **asked)

    async def sql(self, statement: str, **asked: Any) -> dict[str, Any]:
        answer = {"columns": [], "rows": [], "truncated": False, "lag": 0}
        return self._answer("sql", answer, statement=statement, **asked)

    async def ask(self, question: str, log: str, **asked: Any) -> dict[str, Any]:
        return self._answer(question, dict(self.answers.get(question, {})), log=log, **asked)

    async def tail(
        self, log: str, q: str, *, after: Mapping[str, int], limit: int, wait: float
    ) -> dict[str, Any]:
        self._answer("tail", {}, log=log, q=q, after=dict(after))
        if self.pages:
            return self.pages.pop(0)
        if wait:
            await self.grown.wait()
        return {"rows": [], "after": {NAME: -1} | dict(after)}

    def lag(self, log: str) -> int | None:
        return self.behind

    def duplicates(self, log: str) -> tuple[int, int]:
        return 7, 2

    async def status(self) -> dict[str, Any]:
        return self._answer("status", {"logs": {}, "resident_bytes": 1})


class FailingShard:
    """A shard in front of a real one, whose writer refuses as a test says."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self.refusal: MunimentError | None = None
        self.health = Health()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shard, name)

    def offer(self, batch: Batch, done: Done) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._shard.offer(batch, done)

    def submit(self, batch: Batch) -> Future[Acknowledgement]:
        if self.refusal is not None:
            raise self.refusal
        return self._shard.submit(batch)


def open_shard(directory: Path, log: str = "default") -> Shard:
    """A new shard on disk."""
    signer = Signer(f"muniment.test/{log}/{NAME}", bytes(range(32)))
    path = directory / log / NAME
    path.parent.mkdir(parents=True)
    Shard.create(path, signer)
    return Shard.open(path, signer, log=log)


def make_context(
    directory: Path,
    shards: Mapping[str, Any],
    *,
    limits: Limits | None = None,
    required: bool = False,
    query: ScriptedQuery | None = None,
    edges: frozenset[str] = frozenset(),
    writers: frozenset[str] = frozenset(),
) -> Context:
    """The context of a node with these shards, one a log."""
    tokens = Tokens.open(directory / "tokens.json")
    guard = Guard(tokens, required=required)
    logs = {log: {NAME: shard} for log, shard in shards.items()}
    return Context(
        "test-node",
        logs,
        query or ScriptedQuery(),
        guard,
        tokens,
        limits or Limits(),
        tokens_required=required,
        edges=edges,
        writers=writers,
    )


def token(context: Context, *scopes: Scope) -> dict[str, str]:
    """The header of a new token."""
    shown = context.tokens.create("tester", scopes or list(Scope))
    return {"authorization": f"Bearer {shown}"}


@dataclass
class Served:
    """A real server on a free port."""

    context: Context
    port: int
    server: HttpServer
    loop: asyncio.AbstractEventLoop

    def stop(self) -> None:
        """Makes it stop, as a node does; for any thread."""
        self.loop.call_soon_threadsafe(self.context.stopping.set)
        self.server.stop()

    def connect(self) -> socket.socket:
        """A TCP connection to it, with a time-out that only a broken server reaches."""
        return socket.create_connection(("127.0.0.1", self.port), 60)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


Serve = Callable[..., Served]


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until something holds; fails when it still does not after a long time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
