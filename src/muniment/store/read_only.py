"""A shard that is read and not written here: restored from a store, or taken over by another node.

It needs no private key: every frame of entries carries the log's signature over the tree after it,
so its newest frame gives the checkpoint, and a batch that comes again gets its first receipt.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from muniment.errors import Corrupt, MunimentError, NoSuchEntry, Unavailable
from muniment.log import Acknowledgement, Batch, Health, ShardReader
from muniment.log.batch import BatchIds
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import Disk, PosixDisk
from muniment.log.frame import HEADER_BYTES, BadFrame, Frame, Kind, parse_batch_table
from muniment.log.history import check_signature, segment_names
from muniment.log.note import Verifier
from muniment.log.proof_file import ProofFile
from muniment.log.repetition import Repetitions
from muniment.log.segment import Place, SegmentHeader, read_frame, segment_first, walk
from muniment.log.shard import VERIFIER
from muniment.log.waiting import Done, Waiting
from muniment.log.writer import WriterMetrics


class ReadOnlyShard:
    """The entries of a shard's directory up to its last whole group commit. See `api.ports.Shard`.

    For any thread. Batches are refused, but for those whose id it knows.
    """

    def __init__(
        self,
        log: str,
        directory: Path,
        disk: Disk | None = None,
        *,
        detail: str = "",
        durability: str = "local",
    ) -> None:
        """Reads where the shard ends. Raises Corrupt, InputError for a broken `verifier`, OSError.

        `detail` says why it is not written; `durability` is what its receipts said.
        """
        self.log, self.name = log, directory.name
        self._directory, self._disk, self._detail = directory, disk or PosixDisk(), detail
        self._key = Verifier.parse(self._disk.read(directory / VERIFIER).decode())
        self.verifier = str(self._key)
        self.reader = ShardReader(directory, self._disk)
        self._checkpoint = self._newest()
        self._size = Checkpoint.of_note(self._checkpoint).size if self._checkpoint else 0
        self.reader.advance(self._size)
        self.reader.refresh()
        self._ids = self._batch_ids()
        self._repetitions = Repetitions(
            log, self.name, durability, self._ids, self.reader, self._signed
        )
        self.metrics = WriterMetrics()
        self.on_commit: list[Callable[[int], None]] = []

    @property
    def origin(self) -> str:
        """The name that the shard's checkpoints carry."""
        return self._key.name

    @property
    def size(self) -> int:
        """Entries."""
        return self._size

    @property
    def published_size(self) -> int:
        """Entries under the checkpoint: all of them."""
        return self._size

    @property
    def health(self) -> Health:
        """Well: that it takes nothing is as it should be."""
        return Health(reason=f"read-only: {self._detail}" if self._detail else "read-only")

    @property
    def writable(self) -> bool:
        """Never."""
        return False

    def knows(self, id_: str) -> bool:
        """Whether a batch came with this id, and is remembered."""
        return self._ids.find(id_) is not None

    def batch_ids(self) -> Sequence[str]:
        """Returns the ids of batches that are remembered, newest last."""
        return self._ids.names()

    def offer(self, batch: Batch, done: Done) -> None:
        """Answers a batch that was taken before. Raises Unavailable for any other one."""
        if batch.id is None or not self.knows(batch.id):
            raise Unavailable(f"{self.log}/{self.name} is read-only here")
        self._repetitions.replay(Waiting(batch, done, set()))

    def submit(self, batch: Batch) -> Future[Acknowledgement]:
        """As `offer`, with a future."""
        answer: Future[Acknowledgement] = Future()

        def done(result: Acknowledgement | MunimentError) -> None:
            if isinstance(result, MunimentError):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        self.offer(batch, done)
        return answer

    def checkpoint(self) -> str | None:
        """Returns the signed checkpoint of all entries, or None for a shard without any."""
        return self._checkpoint

    def wait_published(self, size: int, timeout: float) -> bool:
        """Says whether the checkpoint covers `size` entries; nothing is waited for."""
        del timeout
        return size <= self._size

    def prove(self, index: int) -> ProofFile:
        """Returns the proof of an entry. Raises NoSuchEntry."""
        path = self.reader.inclusion_proof(index, self._size)
        assert self._checkpoint is not None
        return ProofFile(index, tuple(path), self._checkpoint)

    def close(self) -> None:
        """Nothing is open."""

    def _newest(self) -> str | None:
        """The checkpoint of the last whole group commit."""
        for name in reversed(segment_names(self._disk, self._directory)):
            path = self._directory / name
            for group in reversed(self._groups(path)):
                try:
                    frames = [(place, read_frame(self._disk, path, place)) for place in group]
                except Corrupt:
                    continue
                if frames:
                    return self._note(path, *frames[-1])
        return None

    def _batch_ids(self) -> BatchIds:
        """The ids of the batches in the newest segments."""
        ids = BatchIds()
        for name in reversed(segment_names(self._disk, self._directory)[-2:]):
            path = self._directory / name
            batches = []
            for place in (place for group in self._groups(path) for place in group):
                header = place.header
                table = self._disk.read(path, place.offset + HEADER_BYTES, header.ids)
                try:
                    batches += parse_batch_table(table, header.first) if header.ids else []
                except BadFrame as error:
                    raise Corrupt(str(path), place.offset, error.expected, error.found) from error
            ids.add_older([batch for batch in batches if batch.first + batch.count <= self._size])
        return ids

    def _groups(self, path: Path) -> list[list[Place]]:
        """The frames of entries of each whole group commit; a torn one at the end is left out."""
        groups: list[list[Place]] = []
        group: list[Place] = []
        try:
            header = SegmentHeader.read(self._disk, path)
            for place in walk(self._disk, path, header.length, self._disk.size(path)):
                if place.header.kind is Kind.ENTRIES:
                    group.append(place)
                if place.header.ends:
                    groups.append(group)
                    group = []
        except Corrupt:
            pass  # whatever stands before it was committed; `verify` tells of it
        return groups

    def _note(self, path: Path, place: Place, frame: Frame) -> str:
        check_signature(path, place, frame, self._key)
        text = str(Checkpoint(self._key.name, place.header.size, frame.root))
        blob = b64encode(self._key.id + frame.signature).decode()
        return f"{text}\n\u2014 {self._key.name} {blob}\n"

    def _signed(self, size: int, root: bytes) -> str:
        """The checkpoint that was signed at the end of an earlier group commit."""
        del root
        names = [segment_first(name) for name in segment_names(self._disk, self._directory)]
        first = max(one for one in names if one is not None and one < size)
        path = self._directory / f"{first:020d}.seg"
        for group in self._groups(path):
            if group and group[-1].header.size == size:
                return self._note(path, group[-1], read_frame(self._disk, path, group[-1]))
        raise NoSuchEntry(f"no group commit ends at {size} entries")
