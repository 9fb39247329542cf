"""The write-once policy of Google Cloud Storage: retention, holds, and generations as versions.

A Locked retention is compliance: nobody shortens it. An Unlocked one is governance: whoever has
storage.objects.overrideUnlockedRetention may. A retention policy of the bucket counts for all its
objects: compliance where the bucket is locked. A legal hold is a temporary hold; event-based holds
are read, but left to whoever set them. There are no delete markers: an object without a live
generation is shown with one named DELETED, and to remove that makes the newest one live again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from muniment.errors import NoSuchObject
from muniment.store.gcs_errors import translating
from muniment.store.listing import by_key
from muniment.store.locks import refuse_kept, refuse_weaker
from muniment.store.port import BucketState, Lock, Mode, Object, ObjectState

DELETED = "deleted"
PAGE = 1_000
_MODES = {Mode.COMPLIANCE: "Locked", Mode.GOVERNANCE: "Unlocked"}


def set_lock(blob: Any, lock: Lock | None) -> None:
    """Puts a retention on a blob that is to be uploaded or patched."""
    if lock is not None:
        blob.retention.mode = _MODES[lock.mode]
        blob.retention.retain_until_time = lock.until


class GcsPolicy:
    """The WriteOnce of a bucket. `asking` is what every request takes: time-outs, no repetition."""

    def __init__(self, bucket: Any, url: str, prefix: str, asking: Mapping[str, Any]) -> None:
        self._bucket, self._url, self._prefix, self._asking = bucket, url, prefix, asking

    def bucket(self) -> BucketState:
        with translating(self._url):
            return self._bucket_state(self._loaded())

    def state(self, key: str, *, version: str = "") -> ObjectState:
        with translating(self._what(key)):
            blob = self._blob(key, version)
            blob.reload(**self._asking)
            return self._state(key, blob)

    def extend(self, key: str, lock: Lock, *, version: str = "") -> None:
        with translating(self._what(key)):
            blob = self._blob(key, version)
            blob.reload(**self._asking)
            old = _retention(blob)
        refuse_weaker(self._what(key), old, lock, datetime.now(UTC))
        if lock.mode is Mode.OFF or lock == old:
            return
        hardens = old is not None and old.mode is not lock.mode
        with translating(self._what(key), write=True):
            set_lock(blob, lock)
            blob.patch(override_unlocked_retention=hardens, **self._asking)

    def hold(self, key: str, on: bool, *, version: str = "") -> None:
        with translating(self._what(key), write=True):
            blob = self._blob(key, version)
            blob.temporary_hold = on
            blob.patch(**self._asking)

    def versions(self, prefix: str = "") -> Iterator[Object]:
        with translating(f"{self._url}: list versions {prefix}"):
            for key, found in self._listed(prefix):
                if found[0].time_deleted is not None:
                    yield Object(key, 0, DELETED, None, latest=True, marker=True)
                for blob in found:
                    latest, size = blob.time_deleted is None, int(blob.size or 0)
                    yield Object(key, size, str(blob.generation), blob.updated, latest)

    def remove_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        if version == DELETED:
            self._undelete(key)
            return
        try:
            with translating(self._what(key), write=True):
                blob = self._blob(key, version)
                if bypass:
                    blob.reload(**self._asking)
                    self._unlock(blob)
                blob.delete(**self._asking)
        except NoSuchObject:
            return

    def remove(self, key: str) -> None:
        """Removes all generations for good, or none where one of them is kept."""
        with translating(self._what(key), write=True):
            found = next((found for name, found in self._listed(key) if name == key), [])
            for blob in found:
                refuse_kept(self._what(key), self._state(key, blob), datetime.now(UTC))
        for blob in found:
            self.remove_version(key, str(blob.generation))

    def _unlock(self, blob: Any) -> None:
        lock = _retention(blob)
        if lock is not None and lock.mode is Mode.GOVERNANCE and not _held(blob):
            blob.retention.mode = None
            blob.retention.retain_until_time = None
            blob.patch(override_unlocked_retention=True, **self._asking)

    def _undelete(self, key: str) -> None:
        newest = next(
            (one for one in self.versions(key) if one.key == key and not one.marker), None
        )
        if newest is None or newest.latest:
            return
        with translating(self._what(key), write=True):
            self._bucket.copy_blob(
                self._blob(key),
                self._bucket,
                self._prefix + key,
                preserve_acl=True,
                source_generation=int(newest.version),
                if_generation_match=0,
                **self._asking,
            )

    def _state(self, key: str, blob: Any) -> ObjectState:
        lock, expires = _retention(blob), blob.retention_expiration_time
        if expires is not None and (lock is None or lock.until < expires.replace(microsecond=0)):
            until = expires.astimezone(UTC)
            if until.microsecond:
                until = until.replace(microsecond=0) + timedelta(seconds=1)
            lock = Lock(self._mode(self._loaded()), until)
        return ObjectState(key, str(blob.generation), lock, _held(blob))

    def _bucket_state(self, found: Any) -> BucketState:
        days = int(found.retention_period or 0) // 86_400
        notes = ["an Unlocked (governance) retention can be overridden by whoever has the right"]
        if found.retention_period and not found.retention_policy_locked:
            notes.append("the bucket's retention policy is not locked: it can be taken away")
        if found.default_event_based_hold:
            notes.append("objects get an event-based hold; Muniment does not take that off")
        return BucketState(
            versioned=bool(found.versioning_enabled),
            lockable=found.object_retention_mode == "Enabled",
            default_mode=self._mode(found),
            default_days=days,
            expires=tuple(_deleting(found.lifecycle_rules)),
            notes=notes,
        )

    def _loaded(self) -> Any:
        """The bucket as it is now, in an object of its own: several threads ask."""
        with translating(self._url):
            found = self._bucket.client.bucket(self._bucket.name)
            found.reload(**self._asking)
        return found

    def _mode(self, bucket: Any) -> Mode:
        if not bucket.retention_period:
            return Mode.OFF
        return Mode.COMPLIANCE if bucket.retention_policy_locked else Mode.GOVERNANCE

    def _listed(self, prefix: str) -> Iterator[tuple[str, list[Any]]]:
        """Yields keys with their generations, newest first."""
        pages = self._bucket.list_blobs(
            prefix=self._prefix + prefix, versions=True, page_size=PAGE, **self._asking
        )
        what = f"{self._url}: list versions {prefix}"
        for name, found in by_key(what, iter(pages), lambda blob: str(blob.name), _generation):
            yield (
                name.removeprefix(self._prefix),
                sorted(found, key=lambda blob: int(blob.generation), reverse=True),
            )

    def _blob(self, key: str, version: str = "") -> Any:
        if version and not version.isdecimal():
            raise NoSuchObject(f"{self._what(key)}: there is no such generation")
        generation = int(version) if version else None
        return self._bucket.blob(self._prefix + key, generation=generation)

    def _what(self, key: str) -> str:
        return f"{self._url}/{key}"


def _retention(blob: Any) -> Lock | None:
    mode, until = blob.retention.mode, blob.retention.retain_until_time
    if not mode or until is None:
        return None
    return Lock(Mode.COMPLIANCE if mode == "Locked" else Mode.GOVERNANCE, until.astimezone(UTC))


def _held(blob: Any) -> bool:
    return bool(blob.temporary_hold or blob.event_based_hold)


def _deleting(rules: Any) -> Iterator[str]:
    """Lifecycle rules that delete, in Google's words."""
    for rule in rules:
        if (rule.get("action") or {}).get("type") == "Delete":
            yield f"Delete where {dict(rule.get('condition') or {})}"


def _generation(blob: Any) -> str:
    return str(blob.generation)
