"""The agent's tests share the simulated disk with those of the log, and fake balancers."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "log"))
sys.path.append(str(Path(__file__).parents[1] / "balancer"))
