"""Turns decoded ahead, for a follower that is far behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from muniment.errors import MunimentError
from muniment.index.columns import prune
from muniment.index.copies import Sifted
from muniment.index.reading import Reader, Turn, take

THREADS = 2
BULK_ROWS = 1 << 19
"""Rows that become searchable together: a part of so many is never merged again."""

_Decoded = tuple[pa.Table, int]
"""Pruned rows, and the index of the entry that follows them."""


class Decoders:
    """Threads that decode turns while others are written."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "decode")

    def turns(
        self,
        reader: Reader,
        start: int,
        *,
        log: str,
        shard: str,
        sift: Callable[[Turn], Sifted],
        stopping: Callable[[], bool],
    ) -> Iterator[_Decoded]:
        """Yields the rows from `start` in order, up to about BULK_ROWS or the end of the shard.

        Ends early where `stopping` says so and before what cannot be read. `sift` finds the copies
        in a turn; it is called in order, on the thread that asks for rows.
        """
        ahead: deque[Future[_Decoded]] = deque()
        after = start

        def fill() -> None:
            nonlocal after
            while len(ahead) < THREADS and after - start < BULK_ROWS and not stopping():
                try:
                    sifted = sift(take(reader, after))
                except (MunimentError, OSError):  # the next reading from there says why
                    return
                if sifted.after == after:
                    return
                after = sifted.after
                ahead.append(self._pool.submit(_decode, sifted, log, shard))

        fill()
        while ahead:
            decoded = ahead.popleft().result()
            fill()
            yield decoded
            del decoded

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()


def _decode(sifted: Sifted, log: str, shard: str) -> _Decoded:
    return prune(sifted.rows(log, shard)), sifted.after
