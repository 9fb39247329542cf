"""What verification found: findings that name their place, and what was covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from muniment.errors import Corrupt


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be: in which file, from which byte on, and what."""

    file: str
    problem: str
    offset: int | None = None

    @classmethod
    def of(cls, error: Corrupt) -> Finding:
        """The finding that an error describes."""
        return cls(error.file, f"expected {error.expected}, found {error.found}", error.offset)

    def __str__(self) -> str:
        place = self.file if self.offset is None else f"{self.file}, byte {self.offset}"
        return f"{place}: {self.problem}"


@dataclass(slots=True)
class ShardReport:
    """What was read of one shard. `size` and `root` are as recomputed from the entries.

    `minimum` is the first entry that has not expired; `notes` are remarks that are no findings.
    """

    directory: str
    origin: str = ""
    size: int = 0
    root: str = ""
    segments: int = 0
    checkpoints: int = 0
    bytes: int = 0
    minimum: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, file: object, problem: str, offset: int | None = None) -> None:
        """Adds a finding."""
        self.findings.append(Finding(str(file), problem, offset))


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A captured stream of one sender. `missing` are first and last numbers, between others.

    `ahead` records were signed by the agent behind the last one that is here: they may still be
    on their way. `problems` are what cannot be explained by loss.
    """

    log: str
    sender: str
    stream: str
    records: int
    first: int
    last: int
    missing: Sequence[tuple[int, int]]
    repeated: int
    reordered: int
    signed_heads: int
    ahead: int
    problems: Sequence[str]

    @property
    def lost(self) -> int:
        """How many records are missing."""
        return sum(last - first + 1 for first, last in self.missing)


@dataclass(slots=True)
class Report:
    """The whole of a verification: shards, captured streams, and findings outside the shards."""

    shards: list[ShardReport] = field(default_factory=list)
    other: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    streams: list[StreamReport] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """All findings. Intact is what has none."""
        return [f for shard in self.shards for f in shard.findings] + self.other

    @property
    def intact(self) -> bool:
        """Whether everything that was looked at is as it must be."""
        return not self.findings
