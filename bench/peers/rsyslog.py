"""rsyslog from TCP into a file: the same lines with no integrity and no answer to anybody."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.lines import LINE_BYTES, bodies
from bench.measures import MIB, Row
from bench.peers.daemon import HOST, free_port, running
from bench.peers.pairs import Answer, Measure, batches, paired

CONNECTIONS = 8
REQUESTS = 150
WARM_UP = 8
_FILE_SECONDS = 120.0
# One sync serves what the worker takes from the queue at once.
_QUEUE = 'queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="8192"'
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def rows(runs: int, scratch: Path, installed: Path) -> list[Row]:
    """Returns the rows: without sync, the queue as it is and at its best; and with sync."""
    root = installed / "rsyslog"
    payloads = bodies(16, MIB)
    peers = {
        "rsyslog 8.2302, no sync, defaults": _rsyslog(root, payloads, "", ""),
        "rsyslog 8.2302, no sync, best": _rsyslog(root, payloads, "", 'ioBufferSize="64k"'),
        'rsyslog 8.2302, sync="on", best': _rsyslog(
            root, payloads, _QUEUE, 'ioBufferSize="1m" sync="on"'
        ),
    }
    what = f"ingest, 1 MiB batches, {CONNECTIONS} connections"
    return paired(what, batches(CONNECTIONS, REQUESTS, WARM_UP), peers, runs, scratch)


def _configuration(port: int, folder: Path, queue: str, output: str) -> str:
    return f"""
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imptcp" threads="2")
template(name="line" type="string" string="%rawmsg%\\n")
ruleset(name="lines" {queue}) {{
  action(type="omfile" file="{folder}/lines" template="line" {output})
}}
input(type="imptcp" address="{HOST}" port="{port}" ruleset="lines")
"""


def _rsyslog(root: Path, payloads: list[bytes], queue: str, output: str) -> Measure:
    def measure(folder: Path) -> Answer:
        port = free_port()
        configuration = folder / "rsyslog.conf"
        configuration.write_text(_configuration(port, folder, queue, output))
        command = [str(root / "usr/sbin/rsyslogd"), "-n", "-f", str(configuration)]
        command += ["-i", str(folder / "pid"), "-M", str(root / _LIBRARIES / "rsyslog")]
        with running(command, folder, port, LD_LIBRARY_PATH=str(root / _LIBRARIES)):
            written = _sent(port, payloads, WARM_UP, folder / "lines", 0)
            started = time.perf_counter()
            _sent(port, payloads, REQUESTS, folder / "lines", written)
            seconds = time.perf_counter() - started
        lines = REQUESTS * (MIB // (LINE_BYTES + 1))
        return {"requests": 0, "entries": lines, "seconds": seconds, "p50_ms": 0, "p99_ms": 0}

    return measure


def _sent(port: int, payloads: list[bytes], total: int, file: Path, before: int) -> int:
    """Sends the bodies and returns the file's size as soon as the last line is in it."""
    wanted = before + sum(len(payloads[number % len(payloads)]) for number in range(total))

    def connection(first: int) -> None:
        with socket.create_connection((HOST, port)) as stream:
            for number in range(first, total, CONNECTIONS):
                stream.sendall(payloads[number % len(payloads)])

    with ThreadPoolExecutor(CONNECTIONS) as senders:
        list(senders.map(connection, range(CONNECTIONS)))
    deadline = time.monotonic() + _FILE_SECONDS
    while (size := file.stat().st_size if file.exists() else 0) < wanted:
        if time.monotonic() > deadline:
            raise RuntimeError(f"rsyslog wrote {size:,} bytes of {wanted:,}")
        time.sleep(0.002)
    if size != wanted:
        raise RuntimeError(f"rsyslog wrote {size:,} bytes for {wanted:,}")
    return size
