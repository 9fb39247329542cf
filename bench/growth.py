"""What growth costs: memory while many entries come in, and the time to open them again.

python -m bench.growth --entries 20000000
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import threading
import time
from pathlib import Path

from bench.server import Server, serve

MIB = 1 << 20


def _watch(server: Server, peak: dict[str, int], stop: threading.Event) -> None:
    while not stop.wait(0.5):
        sizes = server.resident()
        sizes["together"] = sum(sizes.values())
        for name, size in sizes.items():
            peak[name] = max(peak.get(name, 0), size)


def grow(entries: int, scratch: Path, wait: bool) -> dict[str, object]:
    """Ingests `entries`, waits for the index, stops, and opens the directory again."""
    peak: dict[str, int] = {}
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        data = Path(folder) / "data"
        with serve(data) as server:
            stop = threading.Event()
            watcher = threading.Thread(target=_watch, args=(server, peak, stop))
            watcher.start()
            answer = server.load(8, entries * 301 // MIB + 1, MIB)
            lag = _lag(server)
            waited = _wait(server) if wait else 0.0
            stop.set()
            watcher.join()
        return {
            "machine": f"{platform.machine()}, {platform.python_version()}",
            "entries": int(answer["entries"]),
            "entries_per_second": round(answer["entries"] / answer["seconds"]),
            "lag_at_the_end_of_ingest": lag,
            "seconds_until_indexed": round(waited, 1) if wait else None,
            "peak_resident_mib": {name: size // MIB for name, size in peak.items()},
            "seconds_to_open": round(_open(data), 3),
            "bytes_on_disk_mib": sum(f.stat().st_size for f in data.rglob("*.seg")) // MIB,
        }


def _lag(server: Server) -> int:
    logs = server.get("/readyz")["search"]["logs"]  # type: ignore[index]
    return sum(int(shard["lag"]) for shard in logs["default"]["shards"].values())


def _wait(server: Server) -> float:
    started = time.monotonic()
    while _lag(server):
        time.sleep(1)
    return time.monotonic() - started


def _open(data: Path) -> float:
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


def main() -> None:
    """Prints the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=20_000_000)
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the index")
    parser.add_argument("--scratch", type=Path, default=Path("bench"))
    arguments = parser.parse_args()
    print(json.dumps(grow(arguments.entries, arguments.scratch, not arguments.no_wait), indent=2))


if __name__ == "__main__":
    main()
