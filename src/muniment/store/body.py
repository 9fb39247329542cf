"""What is put, bytes or a file, read in one way; and its SHA-256, for stores that know none."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from muniment.errors import StoreFailing
from muniment.store.port import Body

CHUNK = 1 << 20


@contextlib.contextmanager
def reading(body: Body) -> Iterator[tuple[IO[bytes], int]]:
    """Gives the body as a stream, and its size in bytes."""
    if isinstance(body, Path):
        with body.open("rb") as file:
            yield file, body.stat().st_size
    else:
        yield io.BytesIO(body), len(body)


def check_sha256(what: str, body: Body, sha256: bytes) -> None:
    """Raises StoreFailing where the bytes have another SHA-256 than the one given, if any is."""
    if not sha256:
        return
    digest = hashlib.sha256()
    with reading(body) as (stream, _):
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    if digest.digest() != sha256:
        raise StoreFailing(f"{what}: the bytes have another SHA-256 than the one given")
