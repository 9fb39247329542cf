"""Goes through a log's tree over HTTP: fetches bundles and tiles, hashes, compares."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from muniment import kernel
from muniment.errors import NotFound
from muniment.log.report import ShardReport
from muniment.log.tiles import HASH, WIDTH, tile_path

Fetch = Callable[[str], bytes]
"""Returns the body at a path below the log's prefix. Raises NotFound where there is none, and any
other MunimentError where it cannot be known. Called from several threads."""

Progress = Callable[[int, int], None]
"""Called with the entries that were verified so far and all entries."""

MAX_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class _Bundle:
    """A level-0 tile's leaf hashes from the entries, None where those cannot be used."""

    number: int
    width: int
    leaves: bytes | None
    bytes: int
    problems: tuple[tuple[str, str], ...]


class TreeWalk:
    """Goes through the tree once, from the first entry to the last."""

    def __init__(
        self, prefix: str, fetch: Fetch, size: int, sizes: Sequence[int], report: ShardReport
    ) -> None:
        """`sizes` are tree sizes whose roots are wanted; findings go to `report`."""
        self._prefix, self._fetch, self._report = prefix, fetch, report
        self._size = size
        self._wanted = sorted({s for s in sizes if s <= size})
        self._frontier = b""
        self._pending: list[bytes] = []
        self._compared: list[int] = []
        self._done = 0
        self.roots = {0: kernel.root(b"")}

    @property
    def root(self) -> bytes:
        """The root of what was gone through."""
        return kernel.root(self._frontier)

    def run(self, jobs: int, progress: Progress | None) -> bool:
        """Says whether all entries could be hashed; the findings are in the report."""
        done = self._done
        for bundle in self._bundles(jobs):
            for place, problem in bundle.problems:
                self._find(place, problem)
            if bundle.leaves is None or len(self._report.findings) > MAX_FINDINGS:
                return False
            self._report.bytes += bundle.bytes
            self._note_roots(done, bundle.leaves)
            self._frontier, completed = kernel.extend(self._frontier, done, bundle.leaves)
            for level, hashes in enumerate(completed, 1):
                self._add(level, hashes)
            done += bundle.width
            if progress is not None:
                progress(done, self._size)
        for level, hashes in enumerate(self._pending, 1):
            if hashes:
                self._compare_tile(level, hashes)
        return True

    def skip(self, minimum: int) -> bool:
        """Begins behind the tiles that hold an expired entry; to be called before `run`.

        Their hashes are taken as the log shows them: what it signed commits to them. Says whether
        they could be had.
        """
        whole = min(-(-minimum // WIDTH), self._size // WIDTH)
        hashes = b""
        for number in range(-(-whole // WIDTH)):
            found = self._hashes(1, number, min(WIDTH, whole - number * WIDTH))
            if found is None:
                return False
            hashes += found
        self._frontier, above = kernel.extend(b"", 0, hashes)
        self._done = whole * WIDTH
        for level, row in enumerate([hashes, *above] if hashes else [], 1):
            self._add(level, row)
        if self._done < minimum:
            leaves = self._hashes(0, whole, self._size - self._done)
            if leaves is None:
                return False
            self._frontier, _ = kernel.extend(self._frontier, self._done, leaves)
            self._done = self._size
        self._wanted = [size for size in self._wanted if size > self._done]
        self.roots[self._done] = self.root
        return True

    def _hashes(self, level: int, number: int, width: int) -> bytes | None:
        path = f"tile/{level}/{tile_path(number)}"
        place, found, problem = self._get(path, width, lambda data: data[: width * HASH])
        if found is not None and len(found) != width * HASH:
            problem = f"has {len(found)} bytes where {width * HASH} must be"
            found = None
        if found is None:
            self._find(place, problem)
        return found

    def _bundles(self, jobs: int) -> Iterator[_Bundle]:
        """The bundles in order; a few are fetched ahead."""
        ahead: deque[Future[_Bundle]] = deque()
        numbers = iter(range(-(-self._done // WIDTH), -(-self._size // WIDTH)))
        with ThreadPoolExecutor(jobs, "tiles") as pool:
            try:
                for number in numbers:
                    ahead.append(pool.submit(self._bundle, number))
                    if len(ahead) >= jobs * 2:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def _bundle(self, number: int) -> _Bundle:
        width = min(WIDTH, self._size - number * WIDTH)
        entries = self._get(f"tile/entries/{tile_path(number)}", width, partial(_first, width))
        tile = self._get(f"tile/0/{tile_path(number)}", width, lambda data: data[: width * HASH])
        problems = [(place, problem) for place, data, problem in (entries, tile) if data is None]
        leaves = None
        if entries[1] is not None:
            leaves, problem = _hash(entries[1], width)
            if problem:
                problems.append((entries[0], problem))
        if leaves is not None and tile[1] is not None and leaves != tile[1]:
            problems.append((tile[0], _difference(leaves, tile[1], number * WIDTH, "entry")))
        return _Bundle(number, width, leaves, len(entries[1] or b""), tuple(problems))

    def _get(
        self, path: str, width: int, cut: Callable[[bytes], bytes]
    ) -> tuple[str, bytes | None, str]:
        """A tile or bundle; a partial one may be gone when the log has grown past it."""
        if width == WIDTH:
            try:
                return path, self._fetch(path), ""
            except NotFound:
                return path, None, "is missing"
        partial_path = f"{path}.p/{width}"
        try:
            return partial_path, self._fetch(partial_path), ""
        except NotFound:
            pass
        try:
            return path, cut(self._fetch(path)), ""
        except NotFound:
            return partial_path, None, "is missing"

    def _note_roots(self, done: int, leaves: bytes) -> None:
        count = len(leaves) // HASH
        while self._wanted and self._wanted[0] <= done + count:
            size = self._wanted.pop(0)
            part = leaves[: (size - done) * HASH]
            self.roots[size] = kernel.root(kernel.extend(self._frontier, done, part)[0])

    def _add(self, level: int, hashes: bytes) -> None:
        while len(self._pending) < level:
            self._pending.append(b"")
            self._compared.append(0)
        self._pending[level - 1] += hashes
        while len(self._pending[level - 1]) >= WIDTH * HASH:
            whole = self._pending[level - 1][: WIDTH * HASH]
            self._pending[level - 1] = self._pending[level - 1][WIDTH * HASH :]
            self._compare_tile(level, whole)
            self._compared[level - 1] += 1

    def _compare_tile(self, level: int, expected: bytes) -> None:
        number, width = self._compared[level - 1], len(expected) // HASH
        path = f"tile/{level}/{tile_path(number)}"
        place, found, problem = self._get(path, width, lambda data: data[: len(expected)])
        if found is None:
            self._find(place, problem)
        elif found != expected:
            self._find(place, _difference(expected, found, number * WIDTH, "hash"))

    def _find(self, place: str, problem: str) -> None:
        self._report.find(f"{self._prefix}/{place}", problem)


def _hash(payload: bytes, width: int) -> tuple[bytes | None, str]:
    try:
        leaves = kernel.leaf_hashes(payload)
    except ValueError as error:
        return None, f"is no entry bundle: {error}"
    if len(leaves) != width * HASH:
        return None, f"holds {len(leaves) // HASH} entries where {width} must be"
    return leaves, ""


def _first(count: int, payload: bytes) -> bytes:
    """The first `count` entries of a bundle; all of it where it cannot be cut."""
    offset = 0
    for _ in range(count):
        if offset + 2 > len(payload):
            return payload
        offset += 2 + int.from_bytes(payload[offset : offset + 2], "big")
    return payload[:offset]


def _difference(expected: bytes, found: bytes, first: int, what: str) -> str:
    if len(found) != len(expected):
        return f"has {len(found)} bytes where {len(expected)} must be"
    place = next(
        i for i in range(0, len(expected), HASH) if expected[i : i + HASH] != found[i : i + HASH]
    )
    return f"the hash of {what} {first + place // HASH} is not that of the entries"
