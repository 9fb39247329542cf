"""`worm check`: is the write-once promise kept, where the bytes lie?

`check` makes a whole check of one store; `watch` makes it on a schedule, and tells what drifted.
"""

from __future__ import annotations

from muniment.store.worm.check import check_archive, check_wal
from muniment.store.worm.segments import Expected, expected_of
from muniment.store.worm.verdict import Probe, Report, Verdict
from muniment.store.worm.watch import WormWatch

__all__ = [
    "Expected",
    "Probe",
    "Report",
    "Verdict",
    "WormWatch",
    "check_archive",
    "check_wal",
    "expected_of",
]
