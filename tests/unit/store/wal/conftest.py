"""The tests of the write-ahead log use the simulated store of those of the stores."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
