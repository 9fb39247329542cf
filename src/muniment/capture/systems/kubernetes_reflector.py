"""A copy of a collection of an API server that follows it: list, then watch from there on.

What the watch tells between two looks is kept in its order, so that no edit is lost between them.
The API server ends watches now and then, and forgets old versions (410 Gone): then it is listed
anew, and edits that came between are seen as one. The way is the one that client-go's reflector
takes.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from muniment.balancer.kubernetes_answers import Object, Refused, WatchEvent
from muniment.capture.port import Passed
from muniment.capture.snapshot import Snapshot
from muniment.clock import Clock, rfc3339
from muniment.errors import MunimentError, Unavailable

MAX_OBJECTS = 100_000
MAX_PASSED = 10_000
MAX_PASSED_BYTES = 64 << 20
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
_GONE = 410

Read = Callable[[Object], tuple[str, Snapshot] | None]
"""From an object to its name and what is kept of it; None for one that is not looked at."""


class Events(Protocol):
    """A watch that goes on."""

    def __iter__(self) -> Iterator[WatchEvent]: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


class Collection(Protocol):
    """What can be listed and watched."""

    def list(self) -> tuple[Iterator[Object], Callable[[], str]]: ...

    def watch(self, version: str) -> Events: ...


@dataclass(frozen=True, slots=True)
class Copy:
    """What the collection holds, what passed since the copy before, and why it may be old."""

    objects: Mapping[str, Snapshot]
    passed: Sequence[Passed]
    error: str


class Reflector:
    """Follows one collection in a thread of its own, from `start` to `close`."""

    def __init__(self, collection: Collection, read: Read, clock: Clock) -> None:
        self._collection, self._read, self._clock = collection, read, clock
        self._lock = threading.Lock()
        self._listed = threading.Event()
        self._stopping = threading.Event()
        self._objects: dict[str, Snapshot] = {}
        self._passed: deque[tuple[Passed, int]] = deque()
        self._passed_bytes = 0
        self._error = "it was not listed yet"
        self._version = ""
        self._known = False
        self._watching: Events | None = None
        self._thread = threading.Thread(target=self._run, name="kubernetes watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Has the watch end soon."""
        self._stopping.set()
        with self._lock:
            watching = self._watching
        if watching is not None:
            watching.stop()

    def close(self) -> None:
        """Ends the watch and waits a little for its thread."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(5)

    def wait_listed(self, seconds: float) -> None:
        """Waits until it was listed once, or until that failed, or until `seconds` are over."""
        self._listed.wait(seconds)

    def take(self) -> Copy:
        """Returns what there is now. What passed is handed out once, and only when all is well."""
        with self._lock:
            if self._error:
                return Copy({}, (), self._error)
            passed = [one for one, _ in self._passed]
            self._passed.clear()
            self._passed_bytes = 0
            return Copy(dict(self._objects), passed, "")

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                if not self._version:
                    self._list()
                self._follow()
                pause = FIRST_PAUSE
                continue
            except MunimentError as error:
                self._failed(error)
            except Exception as error:  # a fault of ours must be seen, not end the watch unseen
                self._failed(MunimentError(f"{type(error).__name__}: {error}"))
            self._stopping.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 (spreads load)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _failed(self, error: MunimentError) -> None:
        """Where only the connection was lost, the watch goes on; else all is listed anew."""
        with self._lock:
            if not isinstance(error, Unavailable):
                self._version = ""
            if not (isinstance(error, Refused) and error.code == _GONE):
                self._error = error.detail
        self._listed.set()

    def _list(self) -> None:
        items, version = self._collection.list()
        found: dict[str, Snapshot] = {}
        for item in items:
            one = self._read(item)
            if one is not None:
                found[one[0]] = one[1]
                self._check(found)
        with self._lock:
            if self._known:  # what happened meanwhile comes before what the next watch tells
                self._compare(found)
            self._objects, self._version = found, version()
            self._known, self._error = True, ""
        self._listed.set()

    def _compare(self, found: Mapping[str, Snapshot]) -> None:
        now = self._now()
        for name in self._objects.keys() - found.keys():
            self._keep(Passed(name, None, now), 0)
        for name, snapshot in found.items():
            before = self._objects.get(name)
            if before is None or before.version != snapshot.version:
                self._keep(Passed(name, snapshot, now), 0)

    def _follow(self) -> None:
        """Watches until the API server ends it."""
        watching = self._collection.watch(self._version)
        try:
            with self._lock:
                self._watching, self._error = watching, ""
            if self._stopping.is_set():
                return
            for event in watching:
                self._apply(event)
        finally:
            with self._lock:
                self._watching = None
            watching.close()

    def _apply(self, event: WatchEvent) -> None:
        told = _version(event.object)
        one = None if event.type == "BOOKMARK" else self._read(event.object)
        with self._lock:
            self._version = told or self._version
            if one is None:
                return
            name, snapshot = one
            if event.type == "DELETED":
                if self._objects.pop(name, None) is not None:
                    self._keep(Passed(name, None, self._now()), event.size)
                return
            before = self._objects.get(name)
            self._objects[name] = snapshot
            self._check(self._objects)
            if before is None or before.version != snapshot.version:
                self._keep(Passed(name, snapshot, self._now()), event.size)

    @staticmethod
    def _check(objects: Mapping[str, Snapshot]) -> None:
        if len(objects) > MAX_OBJECTS:
            raise MunimentError(f"there are more than {MAX_OBJECTS:,} objects")

    def _now(self) -> str:
        return rfc3339(self._clock.now())

    def _keep(self, passed: Passed, size: int) -> None:
        """Keeps what passed; of too much at once the oldest is let go, and seen in what follows."""
        self._passed.append((passed, size))
        self._passed_bytes += size
        while len(self._passed) > MAX_PASSED or self._passed_bytes > MAX_PASSED_BYTES:
            _, size = self._passed.popleft()
            self._passed_bytes -= size


def _version(thing: Mapping[str, Any]) -> str:
    about = thing.get("metadata")
    version = about.get("resourceVersion") if isinstance(about, dict) else None
    return version if isinstance(version, str) else ""
