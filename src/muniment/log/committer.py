"""The committer: frames, appends, syncs. One thread of control; what it returns is durable.

The order of system calls is the promise:

1. a group's frames are written and fdatasynced before any of it is acknowledged;
2. tile files are synced before a checkpoint that covers them is written;
3. a checkpoint is durable in the segment before it is appended to `checkpoints`, and durable
   there before it is published.

After a failed write or sync no new byte is entrusted to that file. The segment is cut back to its
last durable byte and writing goes on in a new one; `checkpoints` is written anew under another
name and renamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from muniment import kernel
from muniment.errors import StorageFailing
from muniment.log.batch import Batch
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import AppendFile, Disk, write_file
from muniment.log.frame import Frame, Kind
from muniment.log.group import merge
from muniment.log.note import Signer
from muniment.log.segment import END, TRAILER, SegmentHeader, seal_payload, segment_name
from muniment.log.tail import SegmentLimits, Tail

CHECKPOINTS = "checkpoints"
PROBE = ".probe.new"


class Committer:
    """Appends groups of batches to one shard's files. Not safe for several threads at once."""

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        signer: Signer,
        tail: Tail,
        limits: SegmentLimits | None = None,
    ) -> None:
        self.tail = tail
        self.origin = signer.verifier.name
        self._limits = limits or SegmentLimits()
        self._disk = disk
        self._directory = directory
        self._signer = signer
        self._file: AppendFile | None = None
        self._opened = 0.0
        self._sound = True
        self._gave_up = False
        self._wanted = 0

    @property
    def published_size(self) -> int:
        """The size of the newest published checkpoint."""
        return Checkpoint.of_note(self.tail.published).size if self.tail.published else 0

    def sign(self, size: int, root: bytes) -> str:
        """Returns the signed checkpoint of a tree of this log."""
        return self._signer.sign(self._checkpoint(size, root))

    def _checkpoint(self, size: int, root: bytes) -> str:
        return str(Checkpoint(self.origin, size, root))

    def commit(self, batches: Sequence[Batch], now: float) -> str:
        """Makes the batches durable, in order, and returns the signed checkpoint after them.

        Raises StorageFailing where the disk refuses: then none of them is in the log as far as
        anybody was told, and the same call may be made again.
        """
        try:
            file = self._ready(now)
            tail = self.tail
            size, frontier, places, tiles, data = tail.size, tail.frontier, [], [], []
            offset = tail.offset
            groups = list(merge(batches, size))
            for number, (ids, chunk) in enumerate(groups, 1):
                frontier, completed = kernel.extend(frontier, size, chunk.leaves)
                tiles.append(completed)
                root = kernel.root(frontier)
                checkpoint = self._checkpoint(size + chunk.count, root)
                signature = self._signer.signature(checkpoint)
                frame = Frame(
                    Kind.ENTRIES,
                    size,
                    chunk.count,
                    root,
                    chunk.payload,
                    begins=number == 1,
                    ends=number == len(groups),
                    ids=ids,
                    signature=signature,
                    compressed=chunk.compressed,
                ).encode()
                places.append((size, offset))
                size += chunk.count
                offset += len(frame)
                data.append(frame)
            self._append(file, *data)
        except OSError as error:
            raise self._failed(error) from error
        tail.size, tail.frontier = size, frontier
        tail.places.extend(places)
        for completed in tiles:
            tail.tiles.append(completed)
        return self._signer.note(checkpoint, signature)

    def publish(self, now: float) -> str:
        """Publishes the checkpoint of the durable tree and returns it. Raises StorageFailing."""
        tail = self.tail
        if tail.pending is None:
            with _elsewhere("tiles"):
                tail.tiles.sync()
            try:
                file = self._ready(now)
                note = self.sign(tail.size, tail.root)
                payload = tail.frontier + note.encode()
                frame = Frame(Kind.CHECKPOINT, tail.size, 0, tail.root, payload)
                self._append(file, frame.encode())
            except OSError as error:
                raise self._failed(error) from error
            tail.pending = note
        with _elsewhere(CHECKPOINTS):
            self._append_checkpoint(tail.pending)
        tail.published, tail.pending = tail.pending, None
        return tail.published

    def _append_checkpoint(self, note: str) -> None:
        path = self._directory / CHECKPOINTS
        data = note.encode()
        exists = CHECKPOINTS in self._disk.names(self._directory)
        durable = self.tail.checkpoints
        if not exists or self._disk.size(path) != durable:
            kept = self._disk.read(path, 0, durable) if durable else b""
            write_file(self._disk, path, kept + data)
        else:
            file = self._disk.append(path)
            try:
                file.write(data)
                file.sync()
            finally:
                file.close()
        self.tail.checkpoints = durable + len(data)

    def mend(self, now: float) -> None:
        """Tries to become able to write again after a failure. Raises StorageFailing.

        As many bytes as failed must go to the disk and away again first: a disk with room for a
        segment's header, but not for the next commit, is still full.
        """
        try:
            self._ready(now)
        except OSError as error:
            raise self._failed(error) from error
        with _elsewhere(self._directory.name):
            self._probe()

    def _probe(self) -> None:
        path = self._directory / PROBE
        if path.name in self._disk.names(self._directory):
            self._disk.remove(path)
        file = self._disk.create(path)
        try:
            file.write(bytes(self._wanted))
            file.sync()
        finally:
            file.close()
            self._disk.remove(path)

    def close(self, now: float) -> None:
        """Publishes what is not published yet and closes the files. Raises StorageFailing."""
        try:
            if self.tail.size > self.published_size or self.tail.pending:
                self.publish(now)
        finally:
            self._close_file()
            self.tail.tiles.close()

    def _append(self, file: AppendFile, *frames: bytes) -> None:
        self._wanted = sum(map(len, frames))
        for frame in frames:
            file.write(frame)
        file.sync()
        self.tail.offset += self._wanted

    def _ready(self, now: float) -> AppendFile:
        """Returns the open segment, mended, rolled or begun where it must be."""
        if not self._sound:
            self._cut_back()
        tail = self.tail
        if self._file is not None and self._over(now):
            self._seal(self._file, now)
        if tail.segment is None:
            self._begin(now)
        if self._file is None:
            assert tail.segment is not None
            self._file = self._disk.append(self._path(tail.segment))
            self._opened = now
        return self._file

    def _over(self, now: float) -> bool:
        tail, limits = self.tail, self._limits
        old = now - self._opened >= limits.age
        full = tail.offset >= limits.size or len(tail.places) >= limits.frames
        return bool(tail.places) and (full or old)  # without entries the next has the same name

    def _begin(self, now: float) -> None:
        """Begins the next segment. Its first index is the tree's size, so its name is new."""
        tail = self.tail
        header = SegmentHeader(self.origin, tail.size, tail.frontier, self._gave_up)
        path = self._path(header)
        if path.name in self._disk.names(self._directory):
            self._disk.remove(path)  # an earlier attempt: it holds no durable frame
        self._file = self._disk.create(path)
        self._file.write(header.encode())
        self._file.sync()
        self._disk.sync_directory(self._directory)
        tail.segment, tail.offset, tail.places = header, header.length, []
        self._opened, self._gave_up = now, False

    def _seal(self, file: AppendFile, now: float) -> None:
        tail = self.tail
        assert tail.segment is not None
        tail.tiles.sync()
        payload = seal_payload(tail.places)
        frame = Frame(Kind.SEAL, tail.size, 0, tail.root, payload).encode()
        self._append(file, frame + TRAILER.pack(END, tail.offset))
        path, tail.segment = self._path(tail.segment), None
        self._close_file()
        self._disk.seal(path)
        self._begin(now)

    def _cut_back(self) -> None:
        """Leaves the failed file behind, with its durable bytes and nothing else.

        A segment without entries cannot be followed by another of the same first index, so its
        durable bytes move to a new file of the same name.
        """
        tail = self.tail
        self._close_file()
        if tail.segment is not None:
            path = self._path(tail.segment)
            if tail.places:
                file = self._disk.append(path)
                try:
                    file.truncate(tail.offset)
                    file.sync()
                finally:
                    file.close()
                tail.segment, self._gave_up = None, True
            else:
                write_file(self._disk, path, self._disk.read(path, 0, tail.offset))
        self._sound = True

    def _failed(self, error: OSError) -> StorageFailing:
        self._sound = False
        self._close_file()
        reason = error.strerror or str(error)
        return StorageFailing(f"{self._directory.name}: {reason}", retry_after=2)

    def _close_file(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _path(self, segment: SegmentHeader) -> Path:
        return self._directory / segment_name(segment.first)


@contextmanager
def _elsewhere(name: str) -> Iterator[None]:
    """Translates a failure outside the segment, which stays sound."""
    try:
        yield
    except OSError as error:
        raise StorageFailing(f"{name}: {error.strerror or error}", retry_after=2) from error
