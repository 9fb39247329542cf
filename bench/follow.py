"""The follower alone: how fast an index is made of a shard that is already there.

    python -m bench.follow [--entries N]

writes a shard of N entries with the log package, without a server, then lets a process like the
query process follow it to its end, and prints what that took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.lines import bodies

LOG, SHARD = "default", "0a1b2c3d"
_MIB = 1 << 20


def write_shard(data: Path, entries: int) -> int:
    """Writes a shard of at least so many entries and returns how many it has."""
    from muniment import kernel
    from muniment.log import Batch, Shard
    from muniment.log.note import Signer

    header = b'{"at":"2026-11-20T23:11:00.000001Z","node":"n1","via":"http","as":"json"}\n'
    directory = data / "logs" / LOG / SHARD
    directory.parent.mkdir(parents=True)
    signer = Signer(f"muniment.local/{LOG}/{SHARD}", bytes(range(32)))
    Shard.create(directory, signer)
    shard = Shard.open(directory, signer, log=LOG)
    payloads = bodies(32, _MIB)
    try:
        number = 0
        while shard.size < entries:
            body = payloads[number % len(payloads)]
            shard.submit(Batch(kernel.pack_json_lines(body, header))).result()
            number += 1
        return shard.size
    finally:
        shard.close()


def follow(data: Path, size: int) -> dict[str, float]:
    """Follows a shard to its end, then flushes, in this process."""
    import pyarrow as pa

    from muniment.index.follower import Follower
    from muniment.log import ShardReader
    from muniment.query.process import Settle, now

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    before = _resident()
    follower = Follower(data, ShardReader, clock=time.monotonic, now=now, settle=Settle())
    began, cpu = time.monotonic(), time.process_time()
    follower.start({LOG: [SHARD]})
    follower.advance(LOG, SHARD, size)
    while follower.index(LOG).next_index(SHARD) < size:
        time.sleep(0.02)
    seconds, busy = time.monotonic() - began, time.process_time() - cpu
    parts = len(follower.index(LOG).snapshot.parts)
    follower.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "rows": size,
        "rows_per_second": size / seconds,
        "cpu_seconds": busy,
        "cpu_us_per_row": busy / size * 1e6,
        "parts": parts,
        "resident_before_mib": before / _MIB,
        "peak_mib": peak / _MIB,
    }


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Writes the shard, then runs itself again as the process that follows."""
    options = argparse.ArgumentParser(prog="bench.follow", description=__doc__)
    options.add_argument("--entries", type=int, default=1_000_000)
    options.add_argument("--scratch", type=Path, help="where to put the data (default: temporary)")
    options.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.data is not None:
        json.dump(follow(chosen.data, chosen.entries), sys.stdout)
        return
    from muniment.query.channel import MEMORY

    with tempfile.TemporaryDirectory(dir=chosen.scratch) as folder:
        size = write_shard(Path(folder), chosen.entries)
        command = [sys.executable, "-m", "bench.follow", "--data", folder, "--entries", str(size)]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, env=os.environ | dict(MEMORY)
        )
    for name, value in json.loads(done.stdout).items():
        print(f"{name:20} {value:,.2f}")


if __name__ == "__main__":
    main()
