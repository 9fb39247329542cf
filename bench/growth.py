"""What growth costs: one log grown large beside a small one, measured in turn.

    python -m bench.growth --entries 100000000

Both servers stand on the same disk. Their query processes are stopped (SIGSTOP), so that only the
log is measured; `bench.sustained` and `bench.follow` measure the index.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.server import Server, serve

MIB = 1 << 20
SMALL = 1_000_000
_LINES_PER_BODY = MIB // 301


@contextmanager
def _alone(data: Path) -> Iterator[Server]:
    """A server whose index stands still."""
    with serve(data) as server:
        for child in server.children():
            os.kill(child, signal.SIGSTOP)
        try:
            yield server
        finally:
            for child in server.children():
                os.kill(child, signal.SIGCONT)


def _ingest(server: Server, entries: int) -> float:
    """Returns entries a second, 1 MiB batches on 8 connections."""
    answer = server.load(8, entries // _LINES_PER_BODY + 1, MIB)
    return answer["entries"] / answer["seconds"]


def _proof_seconds(server: Server, count: int = 200) -> tuple[float, float]:
    """Returns the median seconds of an inclusion proof: from the files, and over HTTP."""
    from muniment.log import ShardReader

    shards = server.get("/api/v1/logs")["logs"][0]["shards"]  # type: ignore[index]
    name, size = shards[0]["shard"], int(shards[0]["size"])
    time.sleep(2)  # until the published checkpoint covers them all
    reader = ShardReader(server.data / "logs" / "default" / name)
    reader.advance(size)
    dice = random.Random(1)
    path = f"{server.url}/api/v1/logs/default/shards/{name}/entries/{{}}/proof"
    files, http = [], []
    for _ in range(count):
        index = dice.randrange(size)
        started = time.perf_counter()
        reader.inclusion_proof(index, size)
        files.append(time.perf_counter() - started)
        index = dice.randrange(size)
        started = time.perf_counter()
        with urllib.request.urlopen(path.format(index)) as answer:
            answer.read()
        http.append(time.perf_counter() - started)
    return statistics.median(files), statistics.median(http)


def _open_seconds(data: Path) -> float:
    """Returns the seconds to open the shard for writing, everything imported."""
    from muniment.log import Shard
    from muniment.log.note import Signer

    (directory,) = (data / "logs" / "default").iterdir()
    key = data / "keys" / f"default.{directory.name}.key"
    started = time.perf_counter()
    shard = Shard.open(directory, Signer.parse(key.read_text()), log="default")
    seconds = time.perf_counter() - started
    shard.close()
    return seconds


def grow(entries: int, scratch: Path, runs: int) -> dict[str, object]:
    """Grows a log to `entries`, and measures it in turn with one that begins at a million."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        large, small = Path(folder) / "large", Path(folder) / "small"
        with ExitStack() as stack:
            one = stack.enter_context(_alone(large))
            _ingest(one, SMALL)
            resident_at_first = one.resident()["server"]
            grown = _ingest(one, entries - SMALL)
            resident = one.resident()["server"]
            two = stack.enter_context(_alone(small))
            _ingest(two, SMALL)
            pairs = [(_ingest(one, SMALL), _ingest(two, SMALL)) for _ in range(runs)]
            proof_files, proof_http = _proof_seconds(one)
        return {
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.python_version()}",
            "entries": entries,
            "entries_per_second_while_growing": round(grown),
            "entries_per_second_large": round(statistics.median(a for a, _ in pairs)),
            "entries_per_second_small": round(statistics.median(b for _, b in pairs)),
            "ratio_large_to_small": round(statistics.median(a / b for a, b in pairs), 3),
            "runs": runs,
            "inclusion_proof_ms": round(proof_files * 1000, 2),
            "inclusion_proof_over_http_ms": round(proof_http * 1000, 2),
            "server_resident_mib": {
                "at_1_000_000": resident_at_first // MIB,
                "grown": resident // MIB,
            },
            "seconds_to_open": round(_open_seconds(large), 3),
            "segments_mib": sum(f.stat().st_size for f in large.rglob("*.seg")) // MIB,
        }


def main() -> None:
    """Prints the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scratch", type=Path, default=Path("bench"))
    arguments = parser.parse_args()
    print(json.dumps(grow(arguments.entries, arguments.scratch, arguments.runs), indent=2))


if __name__ == "__main__":
    main()
