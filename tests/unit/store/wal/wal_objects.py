"""Write-ahead objects made by hand, for tests of what reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

from simulator import SimulatedStore

from muniment.log.replica import Act, Append
from muniment.store.wal.header import NOTHING, Header, Kind
from muniment.store.wal.identity import Node
from muniment.store.wal.names import Place, ShardName, key
from muniment.store.wal.record import Encoded, encode, header_of

OF = ShardName("test.example", "default", "aa")
A, B = Node("a", b"a" * 16), Node("b", b"b" * 16)
AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)


def root(size: int) -> bytes:
    return sha256(b"%d" % size).digest()


def group(first: int, size: int, segment: int = 0) -> Append:
    return Append(Act.GROUP, segment, first, size, root(size), b"frames %d-%d" % (first, size))


def checkpoint(size: int, segment: int = 0) -> Append:
    return Append(Act.CHECKPOINT, segment, size, size, root(size), b"checkpoint %d" % size)


class Written:
    """Puts objects of a shard into a store, one after the other, and remembers them."""

    def __init__(self, store: SimulatedStore) -> None:
        self.store = store
        self.prev = NOTHING
        self.objects: dict[Place, Encoded] = {}

    def fence(
        self, term: int, slot: int, writer: bytes, confirmed: int, size: int = 0, node: Node = A
    ) -> Encoded:
        tree = root(size) if size else NOTHING
        header = Header(
            Kind.FENCE, OF, node, term, slot, confirmed, writer, self.prev, AT, size, size, tree
        )
        return self._put(Place(term, slot), encode(header))

    def data(
        self, term: int, slot: int, writer: bytes, confirmed: int, *appends: Append
    ) -> Encoded:
        header = replace(
            header_of(appends, OF, A, writer, AT),
            term=term,
            slot=slot,
            confirmed=confirmed,
            prev=self.prev,
        )
        return self._put(Place(term, slot), encode(header, appends))

    def _put(self, place: Place, made: Encoded) -> Encoded:
        assert self.store.put_if_absent(key(OF, place), made.data) is not None
        self.prev, self.objects[place] = made.digest, made
        return made

    def remove(self, term: int, *slots: int) -> None:
        for slot in slots:
            self.store.remove(key(OF, Place(term, slot)))
