"""What is wrong with an index. It is disposable, so the cure is always to rebuild it."""

from __future__ import annotations

from dataclasses import dataclass

from muniment.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a file."""

    file: str
    detail: str


class IndexDamaged(Unavailable):
    """The index of a log does not hold what was written into it; it must be rebuilt."""

    slug = "index-damaged"
    title = "The index is damaged"

    def __init__(self, log: str, finding: Finding) -> None:
        super().__init__(
            f"index damaged: {log}: {finding.file}: {finding.detail}; "
            f"run `muniment index rebuild {log}`",
            retry_after=60,
        )
        self.log = log
        self.finding = finding


class IndexInUse(Unavailable):
    """Another process has the index of this log open."""

    def __init__(self, log: str) -> None:
        super().__init__(f"the index of {log} is in use by another process; stop it first")
