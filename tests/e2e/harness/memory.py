"""Watching how much memory a process takes while something is done to it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from .process import descendants, resident_bytes

MIB = 1 << 20


class Watch:
    """The largest resident set that was seen, of the process, and of any that it started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.peak = resident_bytes(pid)
        self.children_peak = 0

    def look(self) -> None:
        """Looks once."""
        self.peak = max(self.peak, resident_bytes(self.pid))
        with contextlib.suppress(OSError, AssertionError):  # a child may just have ended
            sizes = map(resident_bytes, descendants(self.pid))
            self.children_peak = max([self.children_peak, *sizes])

    def __str__(self) -> str:
        server, child = self.peak / MIB, self.children_peak / MIB
        return f"server {server:.0f} MiB, its largest child {child:.0f} MiB"


@contextlib.contextmanager
def watching(pid: int) -> Iterator[Watch]:
    """Looks at a process every 50 ms."""
    watch, done = Watch(pid), threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            watch.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        done.set()
        thread.join(5)
    watch.look()
