"""The numbers of a Kafka receiver since its start, and what they are called on the metrics page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from muniment.receive.kafka.client import Troubles
from muniment.receive.port import Count


@dataclass(slots=True)
class Meters:
    """Counts, and how the receiver stands now: `connected`, `partitions`, `lag` in records.

    `known` records were durable already; `conflicts` are batches that were taken as new.
    """

    messages: int = 0
    bytes: int = 0
    entries: int = 0
    known: int = 0
    retries: int = 0
    conflicts: int = 0
    pauses: int = 0
    connected: bool = False
    partitions: int = 0
    lag: int = 0

    def left(self) -> None:
        """The receiver is no member of its group now."""
        self.connected, self.partitions, self.lag = False, 0, 0

    def counts(self, name: str, troubles: Troubles) -> Sequence[Count]:
        """The numbers under the receiver's name."""
        return (
            Count("receive_messages", name, "Records received.", lambda: self.messages),
            Count("receive_bytes", name, "Bytes received.", lambda: self.bytes),
            Count("receive_entries", name, "Entries durable.", lambda: self.entries),
            Count("receive_known", name, "Left out: durable already.", lambda: self.known),
            Count("receive_retries", name, "Batches tried again.", lambda: self.retries),
            Count("receive_conflicts", name, "Taken as new.", lambda: self.conflicts),
            Count("receive_pauses", name, "Times that it had to wait.", lambda: self.pauses),
            Count("receive_errors", name, "The cluster's.", lambda: troubles.count),
            Count("receive_connected", name, "A broker is there.", lambda: self.connected, True),
            Count("receive_partitions", name, "Assigned.", lambda: self.partitions, True),
            Count("receive_lag", name, "Records still to come.", lambda: self.lag, True),
        )
