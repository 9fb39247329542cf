"""A shard of another node, read here, that grows with it.

**This is a detector of split views.** A log that shows one history to some and another to others
has to sign both with the one key that is kept here since the shard was first seen. Every byte that
is pulled must go on from the tree that is here, and every signed checkpoint that any node or the
archive shows for the shard is held against it. A checkpoint that contradicts it ends the mirror of
that shard: nothing here is overwritten, the two that disagree are kept in the shard's mark, and the
shard's health, the metrics and `muniment mirror status` say so until a person has looked. Anybody
can show what is not signed by that key: it ends nothing, and is asked for elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock, RLock
from typing import Self

from muniment.errors import (
    Corrupt,
    Expired,
    InputError,
    NoSuchEntry,
    SignatureInvalid,
    StorageFailing,
)
from muniment.fleet.mirror.consistency import Tile, check_continues
from muniment.log import Health
from muniment.log.base import Base
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import Disk, PosixDisk, write_file
from muniment.log.growing import Growing, Grown
from muniment.log.note import Note, Verifier
from muniment.log.raw import End, RawSegments
from muniment.log.replay import Contradiction, Damaged
from muniment.log.shard import VERIFIER
from muniment.store.read_only import ReadOnlyShard

MOST_CLAIMS = 64
"""Checkpoints that are ahead of this mirror, kept until it has come so far."""


class MirroredShard(ReadOnlyShard):
    """A read-only shard that grows. See `api.ports.Shard`; growing is for one thread at a time.

    `on_commit` is called on the thread that pulls. Make one with `create` and `open`.
    """

    def __init__(self, log: str, directory: Path, disk: Disk, growing: Growing) -> None:
        super().__init__(log, directory, disk, detail="a mirror")
        self._growing = growing
        self._growth, self._claiming = RLock(), Lock()
        self._closed = False
        self.reader.advance(growing.size)  # what has expired counts, also before anything came
        self._published = self.reader.size
        self._claims: OrderedDict[Checkpoint, tuple[str, str]] = OrderedDict()
        self.problem = ""
        self.evidence: tuple[str, ...] = ()
        self.since = ""
        self.untrusted = ("", "")
        """Why none of those who have it can be used now, and since when; empty where one can."""

    @classmethod
    def create(
        cls, directory: Path, verifier: Verifier, disk: Disk, base: Base | None = None
    ) -> None:
        """Makes the directory of a mirror without entries; it is there whole or not at all.

        With a `base` it begins where that ends, as what is before has expired.
        """
        draft = directory.with_name(f".{directory.name}.new")
        disk.make_directory(draft)
        write_file(disk, draft / VERIFIER, f"{verifier}\n".encode())
        if base is not None:
            base.write(disk, draft)
        disk.rename(draft, directory)
        disk.sync_directory(directory.parent)

    @classmethod
    def open(cls, log: str, directory: Path, disk: Disk | None = None) -> Self:
        """Goes on from the files, mending what a crash may leave.

        Raises Corrupt where they are not what was promised, InputError for a broken `verifier`.
        """
        disk = disk or PosixDisk()
        verifier = Verifier.parse(disk.read(directory / VERIFIER).decode())
        return cls(log, directory, disk, Growing.open(directory, verifier, disk))

    @property
    def published_size(self) -> int:
        """Entries under the checkpoint: all of them."""
        return self._published

    @property
    def raw(self) -> RawSegments:
        """The bytes of the segments, as far as they are durable here."""
        return self.reader.raw(self._growing.end)

    @property
    def health(self) -> Health:
        """Well, unless its key contradicts itself, or nobody shows what holds under it."""
        if self.problem:
            return Health(False, self.problem, self.since)
        if self.untrusted[0]:
            return Health(False, *self.untrusted)
        return super().health

    @property
    def place(self) -> End:
        """From where bytes are to come next."""
        return self._growing.place

    @property
    def end(self) -> End:
        """Where the durable bytes end."""
        return self._growing.end

    @property
    def root(self) -> bytes:
        """The root of the tree here."""
        return self._growing.root

    @property
    def ended(self) -> bool:
        """Whether it grows no more: it is closed, or stopped."""
        return self._closed or bool(self.problem)

    def grow(self, data: bytes, source: str) -> None:
        """Takes the bytes at `place`; what is whole and holds is durable and shown afterwards.

        Raises Damaged for spoilt bytes, Contradiction where a checkpoint in them holds and what is
        here does so too, any other Corrupt for bytes that do not hold, StorageFailing, OSError.
        Then the bytes that are not in the files are forgotten.
        """
        with self._growth:
            if self.ended:
                return
            self._growing.source = source
            try:
                for grown in self._growing.take(data):
                    self._grown(grown)
            except Corrupt:
                self._weigh(self._growing.stated, source)
                raise

    def _weigh(self, note: str, source: str) -> None:
        """Holds what bytes state that were refused against the tree. Raises Contradiction."""
        if note:
            try:
                self.compare(note, source)
            except Contradiction:
                raise
            except Corrupt:
                return  # it is not signed: the refusal says enough

    def _grown(self, grown: Grown) -> None:
        for batch in grown.ids:
            self._ids.add(batch)
        self.reader.advance(grown.size)
        self._checkpoint = grown.note
        self._published = grown.size
        for callback in self.on_commit:
            callback(grown.size)

    def forget(self) -> None:
        """Drops bytes of a piece that is not whole: another source may go on."""
        with self._growth:
            self._growing.forget()

    def cross(self) -> None:
        """Goes on with the next segment, as no more comes in this one; see `Growing.cross`."""
        with self._growth:
            self._growing.cross()

    def compare(self, note: str, source: str) -> None:
        """Holds a checkpoint that a source shows against the tree here.

        One that is ahead is kept until this mirror has come so far. Raises Contradiction where its
        signature holds and it is not of the tree here, Damaged where it is no checkpoint, any other
        Corrupt where it is not one of the shard's key.
        """
        where = f"{source}: {self.log}/{self.name}: checkpoint"
        claimed = self._claimed(note, where)
        with self._claiming:
            self._claims[claimed] = (note, where)
            while len(self._claims) > MOST_CLAIMS:
                self._claims.popitem(last=False)
            for claimed in [claimed for claimed in self._claims if claimed.size <= self.size]:
                self._agrees(claimed, *self._claims.pop(claimed))

    def check_continues(self, note: str, source: str, tile: Tile) -> None:
        """Asks a source for the tiles that show whether its checkpoint goes on from here.

        For one that is ahead of a mirror which cannot go on. Raises as `compare` does, and what
        `tile` raises.
        """
        where = f"{source}: {self.log}/{self.name}: checkpoint"
        theirs, own = self._claimed(note, where), self._checkpoint
        if own is None or theirs.size <= (mine := Checkpoint.of_note(own)).size:
            return
        try:
            check_continues(mine, theirs, tile, where)
        except Contradiction:
            self.evidence = (note, own)
            raise

    def _claimed(self, note: str, where: str) -> Checkpoint:
        """Returns a checkpoint of this shard, after its signature."""
        expected = f"a checkpoint signed by {self.verifier}"
        try:
            parsed = Note.parse(note)
            checkpoint = Checkpoint.parse(parsed.text)
        except InputError as error:
            raise Damaged(where, 0, "a signed checkpoint", error.detail) from error
        try:
            parsed.check([self._key])
        except SignatureInvalid as error:
            raise Corrupt(where, checkpoint.size, expected, error.detail) from error
        if checkpoint.origin != self._key.name:
            raise Corrupt(where, checkpoint.size, expected, f"one of {checkpoint.origin}")
        return checkpoint

    def _agrees(self, checkpoint: Checkpoint, note: str, where: str) -> None:
        try:
            root = self.reader.root_at(checkpoint.size)
        except (Expired, NoSuchEntry):
            return  # it cannot be computed any more
        except Corrupt as error:
            raise StorageFailing(error.detail) from error  # these files, not the source
        if root != checkpoint.root:
            self.evidence = (note, self._checkpoint or "")
            expected = f"root {root.hex()} at size {checkpoint.size}: this is another history"
            raise Contradiction(where, checkpoint.size, expected, checkpoint.root.hex())

    def stop(self, problem: str, since: str) -> None:
        """Grows no more: a person has to look."""
        self.problem, self.since = problem, since

    def close(self) -> None:
        """Closes the files; nothing is taken afterwards."""
        with self._growth:
            if not self._closed:
                self._closed = True
                self._growing.forget()
                self._growing.close()
