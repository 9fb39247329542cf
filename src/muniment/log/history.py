"""What earlier frames of a shard say: its checkpoints and its batch ids, newest first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from muniment import kernel
from muniment.errors import Corrupt, InputError, SignatureInvalid, TryLater
from muniment.log.batch import BatchIds
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import Disk
from muniment.log.frame import HEADER_BYTES, BadFrame, BatchId, Frame, Kind, parse_batch_table
from muniment.log.note import Note, Verifier
from muniment.log.segment import Place, SegmentHeader, read_frame, segment_first, walk

SEGMENTS_FOR_IDS = 2
BYTES_FOR_IDS = 128 << 20
"""Batch ids are read back from so many segments at least, and from more within so many bytes."""

S = TypeVar("S")

_logger = logging.getLogger(__name__)


def segment_names(disk: Disk, directory: Path) -> list[str]:
    """Returns the names of a shard's segment files, in order."""
    return [name for name in disk.names(directory) if segment_first(name) is not None]


@dataclass(frozen=True, slots=True)
class CheckpointFrame:
    """A checkpoint as it stands in a segment: the tree's frontier, and the signed note."""

    path: Path
    offset: int
    size: int
    root: bytes
    frontier: bytes
    note: str

    @classmethod
    def read(cls, disk: Disk, path: Path, place: Place) -> CheckpointFrame:
        """Raises Corrupt where the frame does not verify."""
        return cls.parse(path, place, read_frame(disk, path, place).payload)

    @classmethod
    def parse(cls, path: Path, place: Place, payload: bytes) -> CheckpointFrame:
        """Raises Corrupt where the note is not UTF-8."""
        header = place.header
        cut = 32 * header.first.bit_count()
        try:
            note = payload[cut:].decode()
        except UnicodeDecodeError as error:
            raise Corrupt(str(path), place.offset, "a checkpoint in UTF-8", str(error)) from error
        return cls(path, place.offset, header.first, header.root, payload[:cut], note)

    def check(self, verifier: Verifier) -> None:
        """Raises Corrupt unless the log's key signed just this size and root."""
        try:
            note = Note.parse(self.note)
            note.check([verifier])
            checkpoint = Checkpoint.parse(note.text)
        except (InputError, SignatureInvalid) as error:
            expected = f"a checkpoint signed by {verifier.name}"
            raise Corrupt(str(self.path), self.offset, expected, error.detail) from error
        stated = Checkpoint(verifier.name, self.size, self.root)
        if checkpoint != stated or len(note.signatures) != 1:
            raise Corrupt(str(self.path), self.offset, repr(str(stated)), repr(note.text))
        found = kernel.root(self.frontier)
        if found != self.root:
            raise Corrupt(
                str(self.path), self.offset, f"a frontier with root {self.root.hex()}", found.hex()
            )


def check_signature(path: Path, place: Place, frame: Frame, verifier: Verifier) -> None:
    """Raises Corrupt unless the log's key signed the tree after a frame of entries."""
    checkpoint = Checkpoint(verifier.name, place.header.size, frame.root)
    if not verifier.holds(str(checkpoint), frame.signature):
        expected = f"a frame signed by {verifier.name}"
        raise Corrupt(str(path), place.offset, expected, "another signature, or none")


def checkpoint_frames(
    disk: Disk, directory: Path, last: Path, places: Iterable[Place], *, most: int
) -> list[CheckpointFrame]:
    """Returns up to `most` checkpoints, newest first.

    `places` are the frames of the last segment, `last`; earlier segments are walked as needed.
    """
    found: list[CheckpointFrame] = []
    names = [name for name in segment_names(disk, directory) if name <= last.name]
    path = last
    while names:
        path = directory / names.pop()
        if path != last:
            places = all_places(disk, path)
        for place in reversed([p for p in places if p.header.kind is Kind.CHECKPOINT]):
            found.append(CheckpointFrame.read(disk, path, place))
            if len(found) == most:
                return found
    return found


def read_batch_ids(disk: Disk, directory: Path) -> BatchIds:
    """Returns the ids of the batches in the newest segments; see BYTES_FOR_IDS."""
    ids = BatchIds()
    for name in newest(segment_names(disk, directory), lambda name: disk.size(directory / name)):
        try:
            ids.add_older(_ids_of(disk, directory / name))
        except TryLater as error:  # it is in a store that does not answer
            _logger.warning("%s: older batch ids are not remembered: %s", directory, error.detail)
            break
        if ids.full:
            break
    return ids


def newest(segments: Sequence[S], size: Callable[[S], int]) -> Iterator[S]:
    """Yields the newest of a shard's segments, newest first: those that ids are read back from."""
    total = 0
    for number, segment in enumerate(reversed(segments)):
        total += size(segment)
        if number >= SEGMENTS_FOR_IDS and total > BYTES_FOR_IDS:
            return
        yield segment


def _ids_of(disk: Disk, path: Path) -> list[BatchId]:
    batches: list[BatchId] = []
    for place in all_places(disk, path):
        if place.header.ids:
            table = disk.read(path, place.offset + HEADER_BYTES, place.header.ids)
            try:
                batches.extend(parse_batch_table(table, place.header.first))
            except BadFrame as error:
                raise Corrupt(str(path), place.offset, error.expected, error.found) from error
    return batches


def all_places(disk: Disk, path: Path) -> list[Place]:
    """Returns the frames of a segment by their headers. Raises Corrupt."""
    header = SegmentHeader.read(disk, path)
    return list(walk(disk, path, header.length, disk.size(path)))
