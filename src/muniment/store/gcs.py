"""A store in a bucket of Google Cloud Storage: generations are versions, CRC32C with every put.

`put_if_absent` is `ifGenerationMatch=0`. Every object has a generation, in buckets without
versioning too: there the one before is gone once there is another.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, NotFound, RequestRangeNotSatisfiable

from muniment.errors import NoSuchObject, StoreFailing
from muniment.settings.store import Connection
from muniment.store import fencing
from muniment.store.body import check_sha256, reading
from muniment.store.bounded import MAX_OBJECT
from muniment.store.gcs_client import bucket_of
from muniment.store.gcs_errors import translating
from muniment.store.gcs_policy import GcsPolicy, set_lock
from muniment.store.listing import ascending
from muniment.store.locks import asked
from muniment.store.port import Body, Lock, Object

PAGE = 1_000
FIELDS = "items(name,size,generation,updated),nextPageToken"
OCTETS = "application/octet-stream"


class GcsStore:
    """The Store of a `gs://` URL."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.name, self.url = name, connection.url
        self._connection = connection
        self._prefix = f"{connection.prefix}/" if connection.prefix else ""
        patience = (min(connection.timeout, 10.0), connection.timeout)
        self._asking: dict[str, Any] = {"timeout": patience, "retry": None}

    @cached_property
    def _bucket(self) -> Any:
        return bucket_of(self._connection)

    @cached_property
    def _policy(self) -> GcsPolicy:
        return GcsPolicy(self._bucket, self.url, self._prefix, self._asking)

    @property
    def write_once(self) -> GcsPolicy:
        return self._policy

    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        with translating(self._what(key), write=True):
            return self._upload(key, body, sha256, lock)

    def put_if_absent(
        self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None
    ) -> str | None:
        with translating(self._what(key), write=True):
            try:
                return self._upload(key, body, sha256, lock, if_generation_match=0)
            except GoogleAPICallError as error:
                if error.code == 412:
                    return None
                raise

    def fences(self, prefix: str) -> bool:
        return fencing.fences(self, prefix)

    def get(self, key: str, *, version: str = "") -> bytes:
        data = self.get_range(key, 0, MAX_OBJECT + 1, version=version)
        if len(data) > MAX_OBJECT:
            raise StoreFailing(f"{self._what(key)} is over {MAX_OBJECT} bytes")
        return data

    def get_range(self, key: str, offset: int, length: int, *, version: str = "") -> bytes:
        if length == 0:
            if self.head(key, version=version) is None:
                raise NoSuchObject(f"{self._what(key)}: there is no such object")
            return b""
        with translating(self._what(key)):
            try:
                blob = self._blob(key, version)
                last = offset + length - 1
                found = blob.download_as_bytes(start=offset, end=last, **self._raw)
                return bytes(found)[:length]
            except RequestRangeNotSatisfiable:  # behind the end
                return b""

    def head(self, key: str, *, version: str = "") -> Object | None:
        try:
            with translating(self._what(key)):
                blob = self._blob(key, version)
                blob.reload(**self._asking)
                return self._object(blob, latest=not version or blob.time_deleted is None)
        except NoSuchObject:
            return None

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Object]:
        what = f"{self.url}: list {prefix}"
        with translating(what):
            pages = self._bucket.list_blobs(
                prefix=self._prefix + prefix,
                start_offset=self._prefix + after if after else None,
                page_size=PAGE,
                fields=FIELDS,
                **self._asking,
            )
            listed = (self._object(blob) for blob in pages)
            yield from (found for found in ascending(what, listed) if found.key > after)

    def remove(self, key: str) -> None:
        self._policy.remove(key)

    def close(self) -> None:
        if "_bucket" in self.__dict__:
            self._bucket.client.close()

    @property
    def _raw(self) -> dict[str, Any]:
        return {
            "raw_download": True,
            "checksum": None,
            "single_shot_download": True,
            **self._asking,
        }

    def _upload(
        self, key: str, body: Body, sha256: bytes, lock: Lock | None, **condition: int
    ) -> str:
        lock = asked(self._what(key), lock, datetime.now(UTC))
        check_sha256(self._what(key), body, sha256)
        blob = self._blob(key)
        set_lock(blob, lock)
        with reading(body) as (file, size):
            try:
                blob.upload_from_file(
                    file,
                    size=size,
                    content_type=OCTETS,
                    checksum="crc32c",
                    **condition,
                    **self._asking,
                )
            except NotFound:
                raise StoreFailing(f"{self.url}: there is no such bucket") from None
        return str(blob.generation or "")

    def _blob(self, key: str, version: str = "") -> Any:
        if version and not version.isdecimal():
            raise NoSuchObject(f"{self._what(key)}: there is no such generation")
        generation = int(version) if version else None
        return self._bucket.blob(self._prefix + key, generation=generation)

    def _object(self, blob: Any, *, latest: bool = True) -> Object:
        key = str(blob.name).removeprefix(self._prefix)
        return Object(key, int(blob.size or 0), str(blob.generation or ""), blob.updated, latest)

    def _what(self, key: str) -> str:
        return f"{self.url}/{key}"
