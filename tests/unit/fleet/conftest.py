"""The tests of a fleet use the clock, the disks and the stores of those of log and store."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("log", "store"))
