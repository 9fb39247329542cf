"""A store in memory, with its write-once policy, that fails when told: for all tests of stores.

store = SimulatedStore("primary", versioned=True, lockable=True, clock=FakeClock())
store.faults.next(Fault.LOST, "put")          # the next put is done, its answer is lost
store.faults.always(Fault.UNREACHABLE)        # until store.faults.clear()
store.faults.at_random(7, 0.1, [Fault.BUSY, Fault.LOST, Fault.LATE, Fault.DOUBLED])
other = store.seen_by("node-b")               # the same bucket, faults of its own
store.backing.land()                     # what was LATE or DOUBLED arrives now
store.backing.hide("key")                # a delete marker, as an operator leaves it
store.backing.poke("key", b"other")      # rot
store.backing.enforcing = False               # locks on paper only, as a weak store has them
store.calls                                   # every call so far
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import TypeVar

from simulated_bucket import SimulatedBucket, Version
from simulated_faults import REFUSALS, Call, Fault, Faults

from muniment.clock import Clock
from muniment.errors import MunimentError, NoSuchObject, StoreFailing
from muniment.store.port import Body, BucketState, Lock, Object, ObjectState

PAUSE = 0.02
T = TypeVar("T")

__all__ = ["Call", "Fault", "Faults", "SimulatedBucket", "SimulatedStore"]


class SimulatedStore:
    """The Store and the WriteOnce of one node, over a bucket that it may share with others.

    `page` objects come in one page of a list; `pause` is what a SLOW call waits for.
    """

    def __init__(
        self,
        name: str = "simulated",
        *,
        versioned: bool = False,
        lockable: bool = False,
        fencing: bool = True,
        clock: Clock | None = None,
        bucket: SimulatedBucket | None = None,
        node: str = "",
        page: int = 1000,
    ) -> None:
        self.name, self.node, self.page = name, node, page
        self.url = f"simulated://{name}"
        self.backing = bucket or SimulatedBucket(
            versioned=versioned, lockable=lockable, fencing=fencing, clock=clock
        )
        self.faults = Faults()
        self.calls: list[Call] = []
        self.pause: Callable[[Call], None] = lambda call: time.sleep(PAUSE)
        self.closed = False

    def seen_by(self, node: str) -> SimulatedStore:
        """The same bucket as another node sees it, with faults and calls of its own."""
        return SimulatedStore(self.name, bucket=self.backing, node=node, page=self.page)

    @property
    def write_once(self) -> SimulatedStore:
        return self

    # The store

    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        act = partial(self._put, key, _bytes(body, sha256), lock, absent=False)
        version = self._call("put", key, act)
        return version or ""

    def put_if_absent(
        self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None
    ) -> str | None:
        act = partial(self._put, key, _bytes(body, sha256), lock, absent=True)
        return self._call("put_if_absent", key, act)

    def fences(self, prefix: str) -> bool:
        key = f"{prefix.rstrip('/')}/fence".lstrip("/")
        try:
            self.put_if_absent(key, b"first")
            return self.put_if_absent(key, b"second") is None and self.get(key) == b"first"
        finally:
            self.remove(key)

    def get(self, key: str, *, version: str = "") -> bytes:
        return self._read("get", key, lambda: self._find(key, version).body or b"")

    def get_range(self, key: str, offset: int, length: int, *, version: str = "") -> bytes:
        def act() -> bytes:
            return (self._find(key, version).body or b"")[offset : offset + length]

        return self._read("get_range", key, act)

    def head(self, key: str, *, version: str = "") -> Object | None:
        def act() -> Object | None:
            try:
                found = self._find(key, version)
            except NoSuchObject:
                return None
            return next(o for o in self.backing.objects(key) if o.version == found.name)

        return self._call("head", key, act)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Object]:
        def of_key(key: str) -> list[Object]:
            return [o for o in self.backing.objects(key) if o.latest and not o.marker]

        return self._pages("list", prefix, after, of_key)

    def remove(self, key: str) -> None:
        self._call("remove", key, lambda: self.backing.remove(key))

    def close(self) -> None:
        self.closed = True

    # Its write-once policy

    def bucket(self) -> BucketState:
        def act() -> BucketState:
            bucket = self.backing
            return BucketState(
                bucket.versioned,
                bucket.lockable,
                bucket.default_mode,
                bucket.default_days,
                expires=tuple(bucket.expires),
                notes=("simulated",),
            )

        return self._call("bucket", "", act)

    def state(self, key: str, *, version: str = "") -> ObjectState:
        def act() -> ObjectState:
            found = self._find(key, version)
            return ObjectState(key, found.name, found.lock, found.hold)

        return self._call("state", key, act)

    def extend(self, key: str, lock: Lock, *, version: str = "") -> None:
        self._call("extend", key, lambda: self.backing.extend(key, version, lock))

    def hold(self, key: str, on: bool, *, version: str = "") -> None:
        def act() -> None:
            found = self._find(key, version)
            if not self.backing.lockable:
                raise StoreFailing(f"simulated: {key}: the bucket has no object lock")
            found.hold = on

        self._call("hold", key, act)

    def versions(self, prefix: str = "") -> Iterator[Object]:
        return self._pages("versions", prefix, "", self.backing.objects)

    def remove_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        act = partial(self.backing.remove_version, key, version, bypass=bypass)
        self._call("remove_version", key, act)

    # How calls go wrong

    def _call(self, operation: str, key: str, act: Callable[[], T]) -> T:
        call, fault = self._begin(operation, key)
        if fault is Fault.LATE:
            if call.writes:
                self._later(act)
            raise call.failed("slow", "no answer in time", unknown=True)
        result = act()
        if fault is Fault.DOUBLED and call.writes:
            self._later(act)
        if fault is Fault.LOST:
            raise call.failed("unreachable", "the connection was lost", unknown=True)
        return result

    def _begin(self, operation: str, key: str) -> tuple[Call, Fault | None]:
        with self.backing.mutex:
            call = Call(len(self.calls), self.node, operation, key)
            self.calls.append(call)
            fault = self.faults.at(call)
        if fault is Fault.SLOW:
            self.pause(call)
        if fault in REFUSALS:
            raise call.failed(*REFUSALS[fault])
        return call, fault

    def _later(self, act: Callable[[], object]) -> None:
        def request() -> None:
            try:
                act()
            except MunimentError:
                return  # nobody is there to be told

        with self.backing.mutex:
            self.backing.late.append(request)

    def _read(self, operation: str, key: str, act: Callable[[], bytes]) -> bytes:
        call, fault = self._begin(operation, key)
        if fault is Fault.LATE:
            raise call.failed("slow", "no answer in time")
        data = act()
        if fault is Fault.LOST:
            raise call.failed("unreachable", "the connection was lost")
        if fault is Fault.FLIPPED and data:
            at = call.number * 7919 % (len(data) * 8)
            flipped = bytearray(data)
            flipped[at // 8] ^= 1 << at % 8
            return bytes(flipped)
        return data

    def _pages(
        self, operation: str, prefix: str, after: str, of_key: Callable[[str], list[Object]]
    ) -> Iterator[Object]:
        cut = False
        while True:
            if cut:
                raise StoreFailing(f"simulated: {operation} {prefix}: 503", reason="busy")
            call, fault = self._begin(operation, prefix)
            if fault in (Fault.LOST, Fault.LATE):
                raise call.failed("unreachable", "the connection was lost")
            cut = fault is Fault.CUT
            with self.backing.mutex:
                keys = sorted(k for k in self.backing.keys if k.startswith(prefix) and k > after)
                page = keys[: self.page]
                objects = [found for key in page for found in of_key(key)]
            yield from objects
            if not cut and len(keys) <= self.page:
                return
            after = page[-1] if page else after

    def _put(self, key: str, body: bytes, lock: Lock | None, *, absent: bool) -> str | None:
        return self.backing.put(key, body, lock, absent=absent)

    def _find(self, key: str, version: str) -> Version:
        return self.backing.find(key, version)


def _bytes(body: Body, sha256: bytes) -> bytes:
    data = body.read_bytes() if isinstance(body, Path) else bytes(body)
    if sha256 and sha256_of(data).digest() != sha256:
        raise StoreFailing("simulated: the bytes do not have the SHA-256 that came with them")
    return data
