"""The appender: puts what was planned into a shard's files. What it returns from is durable.

The order of system calls is the promise:

1. a group's frames are written and fdatasynced before any of it is acknowledged, and before the
   next group is written: only the last one can be torn;
2. tile files are synced before a checkpoint that covers them is written;
3. a checkpoint is durable in the segment before it is appended to `checkpoints`, and durable
   there before it is published.

After a failed write or sync no new byte is entrusted to that file. `checkpoints` is written anew
under another name and renamed. A segment is cut back to its last durable byte and writing goes on
in a new one; of a replicated shard, whose segments must be the same everywhere, it is written anew
as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import ENOSPC
from pathlib import Path

from muniment.errors import StorageFailing
from muniment.log.disk import AppendFile, Disk, write_file
from muniment.log.frame import Frame, Kind
from muniment.log.plan import Planned
from muniment.log.replica import Act
from muniment.log.rewrite import rewrite
from muniment.log.segment import END, TRAILER, SegmentHeader, seal_payload, segment_name
from muniment.log.tail import Tail

CHECKPOINTS = "checkpoints"
PROBE = ".probe.new"


class Appender:
    """Owns a shard's files. All methods raise StorageFailing where the disk refuses.

    What was refused may be applied again: it is not in the files as far as anybody was told.
    `fixed` says that segments end where it was planned, also after a failure. `on_seal` is told
    of each segment that was sealed, `on_sync` of each answer of the disk. `gave_up` says that the
    last segment could not be sealed.
    """

    def __init__(
        self, disk: Disk, directory: Path, origin: str, tail: Tail, *, fixed: bool = False
    ) -> None:
        self.tail = tail
        self.on_seal: Callable[[Path], None] | None = None
        self.on_sync: Callable[[], None] = lambda: None
        self._disk, self._directory, self._origin = disk, directory, origin
        self._fixed = fixed
        self._file: AppendFile | None = None
        self._sound = True
        self._full = False
        self.gave_up = False
        self._wanted = 0

    def settle(self) -> bool:
        """Cuts back what a failure left behind; says whether there was one."""
        if self._sound:
            return False
        with self._writing():
            self._cut_back()
        return True

    def apply(self, planned: Planned) -> None:
        """Makes an append durable, sealing and beginning segments where it says so."""
        if planned.act is Act.CHECKPOINT:
            self._checkpoint(planned)
            return
        with self._writing():
            if planned.act is Act.SEAL:
                self._leave(planned.segment)
            else:
                self._group(planned)

    def _group(self, planned: Planned) -> None:
        file, tail = self._ready(planned.segment), self.tail
        offset = tail.offset
        self._append(file, *planned.frames)
        tail.size, tail.frontier = planned.size, planned.frontier
        tail.places.extend((first, offset + place) for first, place in planned.places)
        for completed in planned.tiles:
            tail.tiles.append(completed)

    def _checkpoint(self, planned: Planned) -> None:
        tail = self.tail
        if tail.pending != planned.note:  # else it is in the segment since an earlier attempt
            self.publish_pending()
            self.sync_tiles()
            with self._writing():
                self._append(self._ready(planned.segment), *planned.frames)
            tail.pending = planned.note
        self.publish_pending()

    def sync_tiles(self) -> None:
        """Makes the tile files durable."""
        with _elsewhere("tiles"):
            self.tail.tiles.sync()
        self.on_sync()

    def publish_pending(self) -> None:
        """Appends the checkpoint that is in the segment already to `checkpoints`."""
        tail = self.tail
        if tail.pending is not None:
            with _elsewhere(CHECKPOINTS):
                self._append_checkpoint(tail.pending)
            tail.published, tail.pending = tail.pending, None

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
        self.on_sync()
        self.tail.checkpoints = durable + len(data)

    def prepare(self, segment: int) -> None:
        """Opens or begins the segment that the next append goes to."""
        with self._writing():
            self._ready(segment)

    def probe(self) -> None:
        """Puts as many bytes to the disk as failed, and away again.

        A disk with room for a segment's header, but not for the next commit, is still full.
        """
        with _elsewhere(self._directory.name):
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

    def close(self) -> None:
        """Closes the files."""
        self._close_file()
        self.tail.tiles.close()

    def give_up(self) -> None:
        """Leaves the open segment without a seal, as whoever wrote it first had to."""
        self._close_file()
        self.tail.segment, self.gave_up = None, True

    def _append(self, file: AppendFile, *frames: bytes) -> None:
        self._wanted = sum(map(len, frames))
        for frame in frames:
            file.write(frame)
        file.sync()
        self.on_sync()
        self.tail.offset += self._wanted

    def _ready(self, segment: int) -> AppendFile:
        """Returns a segment's file, mended, opened or begun where it must be."""
        if not self._sound:
            self._cut_back()
        self._leave(segment)
        if self.tail.segment is None:
            self._begin()
        return self._open()

    def _open(self) -> AppendFile:
        if self._file is None:
            assert self.tail.segment is not None
            self._file = self._disk.append(self._path(self.tail.segment))
        return self._file

    def _begin(self) -> None:
        """Begins the next segment. Its first index is the tree's size, so its name is new."""
        tail = self.tail
        header = SegmentHeader(self._origin, tail.size, tail.frontier, self.gave_up)
        path = self._path(header)
        if path.name in self._disk.names(self._directory):
            self._disk.remove(path)  # an earlier attempt: it holds no durable frame
        self._file = self._disk.create(path)
        self._file.write(header.encode())
        self._file.sync()
        self.on_sync()
        self._disk.sync_directory(self._directory)
        self.on_sync()
        # In this order, as other threads look (`End.of`): no segment with the offset of another.
        tail.offset, tail.places, tail.segment = header.length, [], header
        self.gave_up = False

    def _leave(self, segment: int) -> None:
        """Seals the open segment where it is another than `segment`."""
        if not self._sound:
            self._cut_back()
        tail = self.tail
        if tail.segment is None or tail.segment.first == segment:
            return
        file = self._open()
        tail.tiles.sync()
        self.on_sync()
        payload = seal_payload(tail.places)
        frame = Frame(Kind.SEAL, tail.size, 0, tail.root, payload).encode()
        self._append(file, frame + TRAILER.pack(END, tail.offset))
        path, tail.segment, tail.places = self._path(tail.segment), None, []
        self._close_file()
        try:
            self._disk.seal(path)
        finally:
            if self.on_seal is not None:
                self.on_seal(path)

    def _cut_back(self) -> None:
        """Leaves the failed file behind, with its durable bytes and nothing else.

        Where the segment is to go on under its name, its durable bytes move to a new file: one
        without entries cannot be followed by another of the same first index.
        """
        tail = self.tail
        self._close_file()
        if tail.segment is not None:
            path = self._path(tail.segment)
            if self._fixed or not tail.places:
                self._write_anew(path)
            else:
                self._truncate(path)
                tail.segment, self.gave_up = None, True
        self._sound = True

    def _write_anew(self, path: Path) -> None:
        try:
            rewrite(self._disk, path, self.tail.offset)
        except OSError as error:
            if not (self._fixed and self._full and error.errno == ENOSPC):
                raise
            draft = path.with_name(f".{path.name}.new")
            if draft.name in self._disk.names(self._directory):
                self._disk.remove(draft)
            self._truncate(path)  # no room for a copy: a full disk is not one whose syncs fail

    def _truncate(self, path: Path) -> None:
        file = self._disk.append(path)
        try:
            file.truncate(self.tail.offset)
            file.sync()
        finally:
            file.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Translates a failure of the segment, which is not sound afterwards."""
        try:
            yield
        except OSError as error:
            self._full = error.errno == ENOSPC and (self._sound or self._full)
            self._sound = False
            self._close_file()
            reason = error.strerror or str(error)
            name = self._directory.name
            raise StorageFailing(f"{name}: {reason}", retry_after=2) from error

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
