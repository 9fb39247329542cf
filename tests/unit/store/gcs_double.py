"""A stand-in for Google Cloud Storage with object retention, as its JSON reference describes it.

fake-gcs-server keeps no holds and enforces no retention; this does, and has little else.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from email import message_from_bytes
from typing import Any
from urllib.parse import unquote

import google_crc32c
from http_double import Answer, Asked, ranged
from simulated_bucket import SimulatedBucket, Version

from muniment.errors import NoSuchObject, StoreFailing, StoreLocked
from muniment.store.port import Lock, Mode

MODES = {"Locked": Mode.COMPLIANCE, "Unlocked": Mode.GOVERNANCE}
NAMES = {mode: name for name, mode in MODES.items()}
OBJECT = re.compile(r"(?:/download)?/storage/v1/b/[^/]+/o/([^/]+)(/copyTo/b/[^/]+/o/[^/]+)?")


class GcsDouble:
    """Answers for one bucket with versioning and object retention; `more` is its metadata."""

    def __init__(self, **more: Any) -> None:
        self.bucket = SimulatedBucket(versioned=True, lockable=True)
        self.more = {
            "versioning": {"enabled": True},
            "objectRetention": {"mode": "Enabled"},
            **more,
        }

    def answer(self, asked: Asked) -> Answer:
        with self.bucket.mutex:
            try:
                return self._route(asked)
            except NoSuchObject:
                return failed(404, "notFound", "No such object")
            except StoreLocked:
                return failed(403, "retentionPolicyNotMet", "Object is subject to retention")
            except StoreFailing:
                return failed(400, "invalid", "Bad request")

    def _route(self, asked: Asked) -> Answer:
        if asked.path.startswith("/upload/"):
            return self._upload(asked)
        if found := OBJECT.fullmatch(asked.path):
            return self._object(unquote(found[1]), found[2] or "", asked)
        if asked.path.endswith("/o"):
            return self._list(asked)
        return shown({"name": "evidence", **self.more})

    def _upload(self, asked: Asked) -> Answer:
        head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
        parts = message_from_bytes(head + asked.body).get_payload()
        told = json.loads(parts[0].get_payload())  # type: ignore[union-attr]
        body = data_of(asked.body)
        if "crc32c" in told and told["crc32c"] != crc32c(body):
            return failed(400, "invalid", "Provided CRC32C does not match")
        absent = asked.query.get("ifGenerationMatch") == "0"
        version = self.bucket.put(told["name"], body, lock_of(told), absent=absent)
        if version is None:
            return failed(412, "conditionNotMet", "At least one of the pre-conditions failed")
        return self._shown(told["name"], self.bucket.find(told["name"], version))

    def _object(self, key: str, copy: str, asked: Asked) -> Answer:
        name = asked.query.get("generation") or asked.query.get("sourceGeneration") or ""
        version = f"v{int(name):08d}" if name else ""
        if copy:
            body = self.bucket.find(key, version).body or b""
            return self._shown(
                key, self.bucket.find(key, self.bucket.put(key, body, None, absent=True) or "")
            )
        if asked.method == "DELETE":
            self.bucket.find(key, version)
            if version:
                self.bucket.remove_version(key, version, bypass=False)
                if all(one.body is None for one in self.bucket.keys.get(key, [])):
                    self.bucket.keys.pop(key, None)
            else:
                self.bucket.hide(key)
            return Answer(204)
        found = self.bucket.find(key, version)
        if asked.method == "PATCH":
            self._patch(key, version, asked)
        elif asked.query.get("alt") == "media":
            headers = {"x-goog-generation": name_of(found)}
            body = found.body or b""
            return ranged(body, asked.headers.get("range", ""), headers) or failed(
                416, "requestedRangeNotSatisfiable", "no"
            )
        return self._shown(key, found)

    def _patch(self, key: str, version: str, asked: Asked) -> None:
        told, found = json.loads(asked.body), self.bucket.find(key, version)
        if "temporaryHold" in told:
            found.hold = bool(told["temporaryHold"])
        if "retention" not in told:
            return
        lock, old = lock_of(told), found.lock
        weakens = old is not None and (lock is None or lock.until < old.until)
        changes = weakens or (old is not None and lock is not None and lock.mode is not old.mode)
        allowed = asked.query.get("overrideUnlockedRetention", "").lower() == "true"
        if changes and (not allowed or old is None or old.mode is Mode.COMPLIANCE):
            raise StoreLocked(key)
        found.lock = lock

    def _list(self, asked: Asked) -> Answer:
        versions = asked.query.get("versions", "").lower() == "true"
        rows = [
            self._metadata(key, version)
            for key in sorted(self.bucket.keys)
            for version in self.bucket.keys[key]
            if key.startswith(asked.query.get("prefix", ""))
            if key >= asked.query.get("startOffset", "") and version.body is not None
            if versions or version is self.bucket.latest(key)
        ]
        begin = int(asked.query.get("pageToken") or 0)
        end = begin + int(asked.query.get("maxResults") or 1_000)
        more = {"nextPageToken": str(end)} if end < len(rows) else {}
        return shown({"items": rows[begin:end], **more})

    def _shown(self, key: str, version: Version) -> Answer:
        return shown(self._metadata(key, version))

    def _metadata(self, key: str, version: Version) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": key,
            "bucket": "evidence",
            "generation": name_of(version),
            "size": str(len(version.body or b"")),
            "updated": stamp(version.modified),
            "crc32c": crc32c(version.body or b""),
        }
        if version is not self.bucket.latest(key):
            metadata["timeDeleted"] = stamp(datetime.now(UTC))
        if version.hold:
            metadata["temporaryHold"] = True
        if version.lock is not None:
            until = stamp(version.lock.until)
            metadata["retention"] = {"mode": NAMES[version.lock.mode], "retainUntilTime": until}
            metadata["retentionExpirationTime"] = until
        return metadata


def data_of(body: bytes) -> bytes:
    """The second part of a multipart/related body, byte for byte."""
    boundary = body[: body.index(b"\r\n")]
    second = body.split(boundary, 2)[2]
    return second[second.index(b"\r\n\r\n") + 4 : second.rindex(b"\r\n" + boundary)]


def lock_of(told: dict[str, Any]) -> Lock | None:
    """The retention that a metadata document asks for."""
    retention = told.get("retention") or {}
    if not retention.get("mode"):
        return None
    return Lock(MODES[retention["mode"]], datetime.fromisoformat(retention["retainUntilTime"]))


def name_of(version: Version) -> str:
    return str(int(version.name[1:]))


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def shown(document: Any) -> Answer:
    return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})


def failed(status: int, reason: str, message: str) -> Answer:
    errors = [{"reason": reason, "message": message, "domain": "global"}]
    document = {"error": {"code": status, "message": message, "errors": errors}}
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
