"""How results are shown: a table, and the machine that they are of."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.measures import Row
from muniment import kernel


def table(rows: Sequence[Row], ours: str, theirs: str) -> str:
    """Returns a Markdown table; `ours` and `theirs` head the two rates."""
    lines = [
        f"| what | {ours} | {theirs} in the same run | its rate | ratio | detail |",
        "|---|---:|---|---:|---:|---|",
    ]
    lines += [
        f"| {row.what} | {row.rate:,.0f} {row.unit} | {row.limit} | {row.limit_rate:,.0f} "
        f"| {row.ratio:.2f} | {row.detail} |"
        for row in rows
    ]
    return "\n".join(lines)


def machine() -> dict[str, object]:
    """Returns what a result must say of the machine, the build and the time."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "kernel": kernel.ACTIVE,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
