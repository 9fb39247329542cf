"""Where a feed of a bucket stands, as it is kept beside the records in the spool; bounded.

An object is new when it came to be (`LastModified`) after `floor` and is not among `done`. Listings
of S3 are strongly consistent, but the time of a large upload is that of its beginning: `floor` lags
LAG behind the newest object, and the objects since then are remembered one by one. How late AWS
delivers a log does not matter, for the time counts at which the object came to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from muniment.capture.feeds.digests import Link
from muniment.capture.feeds.s3_objects import Found
from muniment.capture.snapshot import Json

LAG = timedelta(minutes=30)
MAX_DONE = 5_000
"""Objects that are remembered; of more, the floor rises over the oldest."""

MAX_PENDING = 5_000
"""CloudTrail files that wait for a digest; the oldest go without one."""

MAX_CHAINS = 500


@dataclass(slots=True)
class Position:
    """`opened` is the mark of an object that is half read, `records` how many of it were put.

    `pending` has the SHA-256 of CloudTrail files that no digest has named yet, and when they came
    to be; `chains` the last digest of each chain.
    """

    floor: datetime
    done: dict[str, datetime] = field(default_factory=dict)
    opened: str = ""
    records: int = 0
    pending: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    chains: dict[str, Link] = field(default_factory=dict)

    def finish(self, found: Found) -> None:
        """Counts an object as done."""
        self.opened, self.records = "", 0
        self.done[found.mark] = found.modified
        newest = max(self.done.values())
        self.floor = max(self.floor, newest - LAG)
        self.done = {mark: at for mark, at in self.done.items() if at >= self.floor}
        if len(self.done) > MAX_DONE:
            kept = sorted(self.done.items(), key=lambda item: item[1])[-MAX_DONE:]
            self.done = dict(kept)
            self.floor = kept[0][1]

    def wait_for_digest(self, key: str, digest: str, modified: datetime) -> None:
        """Remembers the SHA-256 of a CloudTrail file that was captured."""
        self.pending.pop(key, None)
        self.pending[key] = (digest, modified)
        while len(self.pending) > MAX_PENDING:
            del self.pending[next(iter(self.pending))]

    def link(self, chain: str, digest: Link) -> None:
        """Remembers the last digest of a chain."""
        self.chains.pop(chain, None)
        self.chains[chain] = digest
        while len(self.chains) > MAX_CHAINS:
            del self.chains[next(iter(self.chains))]

    def to_json(self) -> dict[str, Json]:
        """Returns the position as JSON."""
        return {
            "floor": self.floor.isoformat(),
            "done": {mark: at.isoformat() for mark, at in self.done.items()},
            "opened": self.opened,
            "records": self.records,
            "pending": {k: [h, at.isoformat()] for k, (h, at) in self.pending.items()},
            "chains": {
                name: [one.bucket, one.key, one.hash, one.signature]
                for name, one in self.chains.items()
            },
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Position:
        """Reads what `to_json` made. Raises ValueError, KeyError and TypeError."""
        return cls(
            datetime.fromisoformat(kept["floor"]),
            {mark: datetime.fromisoformat(at) for mark, at in kept["done"].items()},
            str(kept["opened"]),
            int(kept["records"]),
            {k: (str(h), datetime.fromisoformat(at)) for k, (h, at) in kept["pending"].items()},
            {name: Link(*one) for name, one in kept["chains"].items()},
        )
