"""The companion of a segment: what the tree needs of it when the segment itself is not there.

It is made of a segment that verified, says which bytes that was (size and SHA-256), and lets
whoever has all companions make `checkpoints` and `tiles/*` anew without one entry:

    magic      8  b"MUNITRE1"
    flags      1  bit 0: the segment before has no seal; bit 1: this one has none (given up)
    origin     2  length, then the origin's bytes
    first      8  index of the first entry
    size       8  the tree's size at the end
    bytes      8  bytes of the segment
    SHA-256   32  of the segment
    start         the tree's frontier at `first`: 32 bytes for each bit set in `first`
    end           the tree's frontier at `size`
    hashes        the hashes of tile level 1 that were completed in it, 32 bytes each
    leaves        the leaf hashes of the last, incomplete tile of level 0, as far as they are in it
    notes      4  how many; for each checkpoint in it 2 bytes of length and the signed note
    CRC        4  CRC-32C of all that

Numbers are unsigned and big-endian. Frontiers, hashes and leaves must agree with each other, and
hashes of higher levels follow from those of level 1. The same segment always has the same
companion, whoever makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import Struct

from muniment import kernel
from muniment.errors import Corrupt, InputError, SignatureInvalid
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import Disk
from muniment.log.frame import Kind
from muniment.log.note import Note, Verifier
from muniment.log.segment import Place, SegmentHeader, read_frame, walk
from muniment.log.tiles import HASH, WIDTH
from muniment.log.verify_segment import check_segment

MAGIC = b"MUNITRE1"
MAX_BYTES = 128 << 20
"""Far above any real companion: 65,536 notes are 16 MiB, 100 million entries 12.5 MiB."""

_ORIGIN = Struct(">8sBH")
_FACTS = Struct(">QQQ32s")
_COUNT = Struct(">I")
_LENGTH = Struct(">H")
_READ = 1 << 20
_KNOWN_FLAGS = 3


@dataclass(frozen=True, slots=True)
class Companion:
    """What is known of a segment without its entries. See the module for the fields.

    `length` and `digest` are bytes and SHA-256 of the segment; `notes` are the checkpoints that
    stand in it, in order.
    """

    origin: str
    first: int
    size: int
    length: int
    digest: bytes
    start: bytes
    end: bytes
    hashes: bytes
    leaves: bytes
    notes: tuple[str, ...]
    after_failure: bool = False
    sealed: bool = True

    @property
    def root(self) -> bytes:
        """The tree's root at `size`."""
        return kernel.root(self.end)

    @property
    def leaves_first(self) -> int:
        """The index of the entry that `leaves` begins with; `size` where there are none."""
        return self.size - len(self.leaves) // HASH

    @property
    def tiles(self) -> list[bytes]:
        """The hashes that were completed in it for tile levels 1, 2, ..., 32 bytes each."""
        start = self.start[: HASH * (self.first // WIDTH).bit_count()]
        _, above = kernel.extend(start, self.first // WIDTH, self.hashes)
        return [self.hashes, *above] if self.hashes else []

    def encode(self) -> bytes:
        """Returns the companion's bytes."""
        origin = self.origin.encode()
        parts = [
            _ORIGIN.pack(MAGIC, self.after_failure | (not self.sealed) << 1, len(origin)),
            origin,
            _FACTS.pack(self.first, self.size, self.length, self.digest),
            self.start,
            self.end,
            self.hashes,
            self.leaves,
            _COUNT.pack(len(self.notes)),
        ]
        for note in self.notes:
            data = note.encode()
            parts += (_LENGTH.pack(len(data)), data)
        whole = b"".join(parts)
        return whole + _COUNT.pack(kernel.crc32c(whole))

    @classmethod
    def decode(cls, data: bytes, where: str) -> Companion:
        """Reads a companion; `where` names it in errors.

        Raises Corrupt where it is not one, or contradicts itself. Signatures are not checked: see
        `check`.
        """
        return _Decoder(data, where).companion()

    def check(self, verifier: Verifier, where: str) -> None:
        """Raises Corrupt unless it is of this key's shard, and the key signed its checkpoints.

        A checkpoint of the size at the end must have the root at the end; sizes must ascend.
        """
        if self.origin != verifier.name:
            raise Corrupt(where, 0, f"origin {verifier.name}", self.origin)
        before = self.first
        for text in self.notes:
            try:
                note = Note.parse(text)
                note.check([verifier])
                checkpoint = Checkpoint.parse(note.text)
            except (InputError, SignatureInvalid) as error:
                expected = f"checkpoints signed by {verifier.name}"
                raise Corrupt(where, 0, expected, error.detail) from error
            if checkpoint.origin != self.origin or not before <= checkpoint.size <= self.size:
                expected = f"a checkpoint between {before} and {self.size}"
                raise Corrupt(where, 0, expected, f"{checkpoint.size} of {checkpoint.origin}")
            if checkpoint.size == self.size and checkpoint.root != self.root:
                raise Corrupt(where, 0, f"root {self.root.hex()}", checkpoint.root.hex())
            before = checkpoint.size


def make_companion(disk: Disk, path: Path, verifier: Verifier, threads: int = 1) -> Companion:
    """Returns the companion of a segment that nobody writes to any more.

    Every byte of it is read and every hash recomputed. Raises Corrupt where it does not verify,
    OSError where it cannot be read.
    """
    length, digest = _measure(disk, path)
    check = check_segment(disk, path, verifier, threads=threads)
    if check.finding is not None:
        found = check.finding
        raise Corrupt(found.file, found.offset or 0, "a segment that verifies", found.problem)
    if check.size == check.first:
        raise Corrupt(str(path), 0, "entries", "a segment that has none")
    hashes = b"".join(check.tiles[0]) if check.tiles else b""
    leaves = _last_leaves(disk, path, max(check.first, check.size // WIDTH * WIDTH), check.size)
    made = Companion(
        verifier.name,
        check.first,
        check.size,
        length,
        digest,
        check.start,
        check.frontier,
        hashes,
        leaves,
        tuple(checkpoint.note for checkpoint in check.checkpoints),
        check.after_failure,
        check.sealed,
    )
    _agree(made, str(path))
    return made


def _measure(disk: Disk, path: Path) -> tuple[int, bytes]:
    """Returns a file's bytes and SHA-256, read piece by piece."""
    hashed, length = sha256(), 0
    while piece := disk.read(path, length, _READ):
        hashed.update(piece)
        length += len(piece)
    return length, hashed.digest()


def _last_leaves(disk: Disk, path: Path, start: int, stop: int) -> bytes:
    """Returns the leaf hashes of the entries in [start, stop), which stand at the end."""
    if start == stop:
        return b""
    last: list[Place] = []
    for place in walk(disk, path, SegmentHeader.read(disk, path).length, disk.size(path)):
        if place.header.kind is Kind.ENTRIES and place.header.size > start:
            last.append(place)
    leaves = b"".join(kernel.leaf_hashes(read_frame(disk, path, place).payload) for place in last)
    return leaves[len(leaves) - HASH * (stop - start) :]


def _agree(made: Companion, where: str) -> None:
    """Raises Corrupt unless frontiers, hashes and leaves are of one tree."""
    tile, last = made.first // WIDTH, made.size // WIDTH
    if tile == last:
        end = kernel.extend(made.start, made.first, made.leaves)[0]
    else:
        whole = kernel.extend(made.start[: HASH * tile.bit_count()], tile, made.hashes)[0]
        end = whole + kernel.extend(b"", 0, made.leaves)[0]
    if end != made.end:
        raise Corrupt(where, 0, f"the frontier {made.end.hex()}", end.hex())


class _Decoder:
    """Reads a companion from its beginning to its end."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data, self._where, self._at = data, where, 0

    def companion(self) -> Companion:
        data = self._data
        self._expect(len(data) <= MAX_BYTES, f"at most {MAX_BYTES} bytes", str(len(data)))
        self._expect(data[: len(MAGIC)] == MAGIC, repr(MAGIC), repr(data[: len(MAGIC)]))
        (crc,) = _COUNT.unpack(data[-_COUNT.size :].rjust(_COUNT.size, b"\0"))
        found = kernel.crc32c(data[: -_COUNT.size])
        self._expect(crc == found, f"CRC {crc:08x}", f"{found:08x}")
        _, flags, length = _ORIGIN.unpack(self._take(_ORIGIN.size))
        self._expect(flags <= _KNOWN_FLAGS, "known flags", str(flags))
        origin = self._text(length)
        first, size, bytes_, digest = _FACTS.unpack(self._take(_FACTS.size))
        self._expect(first < size < 1 << 63, "a range of entries", f"{first} to {size}")
        made = Companion(
            origin,
            first,
            size,
            bytes_,
            digest,
            self._take(HASH * first.bit_count()),
            self._take(HASH * size.bit_count()),
            self._take(HASH * (size // WIDTH - first // WIDTH)),
            self._take(HASH * (size - max(first, size // WIDTH * WIDTH))),
            self._notes(),
            bool(flags & 1),
            not flags & 2,
        )
        rest = len(data) - _COUNT.size - self._at
        self._expect(rest == 0, "the end", f"{rest} more bytes")
        _agree(made, self._where)
        return made

    def _notes(self) -> tuple[str, ...]:
        (count,) = _COUNT.unpack(self._take(_COUNT.size))
        return tuple(self._text(_LENGTH.unpack(self._take(_LENGTH.size))[0]) for _ in range(count))

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode()
        except UnicodeDecodeError as error:
            raise Corrupt(self._where, self._at - length, "UTF-8", str(error)) from error

    def _take(self, length: int) -> bytes:
        end = self._at + length
        room = len(self._data) - _COUNT.size
        self._expect(end <= room, f"{length} bytes", f"{max(room - self._at, 0)}")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _expect(self, holds: bool, expected: str, found: str) -> None:
        if not holds:
            raise Corrupt(self._where, self._at, expected, found)
