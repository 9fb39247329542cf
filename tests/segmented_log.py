"""A data directory with one log in many small segments, for those who verify it piece by piece."""

from __future__ import annotations

from pathlib import Path

from muniment import kernel
from muniment.access.caller import Scope
from muniment.access.tokens import Tokens
from muniment.log import Batch, Shard
from muniment.log.disk import PosixDisk
from muniment.log.history import segment_names
from muniment.log.note import Signer
from muniment.log.tail import SegmentLimits
from muniment.log.verify_segment import check_segment
from muniment.store.local import LocalStore
from muniment.store.names import segment_key, tree_key, verifier_key
from muniment.store.tree import make_companion

LOG, SHARD = "edge", "0a1b2c3d"
SIGNER = Signer(f"muniment.local/{LOG}/{SHARD}", bytes(range(32)))
SEGMENTS = 9
BATCH = 300


def write_log(data: Path) -> list[str]:
    """Fills a data directory; returns the receipts, one a segment."""
    for name in ("keys", "access", "index"):
        (data / name).mkdir(parents=True)
    Tokens.open(data / "access" / "tokens.json").create("admin", list(Scope))
    (data / "keys" / f"{LOG}.{SHARD}.key").write_text(SIGNER.export() + "\n")
    Shard.create(shard_of(data), SIGNER)
    receipts = []
    opened = Shard.open(shard_of(data), SIGNER, log=LOG, limits=SegmentLimits(frames=1))
    for batch in range(SEGMENTS):
        records = [b"line %d of %d" % (number, batch) for number in range(BATCH)]
        packed = Batch(kernel.pack_records(records, b'{"as":"text"}\n'), f"batch-{batch}")
        receipts.append(opened.submit(packed).result(60).receipt)
    opened.close()
    return receipts


def shard_of(data: Path) -> Path:
    """The directory of the one shard."""
    return data / "logs" / LOG / SHARD


def segments_of(data: Path) -> list[Path]:
    """The segment files, in order."""
    shard = shard_of(data)
    return [shard / name for name in segment_names(PosixDisk(), shard)]


def flip(path: Path, offset: int | None = None) -> None:
    """Changes one bit, in the middle unless told where."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if offset is None else offset] ^= 0x10
    path.write_bytes(content)


def archive_log(data: Path, store: LocalStore) -> None:
    """Puts all sealed segments of the log into a store, as the archive does."""
    disk, verifier = PosixDisk(), SIGNER.verifier
    store.put(verifier_key(LOG, SHARD), (shard_of(data) / "verifier").read_bytes())
    for path in segments_of(data):
        check = check_segment(disk, path, verifier)
        if check.sealed:
            companion = make_companion(disk, path, verifier).encode()
            store.put(tree_key(LOG, SHARD, check.first), companion)
            store.put(segment_key(LOG, SHARD, check.first), path.read_bytes())
