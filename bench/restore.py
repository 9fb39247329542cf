"""A data directory made anew from a store, beside a plain copy of the same objects.

    python -m bench.restore [--entries 2000000] [--runs 3] [--gateway]

archives a shard of 300-byte lines to a store (a directory; with --gateway a Ceph RADOS gateway on
loopback) and measures in turn, pair by pair: restoring it, every byte verified, beside fetching the
same objects to the same disk, synced, and nothing else; then `verify` reading from the store, and
the making of the index.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.lines import LINE_BYTES, bodies
from bench.measures import MIB, Row
from bench.report import machine, table
from muniment import kernel
from muniment.clock import SystemClock
from muniment.index import rebuild
from muniment.log import Batch, Shard
from muniment.log.disk import PosixDisk
from muniment.log.history import segment_names
from muniment.log.note import Signer
from muniment.log.segment import seal_place, segment_first
from muniment.settings.store import Connection
from muniment.store.inventory import Inventory
from muniment.store.names import LOGS, segment_key, tree_key, verifier_key
from muniment.store.opening import open_store
from muniment.store.port import Store
from muniment.store.restore import Restore, Target
from muniment.store.tree import make_companion
from muniment.trust.stores import StoreQuestion, verify_store

LOG, NAME = "default", "0a0b0c0d"
HEADER = b'{"at":"2026-11-21T10:00:00.000000Z","node":"bench","via":"http","as":"json"}\n'
PIECE = 8 << 20


def write(directory: Path, signer: Signer, entries: int) -> None:
    """Writes a shard of at least `entries` entries, in segments of 64 MiB."""
    Shard.create(directory, signer)
    shard = Shard.open(directory, signer, log=LOG)
    texts, written, number = bodies(64, MIB), 0, 0
    while written < entries:
        batch = Batch(kernel.pack_lines(texts[number % len(texts)], HEADER))
        shard.submit(batch).result()
        written, number = written + batch.count, number + 1
    shard.seal()
    shard.submit(Batch(kernel.pack_lines(b"the beginning of the next segment", HEADER))).result()
    shard.close()


def archive(directory: Path, signer: Signer, store: Store) -> tuple[int, int]:
    """Puts the sealed segments into a store; returns their entries and bytes."""
    disk, size, length = PosixDisk(), 0, 0
    store.put(verifier_key(LOG, NAME), (directory / "verifier").read_bytes())
    for name in segment_names(disk, directory):
        path, first = directory / name, segment_first(name) or 0
        if seal_place(disk, path) is None:
            continue
        companion = make_companion(disk, path, signer.verifier)
        store.put(tree_key(LOG, NAME, first), companion.encode())
        store.put(segment_key(LOG, NAME, first), path)
        size, length = companion.size, length + companion.length
    return size, length


def restore(store: Store, data: Path) -> None:
    """Restores everything but the index."""
    for name in ("logs", "keys", "access", "index"):
        (data / name).mkdir(parents=True)
    work = Restore(store, Target(data, PosixDisk(), SystemClock()))
    found = work.run(lambda _done, _total: None, threads=os.cpu_count() or 1)
    work.close()
    assert found.whole, list(found.statements(store.url))


def copy(store: Store, folder: Path) -> None:
    """Fetches every object and syncs it; nothing is looked at."""
    for held in Inventory.of(store, LOGS):
        assert held.first is not None
        path = folder / held.key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for offset in range(0, held.first.size, PIECE):
                file.write(store.get_range(held.key, offset, PIECE, version=held.first.version))
            file.flush()
            os.fdatasync(file.fileno())


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def opened(folder: Path, gateway: bool) -> Iterator[Store]:
    """The store to measure."""
    if not gateway:
        yield open_store(Connection.model_validate({"url": f"file://{folder}/store"}), "file")
        return
    from bench.gateway import gateway as started

    with started() as ceph:
        yield open_store(ceph.connection(ceph.lock_bucket(), "bench"), "gateway")


def measure(store: Store, folder: Path, entries: int, length: int, runs: int) -> list[Row]:
    """Measures restore and copy in turn, then verification and the index."""
    pairs = []
    for run in range(runs):
        data, plain = folder / f"data-{run}", folder / f"copy-{run}"
        pairs.append(
            (seconds(lambda: restore(store, data)), seconds(lambda: copy(store, plain)))  # noqa: B023
        )
        shutil.rmtree(plain)
        if run < runs - 1:
            shutil.rmtree(data)
    ours = statistics.median(pair[0] for pair in pairs)
    theirs = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(plain / own for own, plain in pairs)
    mib, lines = length / MIB, entries * LINE_BYTES / MIB
    question = StoreQuestion(jobs=os.cpu_count() or 1)
    checked = seconds(lambda: verify_store(store, question))
    indexed = seconds(lambda: rebuild(folder / f"data-{runs - 1}", LOG))
    what = f"of {entries:,} entries, {mib:,.0f} MiB of segments"
    return [
        Row(
            "restore, each byte verified",
            "MiB/s",
            mib / ours,
            "the objects fetched and synced",
            mib / theirs,
            ratio,
            runs,
            f"{entries / ours:,.0f} entries/s, {lines / ours:,.0f} MiB/s of lines; "
            f"{ours:.1f} s {what}",
        ),
        _alone("verify, from the store", "MiB/s", mib / checked, mib / theirs, f"{checked:.1f} s"),
        _alone("the index, made anew", "entries/s", entries / indexed, 0, f"{indexed:.1f} s"),
    ]


def _alone(what: str, unit: str, rate: float, limit: float, detail: str) -> Row:
    beside = "the objects fetched and synced" if limit else "-"
    return Row(what, unit, rate, beside, limit, rate / limit if limit else 0, 1, detail)


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--gateway", action="store_true")
    parser.add_argument("--scratch", type=Path, default=Path("bench"))
    arguments = parser.parse_args()
    signer = Signer.generate(f"bench/{LOG}/{NAME}", os.urandom)
    with tempfile.TemporaryDirectory(dir=arguments.scratch.absolute()) as name:
        folder = Path(name)
        (folder / LOG).mkdir()
        write(folder / LOG / NAME, signer, arguments.entries)
        with opened(folder, arguments.gateway) as store:
            entries, length = archive(folder / LOG / NAME, signer, store)
            rows = measure(store, folder, entries, length, arguments.runs)
    print(json.dumps(machine()))
    print(table(rows, "rate", "beside"))


if __name__ == "__main__":
    main()
