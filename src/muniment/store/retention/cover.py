"""Setting the legal holds of a store's objects as the register says, and no others of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from muniment.errors import NoSuchObject
from muniment.store.archive.port import Destination
from muniment.store.names import Kind, Name, log_prefix, parse
from muniment.store.port import Object
from muniment.store.retention.hold import What
from muniment.store.retention.holds import Holds

LOST = "hold.lost"
NAMED = 20
"""Objects that a record names."""

Stop = Callable[[str, int], int]
"""Told a shard and the first index of a segment: the index after its last entry."""


def cover(
    log: str, holds: Holds, destination: Destination, stop: Stop, placed: set[str]
) -> list[str]:
    """Puts the legal hold on what is held in a store, and takes it off what is not any more.

    Segments and their companions are held with their entries, all objects of a log by a hold on
    the log. `placed` are keys that were held by an earlier round: only those are let go, so that a
    hold that somebody else set in the store stays. Returns the keys of those that should have been
    held already and were not: somebody took the hold off. Raises StoreFailing.
    """
    known, lost = frozenset(placed), []
    whole = any(hold.what is What.LOG for hold in holds)
    store = destination.store
    for one, name in _evidence(destination, log):
        wanted = whole or (
            name.kind in (Kind.SEGMENT, Kind.TREE)
            and holds.held(name.shard, name.number, stop(name.shard, name.number))
        )
        if not wanted and one.key not in placed:
            continue
        try:
            state = store.write_once.state(one.key, version=one.version)
            if wanted != state.hold:
                store.write_once.hold(one.key, wanted, version=one.version)
                lost += [one.key] if wanted and one.key in known else []
        except NoSuchObject:
            continue
        if wanted:
            placed.add(one.key)
        else:
            placed.discard(one.key)
    return lost


def lost_holds(log: str, store: str, lost: Sequence[str]) -> dict[str, object]:
    """Returns the record that legal holds were taken off in a store, and set again."""
    return {
        "actor": "muniment",
        "action": LOST,
        "resource": {"name": store, "type": "store"},
        "outcome": "failure",
        "message": f"{len(lost):,} objects of {log} in {store} had lost their legal hold; it was "
        "set again",
        "count": len(lost),
        "objects": list(lost[:NAMED]),
    }


def _evidence(destination: Destination, log: str) -> Iterator[tuple[Object, Name]]:
    """Yields the oldest version of each object of a log, with what its key says."""
    last: tuple[Object, Name] | None = None
    for one in destination.store.write_once.versions(log_prefix(log)):
        if last is not None and one.key != last[0].key:
            yield last
            last = None
        name = parse(one.key)
        if not one.marker and name is not None:
            last = (one, name)
    if last is not None:
        yield last
