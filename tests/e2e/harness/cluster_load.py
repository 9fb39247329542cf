"""Clients of a fleet that write through its edge, and try again until they are answered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random

import httpx

from .cluster import Cluster
from .server import LOG
from .writers import Kept, Sent

PATIENCE = 60.0
"""Seconds after which a client gives up: that is an error that it saw."""

AGAIN = (429, 500, 502, 503, 504)
MOST = {"one": 1, "few": 5, "some": 20, "many": 60}
"""Writers by name, and the most entries that each puts into a request."""

PAUSE = 0.05
"""Seconds between requests: the load is constant, not the most that there could be."""


@dataclass
class Client:
    """What clients have in common: a thread, and how long they waited for good answers."""

    cluster: Cluster
    name: str
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0
    retried: Counter[str] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread = field(init=False)

    def start(self) -> None:
        """Begins in a thread of its own."""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def finish(self) -> None:
        """Ends after what is under way."""
        self.stopping.set()
        self.thread.join(PATIENCE + 60)
        assert not self.thread.is_alive(), f"{self.name} does not end"

    def _run(self) -> None:
        raise NotImplementedError

    def ask(self, request: httpx.Request, client: httpx.Client, good: int) -> httpx.Response | None:
        """Sends a request until it is answered well. None, and an error noted, where it is not."""
        began, pause, seen = time.monotonic(), 0.05, ""
        while time.monotonic() - began < PATIENCE:
            wait = pause
            try:
                answer = client.send(request)
                seen = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code == good:
                    self.longest = max(self.longest, time.monotonic() - began)
                    return answer
                if answer.status_code not in AGAIN:
                    break
                wait = min(float(answer.headers.get("retry-after", pause)), 2.0)
            except httpx.TransportError as error:
                seen = repr(error)
            self.retried[seen[:120]] += 1
            time.sleep(wait)
            pause = min(2 * pause, 1.0)
        self.errors.append(f"{self.name}: after {time.monotonic() - began:.1f} s: {seen}")
        return None


@dataclass
class FleetWriter(Client):
    """Writes lines `NAME NUMBER FILLER`, numbered from 1, `most` in a request, each with a key."""

    most: int = 1
    random: Random = field(default_factory=Random)
    kept: list[Kept] = field(default_factory=list)
    written: int = 0

    def _run(self) -> None:
        with self.cluster.client(timeout=10, http2=False) as client:
            while not self.stopping.is_set():
                sent = self._next()
                request = client.build_request(
                    "POST",
                    f"/api/v1/logs/{LOG}/entries?as=text",
                    content=b"\n".join(sent.lines),
                    headers={"content-type": "text/plain", "idempotency-key": sent.key or ""},
                )
                answer = self.ask(request, client, 201)
                if answer is None:
                    return
                self.kept.append(Kept(sent, answer.json()))
                self.stopping.wait(PAUSE)

    def _next(self) -> Sent:
        first = self.written + 1
        self.written += self.random.randint(1, self.most)
        lines = [self._line(number) for number in range(first, self.written + 1)]
        return Sent(lines, f"{self.name}-{first}")

    def _line(self, number: int) -> bytes:
        filler = self.random.randbytes(self.random.randint(0, 60)).hex()
        return f"{self.name} {number} {filler}".encode()


@dataclass
class FleetReader(Client):
    """Searches through the edge, once a quarter of a second."""

    answered: int = 0

    def _run(self) -> None:
        with self.cluster.client(timeout=10) as client:
            while not self.stopping.is_set():
                request = client.build_request("GET", f"/api/v1/logs/{LOG}/search?q=one&limit=5")
                if self.ask(request, client, 200) is not None:
                    self.answered += 1
                self.stopping.wait(0.25)


@dataclass
class FileSender(Client):
    """The house's own client: `muniment send` of one small file after the other."""

    written: int = 0
    lines: int = 300

    def _run(self) -> None:
        folder = self.cluster.folder.parent
        while not self.stopping.is_set():
            first = self.written + 1
            self.written += self.lines
            file = folder / f"{self.name}-{first}.log"
            numbers = range(first, self.written + 1)
            file.write_text("".join(f"{self.name} {number}\n" for number in numbers))
            began = time.monotonic()
            code, printed = self.cluster.muniment(
                *("send", str(file), "--as", "text", "--url", self.cluster.url),
                *("--ca", str(self.cluster.ca), "--retry-for", str(PATIENCE)),
            )
            self.longest = max(self.longest, time.monotonic() - began)
            if code:
                self.errors.append(f"muniment send: {code} {printed[-500:]}")
            self.stopping.wait(1.0)


@dataclass
class Load:
    """All clients of one story."""

    writers: list[FleetWriter]
    readers: list[FleetReader]
    senders: list[FileSender]

    @property
    def clients(self) -> list[Client]:
        """Every client."""
        return [*self.writers, *self.readers, *self.senders]

    @property
    def kept(self) -> list[Kept]:
        """Every acknowledgement."""
        return [kept for writer in self.writers for kept in writer.kept]

    def wait_more(self, seconds: float = 1.5 * PATIENCE) -> float:
        """Waits until every writer was answered once more; returns how long that took."""
        began, before = time.monotonic(), [len(writer.kept) for writer in self.writers]
        while time.monotonic() - began < seconds:
            now = [len(writer.kept) for writer in self.writers]
            if all(new > old for new, old in zip(now, before, strict=True)):
                return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError(f"not all writers were answered: {self.errors()}")

    def errors(self) -> list[str]:
        """Errors that a client saw although it had tried again."""
        return [error for client in self.clients for error in client.errors]

    def finish(self) -> None:
        """Ends all clients after what they are at."""
        for client in self.clients:
            client.stopping.set()
        for client in self.clients:
            client.finish()

    def told(self, what: str) -> str:
        """A line for who reads the test's output."""
        write, read = (max(one.longest for one in of) for of in (self.writers, self.readers))
        again = sum((client.retried for client in self.clients), Counter[str]())
        entries = sum(len(kept.sent.lines) for kept in self.kept)
        return (
            f"{what}: {entries:,} entries in {len(self.kept):,} answers, {again.total()} requests "
            f"sent again, {len(self.errors())} errors; longest wait for a good answer: writers "
            f"{write:.1f} s, readers {read:.1f} s"
            + "".join(f"\n  {count} times: {seen}" for seen, count in again.most_common(8))
        )


@contextmanager
def load(cluster: Cluster, name: str = "", seed: int = 7) -> Iterator[Load]:
    """Clients of all kinds that write and read for the time of the block."""
    random = Random(seed)
    writers = [
        FleetWriter(cluster, f"{name}{kind}", most=most, random=Random(random.random()))
        for kind, most in MOST.items()
    ]
    found = Load(writers, [FleetReader(cluster, "reader")], [FileSender(cluster, f"{name}file")])
    for client in found.clients:
        client.start()
    try:
        found.wait_more()
        yield found
    finally:
        for client in found.clients:
            client.stopping.set()
        for client in found.clients:
            with suppress(AssertionError):
                client.finish()
