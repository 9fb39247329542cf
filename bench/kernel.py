"""Measures the native kernel against its twin in Python, in turn, on one core and on two threads.

python -m bench.kernel [--runs 7]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from bench.lines import bodies
from muniment.kernel import Chunk, native, python
from muniment.kernel.choice import Kernel

HEADER = (
    b'{"at":"2026-11-20T23:06:18.734512Z","node":"n1","via":"http","peer":"127.0.0.1:50312",'
    b'"from":"admin","as":"json"}\n'
)
BODY_BYTES, BODIES, THREADS = 1_000_000, 8, 2
TWINS: dict[str, Kernel] = {"native": native, "python": python}

Work = Callable[[Kernel, int], object]


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk as a reader of segment files finds it."""

    frame: bytes
    size: int
    crc: int


class Data:
    """The bodies, and what became of them on disk."""

    def __init__(self) -> None:
        self.bodies = bodies(BODIES, BODY_BYTES)
        self.chunks: list[list[Chunk]] = [python.pack_json_lines(b, HEADER) for b in self.bodies]
        self.stored = [
            [Stored(c.compressed, len(c.payload), python.crc32c(c.compressed)) for c in chunks]
            for chunks in self.chunks
        ]
        self.entries = sum(chunk.count for chunks in self.chunks for chunk in chunks)
        self.bytes = sum(len(chunk.payload) for chunks in self.chunks for chunk in chunks)

    def batch(self, kernel: Kernel, place: int) -> bytes:
        """What a posted batch costs: checked, packed, hashed, compressed, added to the tree."""
        frontier, size = b"", 0
        for chunk in kernel.pack_json_lines(self.bodies[place], HEADER):
            frontier, _ = kernel.extend(frontier, size, chunk.leaves)
            size += chunk.count
        return kernel.root(frontier)

    def lines(self, kernel: Kernel, place: int) -> list[Chunk]:
        """Lines of text instead of JSON."""
        return kernel.pack_lines(self.bodies[place], HEADER)

    def verify(self, kernel: Kernel, place: int) -> bytes:
        """What verification costs: checksum, decompression, leaf hashes, the tree."""
        frontier, size = b"", 0
        for stored in self.stored[place]:
            if kernel.crc32c(stored.frame) != stored.crc:
                raise AssertionError("a checksum")
            leaves = kernel.leaf_hashes(kernel.decompress(stored.frame, stored.size))
            frontier, _ = kernel.extend(frontier, size, leaves)
            size += len(leaves) // 32
        return kernel.root(frontier)

    def split(self, kernel: Kernel, place: int) -> object:
        """What the index does first with a chunk."""
        return [kernel.split(chunk.payload) for chunk in self.chunks[place]]


def _seconds(work: Work, kernel: Kernel, pool: ThreadPoolExecutor | None) -> float:
    run: Callable[[Iterable[int]], object] = lambda places: [work(kernel, p) for p in places]  # noqa: E731
    start = time.perf_counter()
    if pool is None:
        run(range(BODIES))
    else:
        shares = [range(share, BODIES, THREADS) for share in range(THREADS)]
        list(pool.map(run, shares))
    return time.perf_counter() - start


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    data = Data()
    works: dict[str, Work] = {
        "batch": data.batch,
        "lines": data.lines,
        "verify": data.verify,
        "split": data.split,
    }
    print("| what | threads | native us/entry | MB/s | Python us/entry | MB/s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with ThreadPoolExecutor(THREADS) as threads:
        for name, work in works.items():
            for pool in (None, threads):
                took: dict[str, list[float]] = {twin: [] for twin in TWINS}
                for _ in range(runs + 1):
                    for twin, kernel in TWINS.items():
                        took[twin].append(_seconds(work, kernel, pool))
                fast, slow = (median(took[twin][1:]) for twin in TWINS)
                cells = [name, str(1 if pool is None else THREADS)]
                for seconds in (fast, slow):
                    cells.append(f"{seconds / data.entries * 1e6:.2f}")
                    cells.append(f"{data.bytes / seconds / 1e6:,.0f}")
                print("|", " | ".join([*cells, f"{slow / fast:.2f}"]), "|", flush=True)


if __name__ == "__main__":
    main()
