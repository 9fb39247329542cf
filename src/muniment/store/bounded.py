"""Reading an object of which nobody knows how large it is, without taking all the memory there is.

Whoever may write a bucket decides what an object weighs. So what is small by its nature is read by
range, one byte further than it may be.
"""

from __future__ import annotations

from muniment.errors import Corrupt
from muniment.store.port import Store

MAX_OBJECT = 2 << 30
"""Bytes of an object that a store's `get` returns at most."""


def get_at_most(store: Store, key: str, most: int, *, version: str = "") -> bytes:
    """Returns an object's bytes. Raises Corrupt where it has more than `most` of them.

    Also raises NoSuchObject, StoreFailing.
    """
    data = store.get_range(key, 0, most + 1, version=version)
    if len(data) > most:
        raise Corrupt(f"{store.url}/{key}", 0, f"an object of {most:,} bytes at most", "more")
    return data
