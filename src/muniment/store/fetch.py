"""Files of a store brought to the local disk: each into a draft, which gets its name once whole.

Nothing that is there and differs is overwritten, unless the caller says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from muniment.errors import Conflict, Corrupt
from muniment.log.disk import Disk
from muniment.log.segment import segment_name
from muniment.store.disk import StoreDisk

PIECE = 4 << 20


class Fetch:
    """The segments of one shard: from `there` in a store into a local folder, one ahead.

    `digests` are the SHA-256 of those that were asked for and lie here. `replace` those that lie
    here and differ.
    """

    def __init__(
        self, source: StoreDisk, there: Path, directory: Path, disk: Disk, *, replace: bool
    ) -> None:
        self.digests: dict[int, bytes] = {}
        self._source, self._there = source, there
        self._directory, self._disk, self._replace = directory, disk, replace

    def ahead(self, pool: ThreadPoolExecutor, wanted: Sequence[int]) -> Iterator[bool | Corrupt]:
        """Yields for each whether it was fetched; the next one is fetched meanwhile.

        Corrupt stands for one that the store does not have, or not any more. Raises Conflict,
        StoreFailing, OSError.
        """
        waiting: Future[bool | Corrupt] | None = None
        for number in range(len(wanted) + 1):
            begun = pool.submit(self._one, wanted[number]) if number < len(wanted) else None
            if waiting is not None:
                yield waiting.result()
            waiting = begun

    def _one(self, first: int) -> bool | Corrupt:
        """Sees to it that a segment lies here as the store has it: says whether it was fetched."""
        name = segment_name(first)
        place = self._there / name
        expected = self._source.companions(self._there).by_first.get(first)
        if name in self._disk.names(self._directory):
            here = self.digests[first] = digest_of(self._disk, self._directory / name)
            if expected is not None and here == expected.digest:
                return False
            if self._digest_there(place) in (None, here):
                return False
            if not self._replace:
                raise differs(self._directory / name, str(place))
        draft = self._directory / f".{name}.new"
        try:
            self.digests[first] = fetch_file(self._source, place, draft, self._disk)
        except FileNotFoundError:
            return Corrupt(str(place), 0, "a segment", "nothing")
        self._disk.rename(draft, self._directory / name)
        self._disk.sync_directory(self._directory)
        self._disk.seal(self._directory / name)
        return True

    def _digest_there(self, place: Path) -> bytes | None:
        try:
            return self._source.digest(place)
        except FileNotFoundError:
            return None
        finally:
            self._source.forget(place)


def fetch_file(source: StoreDisk, place: Path, draft: Path, disk: Disk, mode: int = 0o644) -> bytes:
    """Copies a file of a store into a new local one, durable; returns the SHA-256 of its bytes.

    Raises FileNotFoundError where the store has none, StoreFailing, OSError.
    """
    try:
        size, offset, digest = source.size(place), 0, sha256()
        file = disk.create(draft, mode)
        try:
            while offset < size and (piece := source.read(place, offset, PIECE)):
                digest.update(piece)
                file.write(piece)
                offset += len(piece)
            file.sync()
        finally:
            file.close()
    finally:
        source.forget(place)
    return digest.digest()


def digest_of(disk: Disk, path: Path) -> bytes:
    """Returns the SHA-256 of a file, read piece by piece. Raises OSError."""
    digest, offset = sha256(), 0
    while piece := disk.read(path, offset, PIECE):
        digest.update(piece)
        offset += len(piece)
    return digest.digest()


def differs(path: Path, place: str) -> Conflict:
    """Returns the error for a file that lies here and is not what the store holds at `place`."""
    return Conflict(
        f"{path} is there and is not what the store holds as {place}: nothing was overwritten; "
        "move it away and run this again"
    )
