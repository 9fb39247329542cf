"""A store of objects as Muniment needs it, and its write-once policy: two small ports.

All methods block, may be called from several threads at once, and try once: the SDK's own
repetitions are off, so that whoever calls decides how long to go on and can say so. Each call ends
within the store's time-outs. Where the store does not do what was asked they raise StoreFailing,
whose `unknown` tells that a write may have happened all the same.

Keys are printable ASCII without a leading slash, at most 900 bytes, below the store's prefix.

Durability: what `put` returned is as durable as the store promises; for a local directory the file
and its folder are synced. Consistency: a `get`, `head` or `list` that begins after a `put` returned
sees it (read after write, as S3, GCS, Azure and Ceph promise it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

Body = bytes | Path
"""What is put: bytes, or a file that does not change meanwhile."""


class Mode(StrEnum):
    """How an object is locked. Under COMPLIANCE nobody can shorten it, not even the account."""

    COMPLIANCE = "compliance"
    GOVERNANCE = "governance"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Lock:
    """A retention: how hard, and until when (UTC, whole seconds)."""

    mode: Mode
    until: datetime


@dataclass(frozen=True, slots=True)
class Object:
    """An object as the store lists it. `version` is empty where the store keeps none.

    `latest` says that a plain `get` returns this version; `marker` that it is a delete marker,
    which hides the versions before it and has no bytes.
    """

    key: str
    size: int
    version: str = ""
    modified: datetime | None = None
    latest: bool = True
    marker: bool = False


@dataclass(frozen=True, slots=True)
class ObjectState:
    """What the store says of one version's lock. `lock` is None where it has no retention."""

    key: str
    version: str
    lock: Lock | None = None
    hold: bool = False


@dataclass(frozen=True, slots=True)
class BucketState:
    """What the bucket, container or directory itself promises.

    `versioned`: an overwrite keeps the version before. `lockable`: objects can be locked.
    `default` is the retention in days that an object gets without asking. `expires` are rules that
    delete objects by themselves, in the provider's words. `notes` say what this kind of store
    cannot show.
    """

    versioned: bool
    lockable: bool
    default_mode: Mode = Mode.OFF
    default_days: int = 0
    expires: Sequence[str] = ()
    notes: Sequence[str] = field(default=())


class Store(Protocol):
    """Objects by key. See the module for durability, consistency and failures."""

    @property
    def name(self) -> str:
        """What the settings call it: in metrics, records and errors."""

    @property
    def url(self) -> str:
        """Where it is, without any secret."""

    @property
    def write_once(self) -> WriteOnce:
        """Its policy; each kind of store has one, if only to say how weak it is."""

    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        """Puts an object, and returns its version (empty where there are none).

        `sha256` (32 bytes) is sent along for the store to check where it can. An object that is
        there already is replaced, or gets another version: use `put_if_absent` against that.
        Raises StoreFailing.
        """

    def put_if_absent(
        self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None
    ) -> str | None:
        """Puts an object unless the key is taken; returns its version, or None where it is.

        Of any number of calls for one key, at any number of nodes, one at most puts its bytes,
        in a store that `fences`. Raises StoreFailing.
        """

    def fences(self, prefix: str) -> bool:
        """Whether `put_if_absent` is atomic here, tried on objects of its own below `prefix`.

        Some stores take the condition and ignore it (Ceph 16 in versioned buckets).
        """

    def get(self, key: str, *, version: str = "") -> bytes:
        """Returns an object's bytes. Raises NoSuchObject, StoreFailing."""

    def get_range(self, key: str, offset: int, length: int, *, version: str = "") -> bytes:
        """Returns up to `length` bytes from `offset`, fewer only at the object's end."""

    def head(self, key: str, *, version: str = "") -> Object | None:
        """Returns what there is under a key, or None. A delete marker is None."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Object]:
        """Yields the objects whose keys begin with `prefix`, behind the key `after`, by key.

        Reads page by page; raises StoreFailing where a page cannot be had, never ends early.
        """

    def remove(self, key: str) -> None:
        """Removes an object for good (write-ahead objects). Nothing happens where none is.

        Raises StoreLocked where the store keeps it, StoreFailing.
        """

    def close(self) -> None:
        """Lets connections go."""


class WriteOnce(Protocol):
    """The write-once policy of a store."""

    def bucket(self) -> BucketState:
        """Returns what the bucket promises by itself. Raises StoreFailing."""

    def state(self, key: str, *, version: str = "") -> ObjectState:
        """Returns the lock of a version (of the latest one). Raises NoSuchObject, StoreFailing."""

    def extend(self, key: str, lock: Lock, *, version: str = "") -> None:
        """Locks a version until later. Raises StoreLocked where that would shorten or soften it."""

    def hold(self, key: str, on: bool, *, version: str = "") -> None:
        """Puts a legal hold on a version, or takes it off."""

    def versions(self, prefix: str = "") -> Iterator[Object]:
        """Yields all versions and delete markers below `prefix`: by key, newest first."""

    def remove_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        """Removes one version, or undoes a delete marker, for good.

        `bypass` asks for the right to pass governance mode. Raises StoreLocked where it is kept.
        """
