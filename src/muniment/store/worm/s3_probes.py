"""Attempts that only the S3 API has: asked for as they are, with nothing looked at before."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from hashlib import md5
from typing import Any

from botocore.exceptions import ClientError

from muniment.errors import StoreLocked
from muniment.settings.store import Connection
from muniment.store.port import Lock, Mode, Store
from muniment.store.s3_client import client_of
from muniment.store.s3_errors import translating


class S3Attempts:
    """The attempts on one bucket. A client of its own: nothing here is shared with the store."""

    def __init__(self, connection: Connection, store: Store) -> None:
        self._client: Any = client_of(connection)
        self._store = store
        self._bucket = connection.bucket
        self._prefix = f"{connection.prefix}/" if connection.prefix else ""

    def delete_key(self, key: str) -> None:
        self._call("delete", key, self._client.delete_object)

    def delete_version(self, key: str, version: str, *, bypass: bool) -> None:
        named: dict[str, Any] = {"VersionId": version} if version else {}
        if bypass:
            named["BypassGovernanceRetention"] = True
        self._call("delete a version", key, self._client.delete_object, **named)

    def delete_many(self, key: str, version: str) -> None:
        named = {"Key": self._prefix + key} | ({"VersionId": version} if version else {})
        what = f"{key}: delete many"
        with translating(what, write=True):
            answer = _asked(
                self._client.delete_objects,
                Bucket=self._bucket,
                Delete={"Objects": [named], "Quiet": False},
            )
        for error in answer.get("Errors", ()):
            raise StoreLocked(str(error.get("Code")))

    def retain(self, key: str, version: str, lock: Lock, *, bypass: bool) -> None:
        retention: dict[str, Any] = {}
        if lock.mode is not Mode.OFF:
            retention = {"Mode": lock.mode.value.upper(), "RetainUntilDate": lock.until}
        named: dict[str, Any] = {"VersionId": version} if version else {}
        if bypass:
            named["BypassGovernanceRetention"] = True
        put = self._client.put_object_retention
        self._call("set retention", key, put, Retention=retention, **named)

    def put_damaged(self, key: str, body: bytes, sha256: bytes, lock: Lock | None) -> None:
        # As segments are put: what the store's own `put` sends along is what is to be shown.
        self._store.put(key, body, sha256=sha256, lock=lock)

    def put(self, key: str, body: bytes, lock: Lock) -> None:
        self._call(
            "put",
            key,
            self._client.put_object,
            Body=body,
            ContentMD5=b64encode(md5(body, usedforsecurity=False).digest()).decode(),
            ObjectLockMode=lock.mode.value.upper(),
            ObjectLockRetainUntilDate=lock.until,
        )

    def _call(self, act: str, key: str, call: Callable[..., Any], **named: Any) -> None:
        what = f"{key}: {act}"
        with translating(what, write=True):
            _asked(call, Bucket=self._bucket, Key=self._prefix + key, **named)


def _asked(call: Callable[..., Any], **named: Any) -> Any:
    """Makes a call; the store's no (a 4xx that is not about who asks, or how often) is a lock."""
    try:
        return call(**named)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(error.response.get("Error", {}).get("Code", status))
        if 400 <= status < 500 and status not in (408, 429):
            raise StoreLocked(code) from error
        raise
