"""The tests of retention use the simulated store, and the clock and disk of those of the log."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in (Path(__file__).parents[1], Path(__file__).parents[2] / "log"):
    sys.path.append(str(folder))
