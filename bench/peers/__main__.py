"""Measures the peers beside Muniment and prints a table; a peer that is not installed is left out.

python -m bench.peers [--only tessera|immudb|rsyslog] [--runs 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.measures import Row
from bench.peers import immudb, rsyslog, tessera
from bench.peers.install import DEFAULT
from bench.report import machine, table

PEERS: dict[str, tuple[str, Callable[[int, Path, Path], list[Row]]]] = {
    "tessera": ("bin/tessera-log", tessera.rows),
    "immudb": ("bin/immudb-load", immudb.rows),
    "rsyslog": ("rsyslog/usr/sbin/rsyslogd", rsyslog.rows),
}


def _measured(names: list[str], runs: int, scratch: Path, installed: Path) -> list[Row]:
    rows: list[Row] = []
    for name in names:
        program, measure = PEERS[name]
        if not (installed / program).is_file():
            print(f"{name}: not installed, see python -m bench.peers.install --help")
            continue
        started = time.monotonic()
        try:
            rows += measure(runs, scratch, installed)
        except (RuntimeError, OSError, subprocess.SubprocessError) as reason:
            print(f"{name}: NOT measured: {reason}")
            continue
        print(f"{name}: {runs} runs in {time.monotonic() - started:.0f} s", flush=True)
    return rows


def main() -> None:
    """Measures, prints the table, writes the JSON where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(PEERS), action="append")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--installed", type=Path, default=DEFAULT)
    parser.add_argument("--scratch", type=Path, default=Path("bench"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = arguments.only or list(PEERS)
    rows = _measured(names, arguments.runs, arguments.scratch, arguments.installed.resolve())
    on = machine()
    if arguments.json:
        document = {"machine": on, "rows": [row.as_dict() for row in rows]}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(on))
    print(table(rows, "Muniment", "peer"))


if __name__ == "__main__":
    main()
