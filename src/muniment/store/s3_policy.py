"""S3 Object Lock: retention, legal hold and versions, and what a bucket promises.

After "Locking objects with Object Lock" of the S3 user guide and the API reference. A lock is shown
as missing only where the server says so itself: a HEAD hides what the caller may not see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from muniment.errors import NoSuchObject, StoreFailing, StoreLocked
from muniment.settings.store import Connection
from muniment.store.port import BucketState, Lock, Mode, Object, ObjectState
from muniment.store.s3_bucket import bucket_state
from muniment.store.s3_client import Answer, Wire
from muniment.store.s3_errors import refusal, translating
from muniment.store.s3_list import PAGE, page_of
from muniment.store.s3_state import gone, headed_lock, lock_of, version_of

_NO_LOCK = frozenset(
    {
        "NoSuchObjectLockConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "InvalidRequest",  # the bucket has no Object Lock at all
    }
)


MAX_EMPTY = 100
"""Pages in a row with nothing on them, each of which says that there is more."""


class S3WriteOnce:
    """The WriteOnce of an S3 bucket."""

    def __init__(self, wire: Wire, connection: Connection, name: str) -> None:
        self._wire = wire
        self._name = f"store {name}"
        self._bucket = connection.bucket
        self._folder = f"{connection.prefix}/" if connection.prefix else ""

    def bucket(self) -> BucketState:
        with translating(f"{self._name}: read the bucket's settings", write=False):
            return bucket_state(self._wire.client(), self._bucket, self._folder)

    def versioned(self) -> bool:
        """Whether the bucket keeps versions. Raises StoreFailing, also without the right."""
        with translating(f"{self._name}: read the versioning", write=False):
            answer = self._wire.client().get_bucket_versioning(Bucket=self._bucket)
        return answer.get("Status") in ("Enabled", "Suspended")

    def state(self, key: str, *, version: str = "") -> ObjectState:
        what = f"{self._name}: state of {key}"
        answer = self._wire.send(what, "HEAD", self._folder + key, query=_of(version))
        if gone(answer):
            raise NoSuchObject(f"{what}: there is no such object")
        if answer.status != 200:
            raise refusal(what, answer.status, answer.code, write=False)
        found = version_of(answer) or version
        return ObjectState(
            key,
            found,
            headed_lock(what, answer) or self._retention(what, key, found),
            self._held(what, key, found, answer),
        )

    def extend(self, key: str, lock: Lock, *, version: str = "") -> None:
        what = f"{self._name}: lock {key}"
        state = self.state(key, version=version)
        until = lock.until.astimezone(UTC).replace(microsecond=0)
        if state.lock is not None:
            softer = state.lock.mode is Mode.COMPLIANCE and lock.mode is not Mode.COMPLIANCE
            if softer or lock.mode is Mode.OFF or until < state.lock.until:
                raise StoreLocked(
                    f"{what}: it is locked ({state.lock.mode}) until {state.lock.until:%FT%TZ}"
                )
        retention = {"Mode": lock.mode.value.upper(), "RetainUntilDate": until}
        try:
            self._retain(what, key, state.version, retention)
        except StoreFailing as error:
            hardens = state.lock is not None and state.lock.mode is not lock.mode
            if error.reason != "credentials" or not hardens:
                raise
            self._retain(what, key, state.version, retention, BypassGovernanceRetention=True)

    def hold(self, key: str, on: bool, *, version: str = "") -> None:
        state = self.state(key, version=version)
        with translating(f"{self._name}: hold {key}", write=True):
            self._wire.client().put_object_legal_hold(
                Bucket=self._bucket,
                Key=self._folder + key,
                LegalHold={"Status": "ON" if on else "OFF"},
                **_version(state.version),
            )

    def versions(self, prefix: str = "") -> Iterator[Object]:
        what = f"{self._name}: versions of {prefix}"
        query = [("encoding-type", "url"), ("max-keys", str(PAGE)), ("versions", "")]
        query.append(("prefix", self._folder + prefix))
        last, marker, empty = "", ("", ""), 0
        seen = {marker}
        while True:
            more = [("key-marker", marker[0])] if marker[0] else []
            more += [("version-id-marker", marker[1])] if marker[1] else []
            answer = self._wire.send(what, "GET", query=query + more)
            if answer.status != 200:
                raise refusal(what, answer.status, answer.code, write=False)
            page = page_of(what, answer.body)
            for found in page.entries:
                if not found.key.startswith(self._folder + prefix) or found.key < last:
                    raise StoreFailing(f"{what}: the list is not in order")
                last = found.key
                yield replace(found, key=found.key[len(self._folder) :])
            if not page.truncated:
                return
            marker = (page.next_key, page.next_version)
            empty = 0 if page.entries else empty + 1
            if marker in seen or empty > MAX_EMPTY:
                raise StoreFailing(f"{what}: the list goes in circles")
            seen.add(marker)

    def remove_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        what = f"{self._name}: remove a version of {key}"
        headers = {"x-amz-bypass-governance-retention": "true"} if bypass else {}
        answer = self._wire.send(
            what,
            "DELETE",
            self._folder + key,
            query=_of(version or "null"),
            headers=headers,
        )
        if answer.status in (200, 204, 404):
            return
        if 400 <= answer.status < 500 and self._keeps(key, version):
            raise StoreLocked(f"{what}: the store keeps it ({answer.status} {answer.code})")
        raise refusal(what, answer.status, answer.code, write=True)

    def _retain(self, what: str, key: str, version: str, retention: object, **more: bool) -> None:
        """Sets a retention. To change the mode at all, Ceph wants the right to pass governance."""
        with translating(what, write=True):
            self._wire.client().put_object_retention(
                Bucket=self._bucket,
                Key=self._folder + key,
                Retention=retention,
                **_version(version),
                **more,
            )

    def _keeps(self, key: str, version: str) -> bool:
        """Whether a refused removal is the lock's doing; in doubt it is not."""
        try:
            state = self.state(key, version=version)
        except (NoSuchObject, StoreFailing):
            return False
        return state.hold or (state.lock is not None and state.lock.until > datetime.now(UTC))

    def _retention(self, what: str, key: str, version: str) -> Lock | None:
        found = self._asked(what, self._wire.client().get_object_retention, key, version)
        retention = found.get("Retention", {}) if found else {}
        if not retention.get("Mode"):
            return None
        return lock_of(what, str(retention["Mode"]), retention["RetainUntilDate"])

    def _held(self, what: str, key: str, version: str, answer: Answer) -> bool:
        shown = answer.headers.get("x-amz-object-lock-legal-hold", "")
        if shown in ("ON", "OFF"):
            return shown == "ON"
        found = self._asked(what, self._wire.client().get_object_legal_hold, key, version)
        return bool(found) and found.get("LegalHold", {}).get("Status") == "ON"

    def _asked(self, what: str, call: Callable[..., Any], key: str, version: str) -> dict[str, Any]:
        """Returns what the call does, or nothing where the server says that there is nothing."""
        try:
            with translating(what, write=False):
                return dict(call(Bucket=self._bucket, Key=self._folder + key, **_version(version)))
        except StoreFailing as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"].get("Code") in _NO_LOCK:
                return {}
            raise


def _of(version: str) -> list[tuple[str, str]]:
    return [("versionId", version)] if version else []


def _version(version: str) -> dict[str, str]:
    return {"VersionId": version} if version else {}
