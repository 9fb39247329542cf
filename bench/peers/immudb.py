"""immudb: transactions of many lines, each line the value of a key of its own, synced."""

from __future__ import annotations

import json
from pathlib import Path

from bench.lines import bodies
from bench.measures import MIB, Row
from bench.peers.daemon import HOST, free_port, running
from bench.peers.pairs import Answer, Measure, asked, batches, paired

CONNECTIONS = 8
_QUIET = ("--metrics-server=false", "--web-server=false", "--pgsql-server=false")
_Settings = dict[str, object]
_SYNC: _Settings = {"syncFrequency": {"value": 4}}
_INDEX: _Settings = {
    "indexSettings": {"maxBulkSize": {"value": 16}, "flushThreshold": {"value": 1_000_000}}
}
_LARGE: _Settings = {"maxTxEntries": {"value": 4096}, "maxIOConcurrency": {"value": 4}}


def rows(runs: int, scratch: Path, installed: Path) -> list[Row]:
    """Returns the rows: its defaults, and its best settings for two sizes of transactions.

    The defaults answer when a transaction is synced and indexed, the best when it is synced.
    """
    programs = installed / "bin"
    text = b"".join(bodies(16, MIB))
    peers = {
        "immudb v1.10.0, defaults, 1,000 a transaction": _immudb(programs, text, 1_000, 100, None),
        "immudb v1.10.0, best, 1,000 a transaction": _immudb(
            programs, text, 1_000, 300, {**_SYNC, **_INDEX}
        ),
        "immudb v1.10.0, best, 3,483 a transaction": _immudb(
            programs, text, 3_483, 100, {**_SYNC, **_LARGE}
        ),
    }
    what = f"ingest, 1 MiB batches, {CONNECTIONS} connections"
    return paired(what, batches(CONNECTIONS, 150, 8), peers, runs, scratch)


def _immudb(
    programs: Path, text: bytes, entries: int, transactions: int, settings: _Settings | None
) -> Measure:
    def measure(folder: Path) -> Answer:
        lines = folder / "lines"
        lines.write_bytes(text)
        port = free_port()
        command = [str(programs / "immudb"), f"--dir={folder / 'data'}", f"--address={HOST}"]
        command += [f"--port={port}", *_QUIET]
        client = [str(programs / "immudb-load"), f"-port={port}", f"-lines={lines}"]
        client += [f"-connections={CONNECTIONS}", f"-entries={entries}"]
        create: list[str] = []
        if settings is not None:
            client += ["-database=bench", "-no_wait"]
            create = [f"-create={json.dumps(settings)}"]
        with running(command, folder, port):
            asked([*client, *create, "-transactions=16"])
            return asked([*client, f"-transactions={transactions}"])

    return measure
