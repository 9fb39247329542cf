"""S3 and what speaks it: AWS, Ceph's RADOS gateway, MinIO, versitygw and others.

An object is put with one PutObject of up to 5 GiB, lock included, so that the server checks the
SHA-256 of the whole object (as the signed payload, and as `x-amz-checksum-sha256`, which it keeps)
and no moment passes in which the object lies there unlocked.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC
from itertools import takewhile
from secrets import token_hex

from muniment.errors import NoSuchObject, StoreFailing, StoreLocked
from muniment.settings.store import Connection
from muniment.store.bounded import MAX_OBJECT
from muniment.store.port import Body, Lock, Mode, Object
from muniment.store.s3_client import Answer, Wire
from muniment.store.s3_errors import refusal
from muniment.store.s3_list import PAGE, page_of
from muniment.store.s3_policy import S3WriteOnce
from muniment.store.s3_state import gone, object_of, version_of

_AT_ONCE, _ROUNDS = 8, 2


class S3Store:
    """A Store in one bucket, below one prefix. See muniment.store.port for what it promises."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._name = name
        self._url = connection.url
        self._folder = f"{connection.prefix}/" if connection.prefix else ""
        self._wire = Wire(connection)
        self._policy = S3WriteOnce(self._wire, connection, name)
        self._versioned: bool | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return self._url

    @property
    def write_once(self) -> S3WriteOnce:
        return self._policy

    def put(self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None) -> str:
        answer = self._put(key, body, sha256, lock, {})
        if answer.status != 200:
            raise refusal(self._what("put", key), answer.status, answer.code, write=True)
        return self._noted(answer)

    def put_if_absent(
        self, key: str, body: Body, *, sha256: bytes = b"", lock: Lock | None = None
    ) -> str | None:
        answer = self._put(key, body, sha256, lock, {"If-None-Match": "*"})
        if answer.status == 412:
            return None
        if answer.status != 200:
            raise refusal(self._what("put", key), answer.status, answer.code, write=True)
        return self._noted(answer)

    def fences(self, prefix: str) -> bool:
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        keys = [f"{folder}fence-{token_hex(8)}" for _ in range(_ROUNDS + 1)]
        try:
            return self._one_after_the_other(keys[0]) and all(map(self._together, keys[1:]))
        finally:
            for key in keys:
                with suppress(StoreLocked, StoreFailing):  # a default retention keeps it
                    self.remove(key)

    def get(self, key: str, *, version: str = "") -> bytes:
        answer = self._get(key, version, {}, MAX_OBJECT)
        if answer.status != 200:
            raise refusal(self._what("get", key), answer.status, answer.code, write=False)
        return answer.body

    def get_range(self, key: str, offset: int, length: int, *, version: str = "") -> bytes:
        if length <= 0:
            return b""
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        answer = self._get(key, version, headers, MAX_OBJECT, part=length)
        if answer.status == 206:
            return answer.body[:length]
        if answer.status == 416:
            return b""
        if answer.status == 200:  # an empty object, or a server that knows no ranges
            return answer.body[offset : offset + length]
        raise refusal(self._what("get", key), answer.status, answer.code, write=False)

    def head(self, key: str, *, version: str = "") -> Object | None:
        answer = self._wire.send(
            self._what("head", key),
            "HEAD",
            self._folder + key,
            query=[("versionId", version)] if version else [],
        )
        if gone(answer):
            return None
        if answer.status != 200:
            raise refusal(self._what("head", key), answer.status, answer.code, write=False)
        return object_of(self._what("head", key), key, answer)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Object]:
        what, last = self._what("list", prefix), self._folder + after if after else ""
        query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(PAGE))]
        query.append(("prefix", self._folder + prefix))
        while True:
            more = [("start-after", last)] if last else []
            answer = self._wire.send(what, "GET", query=query + more)
            if answer.status != 200:
                raise refusal(what, answer.status, answer.code, write=False)
            page = page_of(what, answer.body)
            for found in page.entries:
                if not found.key.startswith(self._folder + prefix) or found.key <= last:
                    raise StoreFailing(f"{what}: the list is not in order")
                last = found.key
                yield Object(found.key[len(self._folder) :], found.size, "", found.modified)
            if not page.truncated:
                return
            if not page.entries:
                raise StoreFailing(f"{what}: the list ends early")

    def remove(self, key: str) -> None:
        """See the port. In a versioned bucket all versions go, the oldest first."""
        if self._versioned is None:
            try:
                self._versioned = self._policy.versioned()
            except StoreFailing as error:
                if error.reason not in ("credentials", "refused"):
                    raise  # else there is no right to ask: the answer to DELETE tells
        if not self._versioned:
            answer = self._wire.send(self._what("remove", key), "DELETE", self._folder + key)
            if answer.status not in (200, 204, 404):
                raise refusal(self._what("remove", key), answer.status, answer.code, write=True)
            if answer.headers.get("x-amz-delete-marker") != "true":
                return
            self._versioned = True
            self._policy.remove_version(key, version_of(answer))
        versions = list(takewhile(lambda found: found.key == key, self._policy.versions(key)))
        for found in reversed(versions):
            self._policy.remove_version(key, found.version)

    def close(self) -> None:
        self._wire.close()

    def _what(self, act: str, key: str) -> str:
        return f"store {self._name}: {act} {key}"

    def _noted(self, answer: Answer) -> str:
        version = version_of(answer)
        if version:
            self._versioned = True
        return version

    def _put(
        self, key: str, body: Body, sha256: bytes, lock: Lock | None, headers: dict[str, str]
    ) -> Answer:
        digest = sha256 or _sha256(self._what("put", key), body)
        headers["x-amz-sdk-checksum-algorithm"] = "SHA256"
        headers["x-amz-checksum-sha256"] = b64encode(digest).decode("ascii")
        if lock is not None and lock.mode is not Mode.OFF:
            until = lock.until.astimezone(UTC)
            headers["x-amz-object-lock-mode"] = lock.mode.value.upper()
            headers["x-amz-object-lock-retain-until-date"] = f"{until:%Y-%m-%dT%H:%M:%SZ}"
        return self._wire.send(
            self._what("put", key),
            "PUT",
            self._folder + key,
            headers=headers,
            body=body,
            digest=digest.hex(),
        )

    def _get(
        self, key: str, version: str, headers: dict[str, str], most: int, part: int = 0
    ) -> Answer:
        query = [("versionId", version)] if version else []
        what = self._what("get", key)
        answer = self._wire.send(
            what, "GET", self._folder + key, query=query, headers=headers, most=most, part=part
        )
        if gone(answer):
            raise NoSuchObject(f"{what}: there is no such object")
        return answer

    def _one_after_the_other(self, key: str) -> bool:
        return (
            self.put_if_absent(key, b"first") is not None
            and self.put_if_absent(key, b"second") is None
            and self.get(key) == b"first"
        )

    def _together(self, key: str) -> bool:
        def attempt(number: int) -> bool:
            try:
                return self.put_if_absent(key, b"%d" % number) is not None
            except StoreFailing as error:
                if error.reason != "busy":  # 409: two at once, and this one lost
                    raise
                return False

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            won = [number for number, one in enumerate(pool.map(attempt, range(_AT_ONCE))) if one]
        return len(won) == 1 and self.get(key) == b"%d" % won[0]


def _sha256(what: str, body: Body) -> bytes:
    if isinstance(body, bytes):
        return hashlib.sha256(body).digest()
    try:
        with body.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise StoreFailing(f"{what}: {body.name} cannot be read ({error.strerror})") from error
