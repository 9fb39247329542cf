"""A small log in a store: its segments, companions and verifier, as the archive puts them there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from simulated_disk import SimulatedDisk
from simulator import SimulatedStore
from small_shard import DIRECTORY, GROUPS, SIGNER, live

from muniment.log.committer import CHECKPOINTS
from muniment.log.segment import segment_name
from muniment.log.verify_segment import check_segment
from muniment.store.insist import Insist
from muniment.store.names import segment_key, tree_key, verifier_key
from muniment.store.port import Lock, Store
from muniment.store.tree import make_companion

LOG, NAME = "a", "b"
THERE = Path("logs/a/b")
WRITTEN = live(GROUPS * 2)
"""Four sealed segments, and a fifth that is begun and holds a checkpoint only."""

FIRSTS = [0, 261, 304, 565]
SIZE = len(WRITTEN.entries)
SEGMENTS = [DIRECTORY / segment_name(first) for first in FIRSTS]
NOTES = DIRECTORY / CHECKPOINTS
ARCHIVED = [
    frame.note
    for path in SEGMENTS
    for frame in check_segment(WRITTEN.disk, path, SIGNER.verifier).checkpoints
]
"""The checkpoints that stand in sealed segments."""

FILES = {
    **{path: data for path, data in WRITTEN.disk.files().items() if not path.name.startswith("0")},
    **{path: WRITTEN.disk.read(path) for path in SEGMENTS},
    NOTES: "".join(ARCHIVED).encode(),
}
"""What comes back from the store."""

AT_ONCE = Insist(tries=4, sleep=lambda _seconds: None)


def archive(
    store: Store,
    disk: SimulatedDisk = WRITTEN.disk,
    *,
    segments: int = len(SEGMENTS),
    lock: Lock | None = None,
) -> None:
    """Puts the first segments of the small shard into a store."""
    verifier = disk.read(DIRECTORY / "verifier")
    store.put_if_absent(verifier_key(LOG, NAME), verifier, lock=lock)
    for path, first in list(zip(SEGMENTS, FIRSTS, strict=True))[:segments]:
        store.put_if_absent(tree_key(LOG, NAME, first), _companion(disk, path), lock=lock)
        store.put_if_absent(segment_key(LOG, NAME, first), disk.read(path), lock=lock)


@cache
def _companion(disk: SimulatedDisk, path: Path) -> bytes:
    return make_companion(disk, path, SIGNER.verifier).encode()


def archived(*, segments: int = len(SEGMENTS), **settings: bool) -> SimulatedStore:
    """A store in memory with the small shard in it."""
    store = SimulatedStore("primary", **settings)  # type: ignore[arg-type]
    archive(store, segments=segments)
    store.calls.clear()
    return store
