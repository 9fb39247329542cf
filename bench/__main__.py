"""Runs the measurements and writes bench/results/latest.json and a table.

python -m bench [--only batches|single|read] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from bench.measures import MEASURES, Row
from muniment import kernel


def _table(rows: list[Row]) -> str:
    lines = [
        "| what | rate | limit in the same run | its rate | ratio | detail |",
        "|---|---:|---|---:|---:|---|",
    ]
    lines += [
        f"| {row.what} | {row.rate:,.0f} {row.unit} | {row.limit} | {row.limit_rate:,.0f} "
        f"| {row.ratio:.2f} | {row.detail} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures, prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(MEASURES), action="append")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scratch", type=Path, default=Path("bench"))
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.only or MEASURES:
        rows += MEASURES[name](arguments.runs, arguments.scratch)
    machine = {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "kernel": kernel.ACTIVE,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    document = {"machine": machine, "rows": [row.as_dict() for row in rows]}
    (results / "latest.json").write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(machine))
    print(_table(rows))


if __name__ == "__main__":
    main()
