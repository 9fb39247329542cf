"""A shard: one append-only sequence with its own tree, key, directory and writer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path

from muniment import kernel
from muniment.clock import Clock, SystemClock, rfc3339
from muniment.errors import MunimentError
from muniment.kernel import MAX_ENTRY_BYTES
from muniment.log.batch import Acknowledgement, Batch
from muniment.log.checkpoint import Checkpoint
from muniment.log.committer import Committer
from muniment.log.disk import Disk, PosixDisk, write_file
from muniment.log.health import Health, WriterMetrics
from muniment.log.history import read_batch_ids
from muniment.log.note import Signer
from muniment.log.proof_file import ProofFile
from muniment.log.raw import End, RawSegments
from muniment.log.reader import ShardReader
from muniment.log.recovery import VERIFIER as VERIFIER
from muniment.log.recovery import check_key, cut_files, cut_record, open_tail, remove_drafts
from muniment.log.replica import Replica
from muniment.log.replicated import ReplicatedWriter
from muniment.log.tail import SegmentLimits, Tail
from muniment.log.waiting import Done
from muniment.log.writer import Writer

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
"""Names of logs and shards: they are parts of paths, of URLs and of key names."""

_CUT_PIECE = MAX_ENTRY_BYTES - 1024


class Shard:
    """An open shard. Make one with `create` or `open`; `close` it to publish what is left."""

    def __init__(
        self,
        log: str,
        name: str,
        committer: Committer,
        writer: Writer,
        reader: ShardReader,
        verifier: str,
    ) -> None:
        self.log = log
        self.name = name
        self.verifier = verifier
        self.reader = reader
        self._committer = committer
        self._writer = writer

    @classmethod
    def create(cls, directory: Path, signer: Signer, disk: Disk | None = None) -> None:
        """Makes the directory of a new, empty shard; it is there whole or not at all."""
        disk = disk or PosixDisk()
        draft = directory.with_name(f".{directory.name}.new")
        disk.make_directory(draft)
        write_file(disk, draft / VERIFIER, f"{signer.verifier}\n".encode())
        disk.rename(draft, directory)
        disk.sync_directory(directory.parent)

    @classmethod
    def open(
        cls,
        directory: Path,
        signer: Signer,
        *,
        log: str,
        disk: Disk | None = None,
        clock: Clock | None = None,
        limits: SegmentLimits | None = None,
        queue_bytes: int = 64 << 20,
        replica: Replica | None = None,
    ) -> Shard:
        """Opens a shard for writing, mending what a crash may leave.

        One process may do so at a time; the caller sees to that. With a replica, all that it has
        stored must be in the files already (`Replay`), and `close` closes it too; where this
        raises, the caller does. Raises Corrupt where the files are not what was promised,
        SettingsError where the key is not this shard's.
        """
        disk, clock = disk or PosixDisk(), clock or SystemClock()
        check_key(disk, directory, signer.verifier)
        remove_drafts(disk, directory)
        tail = open_tail(disk, directory, signer.verifier)
        reader = ShardReader(directory, disk)
        reader.advance(tail.size)
        reader.refresh()  # a note on what has expired that does not hold is found now
        replicated = replica is not None
        committer = Committer(disk, directory, signer, tail, limits, replicated=replicated)
        ids = read_batch_ids(disk, directory)
        parts = (log, directory.name, committer, ids, reader, clock)
        writer = (
            Writer(*parts, queue_bytes=queue_bytes)
            if replica is None
            else ReplicatedWriter(*parts, replica, queue_bytes=queue_bytes)
        )
        shard = cls(log, directory.name, committer, writer, reader, str(signer.verifier))
        writer.start(_age(reader, tail, clock))
        try:
            shard._record_cuts(disk, directory, clock)
        except BaseException:
            writer.close()  # or a second one would be started beside it
            raise
        return shard

    def _record_cuts(self, disk: Disk, directory: Path, clock: Clock) -> None:
        """Puts cut-off bytes into the log as entries, then removes the files that kept them."""
        for path in cut_files(disk, directory):
            data = disk.read(path)
            record = cut_record(path, data)
            header = _own_header(clock, "muniment")
            chunks = kernel.pack_records([json.dumps(record).encode()], header)
            pieces = [data[i : i + _CUT_PIECE] for i in range(0, len(data), _CUT_PIECE)]
            chunks += kernel.pack_records(pieces, _own_header(clock, "muniment.cut"))
            id_ = f"{path.name}-{record['sha256']}"
            self.submit(Batch(chunks, id_)).result()
            disk.remove(path)
            disk.sync_directory(directory)

    def offer(self, batch: Batch, done: Done) -> None:
        """Queues a batch; see Writer.offer."""
        self._writer.offer(batch, done)

    def batch_ids(self) -> Sequence[str]:
        """Returns the ids of batches that are remembered as durable, newest last.

        For any thread; those of batches that are being committed may be missing.
        """
        return self._writer.batch_ids()

    def knows(self, id_: str) -> bool:
        """Whether a batch of this id waits for its answer, or is remembered as durable.

        Cheap, and for any thread.
        """
        return self._writer.knows(id_)

    def submit(self, batch: Batch) -> Future[Acknowledgement]:
        """Queues a batch; see Writer.submit."""
        return self._writer.submit(batch)

    @property
    def origin(self) -> str:
        """The name that the shard's checkpoints carry."""
        return self._committer.origin

    @property
    def size(self) -> int:
        """Durable entries."""
        return self.reader.size

    @property
    def raw(self) -> RawSegments:
        """The bytes of the segments, as far as they are durable now."""
        return self.reader.raw(End.of(self._committer.tail))

    @property
    def published_size(self) -> int:
        """Entries under the published checkpoint."""
        return self._committer.published_size

    @property
    def health(self) -> Health:
        """Whether the shard acknowledges."""
        return self._writer.seen_health()

    @property
    def metrics(self) -> WriterMetrics:
        """Counts since the start."""
        return self._writer.metrics

    @property
    def on_commit(self) -> list[Callable[[int], None]]:
        """Called on the writer's thread with the durable size after each commit; be quick."""
        return self._writer.on_commit

    @property
    def on_seal(self) -> list[Callable[[Path], None]]:
        """Called on the writer's thread with each segment that was sealed; be quick."""
        return self._writer.on_seal

    @property
    def fenced(self) -> bool:
        """Whether another node writes this shard: this one never will again."""
        return self._writer.fenced

    @property
    def writable(self) -> bool:
        """Whether batches can be taken at all, now or once a store or disk is well again."""
        return not self.fenced

    def seal(self) -> None:
        """Has the open segment sealed soon, if it holds entries, as if its age had come."""
        self._writer.seal()

    def checkpoint(self) -> str | None:
        """Returns the published checkpoint, or None for a log that has none yet."""
        return self._committer.tail.published

    def wait_published(self, size: int, timeout: float) -> bool:
        """Waits until the published checkpoint covers `size` entries; says whether it does."""
        return self._writer.wait_published(size, timeout)

    def prove(self, index: int) -> ProofFile:
        """Returns the proof of an entry under the published checkpoint.

        Raises NoSuchEntry where that does not cover it (yet: see `wait_published`).
        """
        note = self.checkpoint()  # read once: the writer may publish the next one meanwhile
        size = Checkpoint.of_note(note).size if note is not None else 0
        path = self.reader.inclusion_proof(index, size)
        assert note is not None
        return ProofFile(index, tuple(path), note)

    def close(self) -> None:
        """Commits what waits, publishes it, and closes the files."""
        self._writer.close()


def _age(reader: ShardReader, tail: Tail, clock: Clock) -> float:
    """Returns how many seconds ago the first entry of the open segment came, as far as it says."""
    if tail.segment is None or not tail.places:
        return 0.0
    try:
        header = json.loads(reader.entry(tail.segment.first).partition(b"\n")[0])
        came = datetime.fromisoformat(header["at"])
        return max(0.0, (clock.now() - came).total_seconds())
    except (MunimentError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0.0


def _own_header(clock: Clock, source: str) -> bytes:
    header = {"at": rfc3339(clock.now()), "via": "muniment", "as": source}
    return json.dumps(header, separators=(",", ":")).encode() + b"\n"
