"""Counts of what the HTTP face does, cheap enough for every request."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True)
class ProtocolMeters:
    """Counts of one log protocol over HTTP. `messages` are records received, `bytes` bodies.

    What is received is counted from several threads, the rest on the event loop.
    """

    messages: int = 0
    bytes: int = 0
    entries: int = 0
    replayed: int = 0
    refused: int = 0
    lock: Lock = field(default_factory=Lock)

    def received(self, messages: int, size: int) -> None:
        """Counts a body and the records in it."""
        with self.lock:
            self.messages += messages
            self.bytes += size


@dataclass(slots=True)
class Meters:
    """Counts since the start; read by the metrics page."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By method and status."""
    refused_connections: int = 0
    slow_connections: int = 0
    connections: int = 0
    tails: int = 0
    waiting: int = 0
    entries: int = 0
    replayed: int = 0
    protocols: dict[str, ProtocolMeters] = field(default_factory=dict)
    """By the name of the protocol."""

    def protocol(self, name: str) -> ProtocolMeters:
        """Returns the counts of a protocol."""
        return self.protocols.setdefault(name, ProtocolMeters())
