"""Clients that write as fast as they are answered and remember what was acknowledged."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from .server import LOG


@dataclass(frozen=True)
class Sent:
    """Entries that were sent in one request, and its idempotency key where it had one."""

    lines: list[bytes]
    key: str | None

    def post(self, client: httpx.Client) -> httpx.Response:
        """Sends the request."""
        headers = {"Content-Type": "text/plain"}
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        path = f"/api/v1/logs/{LOG}/entries"
        return client.post(path, content=b"\n".join(self.lines), headers=headers)


@dataclass(frozen=True)
class Kept:
    """A request and its acknowledgement."""

    sent: Sent
    answer: dict[str, Any]

    @property
    def first(self) -> int:
        """The index of the first entry."""
        return int(self.answer["first"])

    def places(self) -> dict[int, bytes]:
        """Every index that was promised, with the bytes that must be there."""
        return dict(enumerate(self.sent.lines, self.first))


@dataclass
class Writer:
    """One client. `most` is the largest number of entries in a request; 1 sends no keys."""

    name: str
    url: str
    most: int
    random: Random
    kept: list[Kept] = field(default_factory=list)
    refused: list[httpx.Response] = field(default_factory=list)
    unanswered: Sent | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _count: int = 0

    def start(self) -> None:
        """Begins to write in a thread of its own."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Ends after the request under way."""
        self._stop.set()
        self._thread.join(180)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=150) as client:
            while not self._stop.is_set():
                sent = self._next()
                try:
                    answer = sent.post(client)
                except httpx.TransportError:
                    self.unanswered = sent
                    return
                if answer.status_code == 201:
                    self.kept.append(Kept(sent, answer.json()))
                else:
                    self.refused.append(answer)
                    self._stop.wait(0.05)

    def _next(self) -> Sent:
        count = self.random.randint(1, self.most)
        lines = [self._line() for _ in range(count)]
        return Sent(lines, f"{self.name}-{self._count}" if self.most > 1 else None)

    def _line(self) -> bytes:
        self._count += 1
        filler = self.random.randbytes(self.random.randint(0, 60)).hex()
        return f"{self.name} {self._count} {filler}".encode()
