"""A shard that is read and not written here: restored, taken over by another node, or mirrored.

It needs no private key: every frame of entries carries the log's signature over the tree after it,
so its newest frame gives the checkpoint, and a batch that comes again gets its first receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from muniment.errors import Corrupt, MunimentError, NoSuchEntry, Unavailable
from muniment.log import Acknowledgement, Batch, Health, ShardReader
from muniment.log.batch import BatchIds
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import Disk, PosixDisk
from muniment.log.frame import HEADER_BYTES, BadFrame, Frame, Kind, parse_batch_table
from muniment.log.health import WriterMetrics
from muniment.log.history import check_signature, segment_names
from muniment.log.note import Verifier, signed_note
from muniment.log.proof_file import ProofFile
from muniment.log.raw import End, RawSegments
from muniment.log.repetition import Repetitions
from muniment.log.segment import (
    Place,
    SegmentHeader,
    read_frame,
    seal_place,
    segment_first,
    segment_name,
    walk,
)
from muniment.log.shard import VERIFIER
from muniment.log.waiting import Done, Waiting


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
        self._end = End(0, 0)
        self.reader.advance(Checkpoint.of_note(self._checkpoint).size if self._checkpoint else 0)
        self.reader.refresh()
        self._end = self._find_end()
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
        return self.reader.size

    @property
    def published_size(self) -> int:
        """Entries under the checkpoint: all of them."""
        return self.size

    @property
    def raw(self) -> RawSegments:
        """The bytes of the segments, up to the last whole group commit or checkpoint."""
        return self.reader.raw(self._end)

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
        return size <= self.size

    def prove(self, index: int) -> ProofFile:
        """Returns the proof of an entry. Raises NoSuchEntry."""
        note = self._checkpoint  # read once: a mirror grows meanwhile
        size = Checkpoint.of_note(note).size if note is not None else 0
        path = self.reader.inclusion_proof(index, size)
        assert note is not None
        return ProofFile(index, tuple(path), note)

    def close(self) -> None:
        """Nothing is open."""

    def _newest(self) -> str | None:
        """The checkpoint of the last whole group commit."""
        for name in reversed(segment_names(self._disk, self._directory)):
            path = self._directory / name
            for group in reversed(self._groups(path)):
                frames = self._read(path, group) if group[-1].header.count else None
                if frames is not None:
                    return self._note(path, group[-1], frames[-1])
        return None

    def _find_end(self) -> End:
        """Where the last whole group commit, or the checkpoint behind it, ends."""
        names = segment_names(self._disk, self._directory)
        first = segment_first(names[-1]) if names else None
        if first is None:
            return End(self.size, 0)
        path = self._directory / names[-1]
        groups = self._groups(path)
        while groups and self._read(path, groups[-1]) is None:
            groups.pop()
        if not groups:
            return End(first, self._header_length(path))
        if groups[-1][-1].header.kind is Kind.SEAL and self._is_sealed(path):
            return End(self.size, 0)
        if groups[-1][-1].header.kind is Kind.SEAL:
            groups.pop()  # its trailer is not whole
        return End(first, groups[-1][-1].end if groups else self._header_length(path))

    def _header_length(self, path: Path) -> int:
        try:
            return SegmentHeader.read(self._disk, path).length
        except Corrupt:
            return 0

    def _is_sealed(self, path: Path) -> bool:
        try:
            return seal_place(self._disk, path) is not None
        except Corrupt:
            return False

    def _read(self, path: Path, group: list[Place]) -> list[Frame] | None:
        """The frames of a group, or None where one of them does not hold."""
        try:
            return [read_frame(self._disk, path, place) for place in group]
        except Corrupt:
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
            ids.add_older([batch for batch in batches if batch.first + batch.count <= self.size])
        return ids

    def _groups(self, path: Path) -> list[list[Place]]:
        """The frames of each whole group commit, checkpoint and seal; a torn end is left out."""
        groups: list[list[Place]] = []
        group: list[Place] = []
        try:
            header = SegmentHeader.read(self._disk, path)
            for place in walk(self._disk, path, header.length, self._disk.size(path)):
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
        return signed_note(self._key, text, frame.signature)

    def _signed(self, size: int, root: bytes) -> str:
        """The checkpoint that was signed at the end of an earlier group commit."""
        del root
        names = [segment_first(name) for name in segment_names(self._disk, self._directory)]
        first = max(one for one in names if one is not None and one < size)
        path = self._directory / segment_name(first)
        for group in self._groups(path):
            if group[-1].header.count and group[-1].header.size == size:
                return self._note(path, group[-1], read_frame(self._disk, path, group[-1]))
        raise NoSuchEntry(f"no group commit ends at {size} entries")
