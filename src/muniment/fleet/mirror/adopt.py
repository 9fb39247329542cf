"""Making a mirror: the mark first, then the folder with the key, which is never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from muniment.clock import Clock, rfc3339
from muniment.data_names import LOGS
from muniment.errors import InputError
from muniment.fleet.mirror.shard import MirroredShard
from muniment.log.base import Base
from muniment.log.disk import Disk
from muniment.log.note import Verifier
from muniment.log.replay import Contradiction
from muniment.store.marks import Mark, Why, read_mark, write_mark
from muniment.store.names import is_key_of


@dataclass(frozen=True, slots=True)
class Found:
    """A shard as a source tells of it for the first time.

    `base` returns where its copy begins; None where it begins with the first entry.
    """

    log: str
    name: str
    source: str
    verifier: str
    base: Callable[[Verifier], Base] | None = None


class Nursery:
    """Makes the folders of mirrors in a data directory, opens them, and writes their marks."""

    def __init__(self, data: Path, disk: Disk, clock: Clock) -> None:
        self._data, self._disk, self._clock = data, disk, clock

    def make(self, found: Found) -> MirroredShard:
        """Makes and opens a mirror. Raises MunimentError, OSError."""
        log, name = found.log, found.name
        key = Verifier.parse(found.verifier)
        if not is_key_of(key.name, log, name):
            raise InputError(f"{found.source} states the key of another shard for it: {key.name}")
        mark = read_mark(self._disk, self._data, log, name)
        if mark is not None and (mark.why is not Why.MIRRORED or mark.problem):
            raise InputError(mark.problem or f"it is here already, {mark.why}: {mark.detail}")
        folder = self._data / LOGS / log / name
        if not folder.exists():
            base = None if found.base is None else found.base(key)
            said = Mark(Why.MIRRORED, self._now(), f"first seen at {found.source}")
            write_mark(self._disk, self._data, log, name, said)
            self._disk.make_directory(folder.parent)
            MirroredShard.create(folder, key, self._disk, base)
        return MirroredShard.open(log, folder, self._disk)

    def open(self, log: str, path: Path) -> MirroredShard | None:
        """Opens a folder where it is a mirror's, stopped where its mark says so.

        Raises MunimentError, OSError.
        """
        mark = read_mark(self._disk, self._data, log, path.name)
        if mark is None or mark.why is not Why.MIRRORED:
            return None
        shard = MirroredShard.open(log, path, self._disk)
        if mark.problem:
            shard.stop(mark.problem, mark.at)
        return shard

    def stop(self, shard: MirroredShard, error: Contradiction) -> None:
        """Ends a mirror for good, and writes down why. Raises OSError."""
        at, evidence = self._now(), list(shard.evidence)
        shard.stop(error.detail, at)
        mark = Mark(Why.MIRRORED, at, "a mirror", problem=error.detail, evidence=evidence)
        write_mark(self._disk, self._data, shard.log, shard.name, mark)

    def _now(self) -> str:
        return rfc3339(self._clock.now())
