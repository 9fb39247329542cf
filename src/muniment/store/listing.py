"""A provider's listing as the port promises it: by key, each key once, and with an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TypeVar

from muniment.errors import StoreFailing
from muniment.store.port import Object

T = TypeVar("T")


def ascending(what: str, objects: Iterator[Object]) -> Iterator[Object]:
    """Yields the objects. Raises StoreFailing where a key is not behind the one before.

    So a service that gives the same page again and again, or another order (Azure accounts with a
    hierarchical namespace), is told from one with many objects.
    """
    last = ""
    for found in objects:
        if last and found.key <= last:
            raise StoreFailing(f"{what}: {found.key[:100]!r} is listed behind {last[:100]!r}")
        last = found.key
        yield found


def by_key(
    what: str, found: Iterator[T], key: Callable[[T], str], version: Callable[[T], str]
) -> Iterator[tuple[str, list[T]]]:
    """Yields keys with all that is listed of them. Raises StoreFailing as `ascending` does."""
    last = ""
    for name, group in groupby(found, key):
        if last and name <= last:
            raise StoreFailing(f"{what}: {name[:100]!r} is listed behind {last[:100]!r}")
        versions: dict[str, T] = {}
        for one in group:
            if version(one) in versions:
                raise StoreFailing(f"{what}: {name[:100]!r} is listed behind itself")
            versions[version(one)] = one
        yield name, list(versions.values())
        last = name
