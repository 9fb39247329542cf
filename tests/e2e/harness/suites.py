"""The behaviour suites of tests/unit/store, for the stores that run here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "unit" / "store"))

from behaviour import StoreBehaviour
from behaviour_locks import LockBehaviour
from behaviour_s3 import LockedBucketBehaviour

__all__ = ["LockBehaviour", "LockedBucketBehaviour", "StoreBehaviour"]
