"""Whether a store's put-if-absent is atomic: tried on it, as its documents cannot be trusted."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

from muniment.errors import StoreFailing
from muniment.store.port import Store

AT_ONCE = 4


def fences(store: Store, prefix: str) -> bool:
    """Returns whether of several puts of one key exactly one wins, one after another and at once.

    The objects have random names below `prefix` and are removed again. Raises StoreFailing.
    """
    key = f"{prefix.rstrip('/')}/fence-{secrets.token_hex(8)}".lstrip("/")
    try:
        return _in_turn(store, f"{key}-a") and _at_once(store, f"{key}-b")
    finally:
        for end in "ab":
            store.remove(f"{key}-{end}")


def _in_turn(store: Store, key: str) -> bool:
    first = store.put_if_absent(key, b"first")
    second = store.put_if_absent(key, b"second")
    return first is not None and second is None and store.get(key) == b"first"


def _at_once(store: Store, key: str) -> bool:
    def attempt(number: int) -> bool:
        try:
            return store.put_if_absent(key, b"%d" % number) is not None
        except StoreFailing as error:
            if error.reason != "busy":
                raise
            return False  # a conflict that the store leaves open: not won

    with ThreadPoolExecutor(AT_ONCE) as pool:
        won = [number for number, yes in enumerate(pool.map(attempt, range(AT_ONCE))) if yes]
    return len(won) == 1 and store.get(key) == b"%d" % won[0]
