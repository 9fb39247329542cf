"""A shard's files that grow by the bytes of another copy of its segments, and stay the same.

Bytes are cut into group commits, checkpoints and seals, and each goes through `log.replay` before
any of it is written: entries hashed, roots recomputed, signatures checked with the one key that
stands in the shard's folder. What is the same for every copy (a segment's header, its seal, the
tiles) is made here, and compared with what came. So these files are those of the source, byte for
byte, or they end before the first byte that is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from muniment.errors import Corrupt
from muniment.kernel import crc32c
from muniment.log.base import base_tail
from muniment.log.checkpoint import Checkpoint
from muniment.log.cutter import Cutter, Piece
from muniment.log.disk import Disk, PosixDisk
from muniment.log.frame import (
    END,
    HEADER_BYTES,
    SIGNATURE_BYTES,
    BadFrame,
    BatchId,
    Frame,
    FrameHeader,
    Kind,
    parse_batch_table,
)
from muniment.log.note import Verifier, signed_note
from muniment.log.raw import End
from muniment.log.recovery import check_key, cut_files, open_tail, remove_drafts
from muniment.log.replay import Damaged, Replay
from muniment.log.replica import Act, Append
from muniment.log.segment import TRAILER, SegmentHeader, seal_payload, segment_name
from muniment.log.tail import Tail

_CRC_BYTES = 4


@dataclass(frozen=True, slots=True)
class Grown:
    """A group commit that is durable here now: the signed checkpoint after it, its batch ids."""

    size: int
    note: str
    ids: tuple[BatchId, ...]


class Growing(Replay):
    """Takes the bytes that follow at `place`. One thread's.

    Where `take` raises, what came in a piece of its own before is durable; pulling goes on at
    `place`. A Damaged says that bytes were spoilt, any other Corrupt that they do not hold: either
    may be the doing of whoever shows them. `stated` is then the signed note that stood in them,
    as it came: if its signature holds, the shard's key has stated it.
    """

    stated = ""

    def __init__(self, disk: Disk, directory: Path, verifier: Verifier, tail: Tail) -> None:
        super().__init__(disk, directory, verifier, tail)
        self._cutter = Cutter()
        self._crossing = False
        self._based = False

    @classmethod
    def open(cls, directory: Path, verifier: Verifier, disk: Disk | None = None) -> Growing:
        """Goes on from what a directory holds, mending what a crash may leave.

        A torn end is cut off and forgotten: its bytes come again. Raises Corrupt, SettingsError
        where the key in the folder is another, OSError.
        """
        disk = disk or PosixDisk()
        check_key(disk, directory, verifier)
        remove_drafts(disk, directory)
        base = base_tail(disk, directory, verifier)
        tail = base or open_tail(disk, directory, verifier)
        found = cls(disk, directory, verifier, tail)
        found._based = base is not None
        for path in cut_files(disk, directory):
            disk.remove(path)
        return found

    @property
    def place(self) -> End:
        """From where bytes are to come next."""
        end = self.end
        if end.offset and not self._crossing:
            return End(end.segment, end.offset + len(self._cutter))
        return End(self.size, len(self._cutter))

    @property
    def end(self) -> End:
        """Where the durable bytes end."""
        return End.of(self._tail)

    def forget(self) -> None:
        """Drops what came and is not a whole piece: another source may go on from `end`."""
        self._cutter.clear()
        self._crossing = False

    def cross(self) -> None:
        """Goes on with the next segment: the source says that no more comes in this one.

        That is so where a failed disk made its writer give it up; the next header must say so too.
        """
        if self._tail.places:
            self._cutter.clear()
            self._crossing = True

    def take(self, data: bytes) -> Iterator[Grown]:
        """Takes the bytes at `place`; yields the group commits that became whole.

        Raises Corrupt, StorageFailing; then all that is not in the files is forgotten.
        """
        self.stated = ""
        try:
            self._cutter.add(data)
            while True:
                if (self._crossing or self._tail.segment is None) and not self._begin():
                    return
                piece = self._next()
                if piece is None:
                    return
                if piece.kind is Kind.ENTRIES:
                    yield self._grow(piece)
                elif piece.kind is Kind.CHECKPOINT:
                    self._extend(Act.CHECKPOINT, piece, _note_in(piece))
                else:
                    self._end_segment(piece)
        except BaseException:
            self.forget()
            raise

    def _next(self) -> Piece | None:
        try:
            return self._cutter.next()
        except BadFrame as error:
            raise Damaged(self._here(), self.end.offset, error.expected, error.found) from error

    def _begin(self) -> bool:
        """Begins a segment with the header that it must have; says whether that is there."""
        tail, after_failure = self._tail, self._crossing or self._appender.gave_up
        origin = self._verifier.name
        if self._based:  # how the segment before ended is not known here: that has expired
            after_failure = self._appender.gave_up = self._cutter.beginning(9)[8:] == b"\x01"
        expected = SegmentHeader(origin, tail.size, tail.frontier, after_failure).encode()
        found = self._cutter.beginning(len(expected))
        if found != expected[: len(found)] and len(found) == len(expected):
            self._differs(expected, found, crc32c(found[:-_CRC_BYTES]) == _crc(found))
        if len(found) < len(expected):
            return False
        self._cutter.drop(len(expected))
        if self._crossing:
            self._appender.give_up()
            self._crossing = False
        self._appender.prepare(tail.size)
        self._based = False
        return True

    def _grow(self, piece: Piece) -> Grown:
        text = str(Checkpoint(self._verifier.name, piece.last.size, piece.last.root))
        note = signed_note(self._verifier, text, piece.data[-SIGNATURE_BYTES:])
        self._extend(Act.GROUP, piece, note)
        return Grown(piece.last.size, note, tuple(_batch_ids(piece.data)))

    def _extend(self, act: Act, piece: Piece, note: str) -> None:
        assert self._tail.segment is not None
        first, last = self._tail.size, piece.last
        segment = self._tail.segment.first
        try:
            self.extend(Append(act, segment, first, last.size, last.root, piece.data))
        except Corrupt:
            self.stated = note
            raise

    def _end_segment(self, piece: Piece) -> None:
        """Seals the segment where what came is the seal that it must have."""
        tail = self._tail
        frame = Frame(Kind.SEAL, tail.size, 0, tail.root, seal_payload(tail.places)).encode()
        expected = frame + TRAILER.pack(END, tail.offset)
        if piece.data != expected or not tail.places:
            spoilt = piece.data.startswith(
                frame
            )  # only the trailer, which has no checksum, differs
            self._differs(expected, piece.data, _is_whole(piece) and not spoilt)
        self.extend(Append(Act.SEAL, tail.size, tail.size, tail.size, tail.root, b""))

    def _differs(self, expected: bytes, found: bytes, whole: bool) -> NoReturn:
        """Raises what there is to say of bytes that can be made here, and came otherwise."""
        place = next(
            (i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), 0
        )
        kind = Corrupt if whole else Damaged
        start = self.end.offset if not self._crossing else 0
        end = place + 32
        raise kind(self._here(), start + place, expected[place:end].hex(), found[place:end].hex())

    def _here(self) -> str:
        end = self.end
        first = end.segment if end.offset and not self._crossing else self.size
        return f"{self._verifier.name}: {self.source}: {segment_name(first)} (entry {self.size})"


def _crc(data: bytes) -> int:
    return int.from_bytes(data[-_CRC_BYTES:], "big")


def _is_whole(piece: Piece) -> bool:
    """Whether the checksum of a seal holds."""
    body = piece.data[HEADER_BYTES : piece.last.length]
    return crc32c(body) == piece.last.body_crc


def _note_in(piece: Piece) -> str:
    """The note in the frame of a checkpoint, behind the frontier of its tree."""
    frontier = 32 * piece.last.first.bit_count()
    return piece.data[HEADER_BYTES + frontier : piece.last.length].decode(errors="replace")


def _batch_ids(data: bytes) -> Iterator[BatchId]:
    """The ids of the batches in frames that hold."""
    offset = 0
    while offset < len(data):
        header = FrameHeader.parse(data[offset : offset + HEADER_BYTES])
        start = offset + HEADER_BYTES
        yield from parse_batch_table(data[start : start + header.ids], header.first)
        offset += header.length
