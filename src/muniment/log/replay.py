"""Replay: a shard's files made again from what its replica stored, byte for byte.

Nothing here needs the shard's private key. What comes from the replica is believed as little as a
file: frames are parsed, entries hashed, roots and signatures checked, before a byte is written.
`log.growing` feeds it with the segments of another copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from muniment import kernel
from muniment.errors import Corrupt
from muniment.log.appender import Appender
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import Disk, PosixDisk
from muniment.log.frame import HEADER_BYTES, BadFrame, Frame, FrameHeader, Kind
from muniment.log.history import CheckpointFrame
from muniment.log.last_segment import could_be_torn
from muniment.log.note import Verifier
from muniment.log.plan import Planned
from muniment.log.recovery import CUT, check_key, cut_files, open_tail, remove_drafts
from muniment.log.replica import Act, Append
from muniment.log.segment import Place
from muniment.log.tail import Tail


class Damaged(Corrupt):
    """Bytes that are not what anybody wrote: a checksum is wrong, or they are no frames at all.

    A Corrupt that is neither this nor a Contradiction is of bytes that are whole and do not hold:
    whoever shows them may have made them.
    """


class Contradiction(Corrupt):
    """Two statements that both hold under the shard's key, and cannot both be true."""


class Replay:
    """Applies appends to a shard's directory. Not safe for several threads at once.

    No Shard may have the directory open. Close it before one does. `source` is where appends come
    from now, for errors.
    """

    source = "the replica"

    def __init__(self, disk: Disk, directory: Path, verifier: Verifier, tail: Tail) -> None:
        self._disk, self._directory, self._verifier = disk, directory, verifier
        self._tail = tail
        self._appender = Appender(disk, directory, verifier.name, tail, fixed=True)

    @classmethod
    def open(cls, directory: Path, verifier: Verifier, disk: Disk | None = None) -> Replay:
        """Goes on from what a directory holds, mending what a crash may leave.

        It holds at least `verifier`; where it holds segments, also the `checkpoints` and `tiles`
        that belong to them. Raises Corrupt where the files are not what was promised.
        """
        disk = disk or PosixDisk()
        check_key(disk, directory, verifier)
        remove_drafts(disk, directory)
        return cls(disk, directory, verifier, open_tail(disk, directory, verifier))

    @property
    def size(self) -> int:
        """Entries in the files: the next append begins there, or is in the files already."""
        return self._tail.size

    @property
    def root(self) -> bytes:
        """The root of the tree in the files."""
        return self._tail.root

    def apply(self, append: Append) -> bool:
        """Makes an append durable; returns False where the files hold it already.

        Raises Corrupt where it does not go on exactly where the files end, or does not verify;
        StorageFailing where the disk refuses, and then it may be called again.
        """
        if append.act is Act.SEAL and (append.frames or append.segment != append.size):
            self._wrong(append, 0, "a seal of all before it, without frames", "another")
        if self._holds(append):
            return False
        self.extend(append)
        return True

    def extend(self, append: Append) -> Planned:
        """Makes an append durable that the files cannot hold yet; returns what was made of it.

        Raises as `apply` does.
        """
        planned = self._checked(append)
        self._appender.apply(planned)
        return planned

    def close(self) -> None:
        """Publishes a checkpoint that only the segment has, and closes the files.

        The bytes of a torn group are dropped where the whole one has taken its place: they need
        not become entries of their own. Raises StorageFailing.
        """
        try:
            self._appender.publish_pending()
        finally:
            self._appender.close()
        for path in cut_files(self._disk, self._directory):
            if self._is_whole_again(path):
                self._disk.remove(path)
        self._disk.sync_directory(self._directory)

    def _is_whole_again(self, path: Path) -> bool:
        name, _, place = path.name.partition(CUT)
        segment = path.with_name(name)
        if name not in self._disk.names(self._directory):
            return False
        torn = self._disk.read(path)
        whole = self._disk.read(segment, int(place.partition(".")[0]), len(torn))
        return torn == whole or could_be_torn(torn, whole)

    def _holds(self, append: Append) -> bool:
        tail = self._tail
        if append.size != tail.size:
            return append.size < tail.size
        if append.root != tail.root:
            found = f"one with root {append.root.hex()}"
            expected = f"an append of the tree with root {tail.root.hex()} at size {tail.size}"
            self._wrong(append, 0, expected, found)
        if append.act is Act.SEAL:
            return tail.segment is None or tail.segment.first == tail.size
        if append.act is Act.CHECKPOINT:
            note = tail.pending or tail.published
            return note is not None and Checkpoint.of_note(note).size == tail.size
        return True

    def _checked(self, append: Append) -> Planned:
        """Returns an append with all that the files need of it. Raises Corrupt."""
        tail = self._tail
        if append.first != tail.size:
            expected = f"an append from entry {tail.size}, where {self._directory.name} ends"
            self._wrong(append, 0, expected, f"one from entry {append.first}")
        here = tail.size if tail.segment is None else tail.segment.first
        if append.segment not in (here, tail.size):
            expected = f"the segment {here}, or a new one from entry {tail.size}"
            self._wrong(append, 0, expected, f"the segment {append.segment}")
        if append.act is Act.GROUP:
            planned = self._group(append)
        elif append.act is Act.CHECKPOINT:
            planned = self._checkpoint(append)
        else:
            planned = self._planned(append, tail.frontier)
        if (planned.size, planned.root) != (append.size, append.root):
            expected = f"{append.size} entries with root {append.root.hex()}"
            found = f"{planned.size} with root {planned.root.hex()}"
            self._wrong(append, len(append.frames), expected, found)
        return planned

    def _planned(self, append: Append, frontier: bytes, size: int | None = None) -> Planned:
        first = append.first
        end = first if size is None else size
        root = kernel.root(frontier)
        frames = [append.frames] if append.frames else []
        return Planned(append.act, append.segment, first, end, root, frontier, frames)

    def _group(self, append: Append) -> Planned:
        size, frontier = append.first, self._tail.frontier
        places, tiles = [], []
        for place, frame in self._frames(append, Kind.ENTRIES):
            last = place.end == len(append.frames)
            if frame.begins != (not place.offset) or frame.ends != last:
                self._wrong(append, place.offset, "the frames of one group commit", "others")
            if frame.first != size:
                self._wrong(append, place.offset, f"entry {size}", f"entry {frame.first}")
            leaves = self._leaves(append, place, frame)
            frontier, completed = kernel.extend(frontier, size, leaves)
            self._check_root(append, place, frame, frontier)
            size += frame.count
            stated = str(Checkpoint(self._verifier.name, size, frame.root))
            if not self._verifier.holds(stated, frame.signature):
                expected = f"a frame signed by {self._verifier.name}"
                self._wrong(append, place.offset, expected, "another signature, or none")
            places.append((frame.first, place.offset))
            tiles.append(completed)
        if not places:
            self._wrong(append, 0, "a group commit", "no frame")
        planned = self._planned(append, frontier, size)
        planned.places, planned.tiles = places, tiles
        return planned

    def _leaves(self, append: Append, place: Place, frame: Frame) -> bytes:
        try:
            leaves = kernel.leaf_hashes(frame.payload)
        except ValueError as error:
            self._wrong(append, place.offset, "packed entries", str(error))
        if len(leaves) != 32 * frame.count or not leaves:
            found = f"{len(leaves) // 32}"
            self._wrong(append, place.offset, f"{frame.count or 'some'} entries", found)
        return leaves

    def _checkpoint(self, append: Append) -> Planned:
        found = list(self._frames(append, Kind.CHECKPOINT))
        if len(found) != 1:
            self._wrong(append, 0, "one checkpoint", f"{len(found)} frames")
        place, frame = found[0]
        if (frame.first, frame.count) != (append.first, 0) or not (frame.begins and frame.ends):
            self._wrong(append, 0, f"a checkpoint of size {append.first}", f"of {frame.first}")
        self._check_root(append, place, frame, self._tail.frontier)
        checkpoint = CheckpointFrame.parse(Path(self._name(append)), place, frame.payload)
        checkpoint.check(self._verifier)
        if checkpoint.frontier != self._tail.frontier:
            self._wrong(append, 0, "the frontier of the tree", checkpoint.frontier.hex())
        planned = self._planned(append, self._tail.frontier)
        planned.note = checkpoint.note
        return planned

    def _check_root(self, append: Append, place: Place, frame: Frame, frontier: bytes) -> None:
        found = kernel.root(frontier)
        if found != frame.root:
            self._wrong(append, place.offset, f"root {frame.root.hex()}", found.hex())

    def _frames(self, append: Append, kind: Kind) -> Iterator[tuple[Place, Frame]]:
        """Yields the frames of an append; each must be of the kind."""
        data, offset = append.frames, 0
        while offset < len(data):
            try:
                header = FrameHeader.parse(data[offset : offset + HEADER_BYTES])
                if header.kind is not kind or (header.codec and kind is not Kind.ENTRIES):
                    self._wrong(append, offset, f"a frame of kind {kind}", f"{header.kind}")
                place = Place(offset, header)
                yield place, Frame.decode(header, data[offset + HEADER_BYTES : place.end])
            except BadFrame as error:
                name = self._name(append)
                raise Damaged(name, offset, error.expected, error.found) from error
            offset = place.end

    def _wrong(self, append: Append, offset: int, expected: str, found: str) -> NoReturn:
        raise Corrupt(self._name(append), offset, expected, found)

    def _name(self, append: Append) -> str:
        what = f"{append.act.name.lower()} of {append.first} to {append.size}"
        return f"{self._verifier.name}: {self.source}: {what}"
