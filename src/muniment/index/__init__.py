"""The index: a follower that turns durable entries into OCSF columns in Parquet under Delta.

It can be dropped at any time and made again from the evidence.
"""

from __future__ import annotations

from muniment.index.check import check_index
from muniment.index.damage import Finding, IndexDamaged, IndexInUse
from muniment.index.rebuild import rebuild

__all__ = ["Finding", "IndexDamaged", "IndexInUse", "check_index", "rebuild"]
