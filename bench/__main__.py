"""Runs the measurements and writes bench/results/latest.json and a table.

python -m bench [--only batches|single|read] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.measures import MEASURES, Row
from bench.report import machine, table


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
    on = machine()
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    document = {"machine": on, "rows": [row.as_dict() for row in rows]}
    (results / "latest.json").write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(on))
    print(table(rows, "rate", "limit"))


if __name__ == "__main__":
    main()
