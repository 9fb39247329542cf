"""Tessera on its POSIX storage: one entry a request, as its HTTP interface takes them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from bench.measures import Row
from bench.peers.daemon import HOST, free_port, running
from bench.peers.pairs import Answer, Measure, paired, posted, single, stored

CONNECTIONS = 64
REQUESTS = 5_000
WARM_UP = 500
# A batch waits for as many entries as there are connections, hardly ever for its age.
_BEST = ("-batch_max_size=64", "-batch_max_age=5ms", "-checkpoint_interval=10s")


def rows(runs: int, scratch: Path, installed: Path) -> list[Row]:
    """Returns the rows: its conformance server as it is, and the library with the best batching."""
    programs = installed / "bin"
    peers = {
        "Tessera v1.0.4, conformance server": _tessera(programs, "posix", (), 320, 64),
        "Tessera v1.0.4, best batching": _tessera(
            programs, "tessera-log", _BEST, REQUESTS, WARM_UP
        ),
    }
    what = f"ingest, 1 entry a request, {CONNECTIONS} connections"
    return paired(what, single(CONNECTIONS, REQUESTS, WARM_UP), peers, runs, scratch)


def _tessera(
    programs: Path, program: str, flags: tuple[str, ...], requests: int, warm_up: int
) -> Measure:
    def measure(folder: Path) -> Answer:
        port = free_port()
        command = [str(programs / program), f"-storage_dir={folder / 'log'}"]
        command += [f"-listen={HOST}:{port}", *flags]
        with running(command, folder, port, LOG_PRIVATE_KEY=_new_key(programs)):
            posted(port, "/add", 200, CONNECTIONS, warm_up, 1)
            answer = posted(port, "/add", 200, CONNECTIONS, requests, 2)
        state = json.loads((folder / "log" / ".state" / "treeState").read_text())
        stored(requests + warm_up, state["size"], "Tessera")
        return answer

    return measure


def _new_key(programs: Path) -> str:
    command = [str(programs / "tessera-log"), "-new_key=bench"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
