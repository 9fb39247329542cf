"""The write-once policy of Azure Blob: version-level immutability, legal holds, versions.

A locked policy is compliance: nobody shortens it. An unlocked one is governance: whoever has the
right may shorten or remove it, so Muniment itself refuses to. Azure has no delete markers: a blob
whose current version is deleted has only earlier ones, which is shown as a marker named DELETED;
to remove that one makes the newest version the current one again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties, ContainerClient, ImmutabilityPolicy

from muniment.errors import StoreFailing
from muniment.store.azure_errors import is_kept, translating
from muniment.store.listing import by_key
from muniment.store.locks import refuse_kept, refuse_weaker
from muniment.store.port import BucketState, Lock, Mode, Object, ObjectState

DELETED = "deleted"
"""The name of the marker that stands for no current version."""

PAGE = 1_000
_MODES = {Mode.COMPLIANCE: "Locked", Mode.GOVERNANCE: "Unlocked"}
_NOTES = (
    "lifecycle rules, the default policy and who may change them are in Azure's management "
    "interface, which is not asked here",
    "an unlocked (governance) policy can be shortened by whoever has the right to set policies",
)


def policy_of(lock: Lock | None) -> dict[str, Any]:
    """Returns what Azure calls a lock; nothing for none."""
    if lock is None or lock.mode is Mode.OFF:
        return {}
    return {"expiry_time": lock.until, "policy_mode": _MODES[lock.mode]}


def state_of(key: str, found: BlobProperties) -> ObjectState:
    """Returns what the properties of a blob say of its lock."""
    policy = found.immutability_policy
    mode = str(policy.policy_mode or "").lower() if policy else ""
    lock = None
    if policy and policy.expiry_time and mode in ("locked", "unlocked"):
        until: datetime = policy.expiry_time
        lock = Lock(Mode.COMPLIANCE if mode == "locked" else Mode.GOVERNANCE, until.astimezone(UTC))
    return ObjectState(key, str(found.version_id or ""), lock, bool(found.has_legal_hold))


class AzurePolicy:
    """The WriteOnce of a container."""

    def __init__(self, container: ContainerClient, url: str, prefix: str) -> None:
        self._container, self._url, self._prefix = container, url, prefix

    def bucket(self) -> BucketState:
        with translating(self._url):
            found = self._container.get_container_properties()
            lockable = bool(found.immutable_storage_with_versioning_enabled)
            versioned = lockable or self._shows_versions()
        notes = list(_NOTES)
        if found.has_immutability_policy:
            notes.append("the container has a policy of its own, for all blobs")
        if found.has_legal_hold:
            notes.append("the container has a legal hold, for all blobs")
        return BucketState(versioned=versioned, lockable=lockable, notes=notes)

    def state(self, key: str, *, version: str = "") -> ObjectState:
        with translating(self._what(key)):
            return state_of(key, self._blob(key).get_blob_properties(version_id=version or None))

    def extend(self, key: str, lock: Lock, *, version: str = "") -> None:
        state = self.state(key, version=version)
        refuse_weaker(self._what(key), state.lock, lock, datetime.now(UTC))
        policy = policy_of(lock)
        if policy and lock != state.lock:
            with translating(self._what(key), write=True):
                immutable = ImmutabilityPolicy(**policy)
                self._blob(key).set_immutability_policy(immutable, version_id=version or None)

    def hold(self, key: str, on: bool, *, version: str = "") -> None:
        with translating(self._what(key), write=True):
            self._blob(key).set_legal_hold(on, version_id=version or None)

    def versions(self, prefix: str = "") -> Iterator[Object]:
        with translating(f"{self._url}: list versions {prefix}"):
            for key, found in self._listed(prefix):
                if found[0].version_id and not any(one.is_current_version for one in found):
                    yield Object(key, 0, DELETED, None, latest=True, marker=True)
                for one in found:
                    latest = not one.version_id or bool(one.is_current_version)
                    version = str(one.version_id or "")
                    yield Object(key, one.size, version, one.last_modified, latest)

    def remove_version(self, key: str, version: str, *, bypass: bool = False) -> None:
        if version == DELETED:
            self._undelete(key)
            return
        blob = self._blob(key)
        with translating(self._what(key), write=True):
            try:
                found = blob.get_blob_properties(version_id=version or None)
                lock = state_of(key, found).lock
                if bypass and not found.has_legal_hold and lock and lock.mode is Mode.GOVERNANCE:
                    blob.delete_immutability_policy(version_id=version or None)
                    found = blob.get_blob_properties(version_id=version or None)
            except ResourceNotFoundError:
                return
            self._delete(key, found)

    def remove(self, key: str) -> None:
        """Removes all versions for good, or none where one of them is kept."""
        with translating(self._what(key), write=True):
            found = next((found for name, found in self._listed(key) if name == key), [])
            for one in found:
                refuse_kept(self._what(key), state_of(key, one), datetime.now(UTC))
            for one in found:
                self._delete(key, one)

    def _delete(self, key: str, found: BlobProperties) -> None:
        """Deletes one version. The current one becomes an earlier one first: Azure wants it so.

        What is locked is asked to go all the same, so that it is Azure that refuses; but it is not
        made an earlier one for that.
        """
        blob, version, state = self._blob(key), found.version_id, state_of(key, found)
        if not version:
            refuse_kept(self._what(key), state, datetime.now(UTC))
        try:
            blob.delete_blob(version_id=version)
        except ResourceNotFoundError:
            return
        except HttpResponseError as error:
            if not (version and found.is_current_version) or is_kept(error):
                raise
            refuse_kept(self._what(key), state, datetime.now(UTC))
            blob.delete_blob()
            blob.delete_blob(version_id=version)

    def _undelete(self, key: str) -> None:
        newest = next(
            (one for one in self.versions(key) if one.key == key and not one.marker), None
        )
        if newest is None or newest.latest:
            return
        blob = self._blob(key)
        with translating(self._what(key), write=True):
            sign = "&" if "?" in blob.url else "?"
            copied = blob.start_copy_from_url(f"{blob.url}{sign}versionid={newest.version}")
        if copied.get("copy_status") != "success":
            raise StoreFailing(f"{self._what(key)}: the copy is under way", reason="busy")

    def _listed(self, prefix: str) -> Iterator[tuple[str, list[BlobProperties]]]:
        """Yields keys with their versions, newest first: their names are times."""
        pages = self._container.list_blobs(
            name_starts_with=self._prefix + prefix,
            include=["versions", "immutabilitypolicy", "legalhold"],
            results_per_page=PAGE,
        )
        what = f"{self._url}: list versions {prefix}"
        for name, found in by_key(what, iter(pages), attrgetter("name"), _version):
            yield name.removeprefix(self._prefix), sorted(found, key=_version, reverse=True)

    def _shows_versions(self) -> bool:
        return any(one.version_id for one in self._first())

    def _first(self) -> Iterator[BlobProperties]:
        pages = self._container.list_blobs(results_per_page=1, include=["versions"]).by_page()
        yield from next(pages, iter(()))

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(self._prefix + key)

    def _what(self, key: str) -> str:
        return f"{self._url}/{key}"


def _version(found: BlobProperties) -> str:
    return found.version_id or ""
