"""A store in a container of Azure Blob: block blobs, `If-None-Match: *`, an MD5 with every request.

A blob of up to 64 MiB is one Put Blob; a bigger one is put in blocks and appears with Put Block
List. Versions are those of blob versioning, which is set for a whole storage account.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, BlobProperties, ImmutabilityPolicy

from muniment.errors import NoSuchObject, StoreFailing
from muniment.settings.store import Connection
from muniment.store import fencing
from muniment.store.azure_client import client_of
from muniment.store.azure_errors import TAKEN, code_of, translating
from muniment.store.azure_policy import AzurePolicy, policy_of
from muniment.store.body import check_sha256, reading
from muniment.store.bounded import MAX_OBJECT
from muniment.store.listing import ascending
from muniment.store.locks import asked
from muniment.store.port import Body, Lock, Object

PAGE = 1_000


class AzureStore:
    """The Store of an `az://` URL. `options` go to the SDK's client: a transport, in the tests."""

    def __init__(self, connection: Connection, name: str, **options: Any) -> None:
        self.name, self.url = name, connection.url
        self._prefix = f"{connection.prefix}/" if connection.prefix else ""
        self._container = client_of(connection, **options)
        self._policy = AzurePolicy(self._container, self.url, self._prefix)

    @property
    def write_once(self) -> AzurePolicy:
        return self._policy

    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        with translating(self._what(key), write=True):
            return self._upload(key, body, sha256, lock, overwrite=True)

    def put_if_absent(
        self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None
    ) -> str | None:
        with translating(self._what(key), write=True):
            try:
                return self._upload(key, body, sha256, lock, overwrite=False)
            except HttpResponseError as error:
                if error.status_code in (409, 412) and code_of(error) in TAKEN:
                    return None
                raise

    def fences(self, prefix: str) -> bool:
        return fencing.fences(self, prefix)

    def get(self, key: str, *, version: str = "") -> bytes:
        with translating(self._what(key)):
            found = self._blob(key).download_blob(version_id=version or None)
            if found.size > MAX_OBJECT:
                raise StoreFailing(f"{self._what(key)} is over {MAX_OBJECT} bytes")
            return bytes(found.readall())

    def get_range(self, key: str, offset: int, length: int, *, version: str = "") -> bytes:
        if length == 0:
            if self.head(key, version=version) is None:
                raise NoSuchObject(f"{self._what(key)}: there is no such object")
            return b""
        with translating(self._what(key)):
            try:
                blob = self._blob(key)
                found = blob.download_blob(offset=offset, length=length, version_id=version or None)
                return bytes(found.readall())[:length]
            except HttpResponseError as error:
                if error.status_code == 416:  # behind the end
                    return b""
                raise

    def head(self, key: str, *, version: str = "") -> Object | None:
        with translating(self._what(key)), contextlib.suppress(NoSuchObject):
            with translating(self._what(key)):
                found = self._blob(key).get_blob_properties(version_id=version or None)
            return _object(key, found)
        return None

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Object]:
        """Reads from the prefix's beginning also where `after` is given: Azure has no other way."""
        what = f"{self.url}: list {prefix}"
        with translating(what):
            pages = self._container.list_blobs(
                name_starts_with=self._prefix + prefix, results_per_page=PAGE
            )
            listed = (_object(found.name.removeprefix(self._prefix), found) for found in pages)
            yield from (found for found in ascending(what, listed) if found.key > after)

    def remove(self, key: str) -> None:
        self._policy.remove(key)

    def close(self) -> None:
        self._container.close()

    def _upload(
        self, key: str, body: Body, sha256: bytes, lock: Lock | None, *, overwrite: bool
    ) -> str:
        if not _is_name(key):
            raise StoreFailing(f"{self._what(key)} cannot be the name of a blob")
        policy = policy_of(asked(self._what(key), lock, datetime.now(UTC)))
        check_sha256(self._what(key), body, sha256)
        with reading(body) as (data, length):
            answer = self._blob(key).upload_blob(
                data,
                length=length,
                overwrite=overwrite,
                validate_content=True,
                max_concurrency=1,
                immutability_policy=ImmutabilityPolicy(**policy) if policy else None,
            )
        return str(answer.get("version_id") or "")

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(self._prefix + key)

    def _what(self, key: str) -> str:
        return f"{self.url}/{key}"


def _is_name(key: str) -> bool:
    """Whether Azure keeps a name as it is: it takes a backslash for a slash, and dots away."""
    parts = key.split("/")
    return "\\" not in key and bool(parts[-1]) and not any(part.endswith(".") for part in parts)


def _object(key: str, found: BlobProperties) -> Object:
    latest = found.is_current_version is not False
    return Object(key, found.size, str(found.version_id or ""), found.last_modified, latest)
