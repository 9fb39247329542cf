"""Counts of what the HTTP face does, cheap enough for every request."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Meters:
    """Counts since the start; read by the metrics page."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By method and status."""
    refused_connections: int = 0
    slow_connections: int = 0
    connections: int = 0
    tails: int = 0
    entries: int = 0
    replayed: int = 0
