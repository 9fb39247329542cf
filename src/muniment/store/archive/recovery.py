"""Books made anew of what the primary store has: after they were lost, or on a restored node.

A companion says which bytes its segment has, and is signed for by the checkpoints in it; so a
segment can be read from the store at once. It is read back as a whole before it counts as
confirmed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from muniment.errors import Corrupt, NoSuchObject
from muniment.log.disk import Disk
from muniment.log.note import Verifier
from muniment.store.archive.books import Books, Copy, Item, Thing, thing_of
from muniment.store.archive.carry import place
from muniment.store.bounded import get_at_most
from muniment.store.inventory import Inventory
from muniment.store.names import segment_key, shard_prefix, tree_first, tree_key
from muniment.store.port import Object, Store
from muniment.store.tree import MAX_BYTES, Companion


def remote_items(
    store: Store, log: str, shard: str, verifier: Verifier, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, Item]]:
    """Yields names and items of the segments in a store that are wanted, as evicted ones.

    Of every key the first version is taken. Raises Corrupt where a companion does not hold,
    StoreFailing.
    """
    prefix = shard_prefix(log, shard)
    inventory = Inventory.of(store, prefix)
    for key in inventory.names(prefix.rstrip("/")):
        first = tree_first(key)
        if first is None or not wanted(f"{first:020d}"):
            continue
        tree = inventory.first(tree_key(log, shard, first))
        segment = inventory.first(segment_key(log, shard, first))
        if tree is not None and segment is not None:
            yield f"{first:020d}", _item(store, first, tree, segment, verifier)


def _item(store: Store, first: int, tree: Object, segment: Object, verifier: Verifier) -> Item:
    where = place(store, tree.key)
    if tree.size > MAX_BYTES:
        raise Corrupt(where, 0, f"at most {MAX_BYTES} bytes", str(tree.size))
    try:
        data = get_at_most(store, tree.key, MAX_BYTES, version=tree.version)
    except NoSuchObject as error:
        raise Corrupt(where, 0, "a companion", "nothing") from error
    companion = Companion.decode(data, where)
    companion.check(verifier, where)
    if companion.first != first or segment.size != companion.length:
        raise Corrupt(where, 0, f"the companion of {segment.key}", "that of another segment")
    since = int(segment.modified.timestamp()) if segment.modified else 0
    return evicted_item(store.name, companion, data, (tree.version, segment.version), since)


def evicted_item(
    store: str, companion: Companion, tree: bytes, versions: tuple[str, str], since: int
) -> Item:
    """Returns the item of a segment that is in the primary store only, not read back yet.

    `tree` are the companion's bytes, `versions` those of companion and segment (empty where the
    store keeps none), `since` when it was sealed, in seconds since the epoch.
    """
    things = [thing_of(tree), Thing(companion.length, companion.digest.hex())]
    return Item(things, since, companion.size, True, {store: Copy(list(versions))})


def note_evicted(disk: Disk, books: Path, log: str, shard: str, items: Mapping[int, Item]) -> None:
    """Puts segments by first index into the books of a node that does not run. Raises OSError.

    `books` is DATA/archive.
    """
    kept = Books(disk, books / f"{log}.{shard}.json", time.monotonic)
    with kept.change() as known:
        known.update({f"{first:020d}": item for first, item in items.items()})
    kept.flush(now=True)
