"""The tests of verification use the small shard and the simulated store of other packages."""

from __future__ import annotations

import sys
from pathlib import Path

for package in ("log", "store"):
    sys.path.append(str(Path(__file__).parents[1] / package))
