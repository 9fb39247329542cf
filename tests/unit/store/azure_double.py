"""A stand-in for Azure Blob with version-level immutability, as its REST reference describes it.

Emulators have no versions, policies or holds; this has little else. Paths are /account/container.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from xml.sax.saxutils import escape

from http_double import Answer, Asked, ranged
from simulated_bucket import SimulatedBucket, Version

from muniment.errors import NoSuchObject, StoreFailing, StoreLocked
from muniment.store.port import Lock, Mode

MODES = {"locked": Mode.COMPLIANCE, "unlocked": Mode.GOVERNANCE}
NAMES = {mode: name for name, mode in MODES.items()}


class AzureDouble:
    """Answers for one container with versions and immutability."""

    def __init__(self) -> None:
        self.bucket = SimulatedBucket(versioned=True, lockable=True)

    def answer(self, asked: Asked) -> Answer:
        _, _, _, *rest = asked.path.split("/", 3)
        with self.bucket.mutex:
            try:
                return self._blob(rest[0], asked) if rest else self._container(asked)
            except NoSuchObject:
                return failed(404, "BlobNotFound")
            except StoreLocked:
                return failed(409, "BlobImmutableDueToPolicy")
            except StoreFailing:
                return failed(400, "InvalidHeaderValue")

    def _container(self, asked: Asked) -> Answer:
        if asked.query.get("comp") == "list":
            return self._list(asked)
        return Answer(
            200,
            headers={
                "ETag": '"0"',
                "Last-Modified": http_date(datetime.now(UTC)),
                "x-ms-has-immutability-policy": "false",
                "x-ms-has-legal-hold": "false",
                "x-ms-immutable-storage-with-versioning-enabled": "true",
            },
        )

    def _blob(self, key: str, asked: Asked) -> Answer:
        version = asked.query.get("versionid", "")
        match asked.method, asked.query.get("comp", ""):
            case "PUT", "":
                return self._put(key, asked)
            case "PUT", "immutabilityPolicies":
                lock = lock_of(asked)
                assert lock is not None
                self.bucket.extend(key, version, lock)
                return Answer(200)
            case "DELETE", "immutabilityPolicies":
                found = self.bucket.find(key, version)
                if found.lock is not None and found.lock.mode is Mode.COMPLIANCE:
                    return failed(409, "BlobImmutableDueToPolicy")
                found.lock = None
                return Answer(200)
            case "PUT", "legalhold":
                on = asked.headers["x-ms-legal-hold"] == "true"
                self.bucket.find(key, version).hold = on
                return Answer(200, headers={"x-ms-legal-hold": str(on).lower()})
            case "DELETE", "":
                return self._delete(key, version)
            case _:
                return self._get(key, version, asked)

    def _put(self, key: str, asked: Asked) -> Answer:
        body, status = asked.body, {}
        if source := asked.headers.get("x-ms-copy-source"):
            body = self.bucket.find(key, source.partition("versionid=")[2]).body or b""
            status = {"x-ms-copy-id": "1", "x-ms-copy-status": "success"}
        absent = asked.headers.get("if-none-match") == "*"
        version = self.bucket.put(key, body, lock_of(asked), absent=absent)
        if version is None:
            return failed(409, "BlobAlreadyExists")
        headers = {"x-ms-version-id": version, "ETag": f'"{version}"', **status}
        headers["Last-Modified"] = http_date(datetime.now(UTC))
        return Answer(202 if status else 201, headers=headers)

    def _delete(self, key: str, version: str) -> Answer:
        found = self.bucket.find(key, version)
        if not version:
            self.bucket.hide(key)
        elif found is self.bucket.latest(key):
            return failed(403, "OperationNotAllowedOnRootBlob")
        else:
            self.bucket.remove_version(key, version, bypass=False)
            self._forget(key)
        return Answer(202)

    def _forget(self, key: str) -> None:
        """Where only marks of a deletion are left, Azure knows nothing of the blob any more."""
        if all(version.body is None for version in self.bucket.keys.get(key, [])):
            self.bucket.keys.pop(key, None)

    def _get(self, key: str, version: str, asked: Asked) -> Answer:
        found = self.bucket.find(key, version)
        headers = {
            "x-ms-version-id": found.name,
            "x-ms-is-current-version": str(found is self.bucket.latest(key)).lower(),
            "ETag": f'"{found.name}"',
            "Last-Modified": http_date(found.modified),
            "x-ms-blob-type": "BlockBlob",
            **shown(found),
        }
        body = found.body or b""
        if asked.method == "HEAD":
            return Answer(200, headers=headers, length=len(body))
        wanted = asked.headers.get("x-ms-range", asked.headers.get("range", ""))
        return ranged(body, wanted, headers) or failed(416, "InvalidRange")

    def _list(self, asked: Asked) -> Answer:
        versions = "versions" in asked.query.get("include", "")
        rows = [
            row(key, version, version is self.bucket.latest(key))
            for key in sorted(self.bucket.keys)
            for version in self.bucket.keys[key]
            if key.startswith(asked.query.get("prefix", "")) and version.body is not None
            if versions or version is self.bucket.latest(key)
        ]
        begin = int(asked.query.get("marker") or 0)
        end = begin + int(asked.query.get("maxresults") or 5_000)
        marker = f"<NextMarker>{end}</NextMarker>" if end < len(rows) else "<NextMarker />"
        text = "".join(rows[begin:end])
        xml = '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="s" '
        xml += f'ContainerName="c"><Blobs>{text}</Blobs>{marker}</EnumerationResults>'
        return Answer(200, xml.encode(), {"Content-Type": "application/xml"})


def row(key: str, version: Version, current: bool) -> str:
    """One blob of a list."""
    lock, policy = version.lock, ""
    if lock is not None:
        policy = (
            f"<ImmutabilityPolicyUntilDate>{http_date(lock.until)}</ImmutabilityPolicyUntilDate>"
        )
        policy += f"<ImmutabilityPolicyMode>{NAMES[lock.mode]}</ImmutabilityPolicyMode>"
    hold = f"<LegalHold>{str(version.hold).lower()}</LegalHold>"
    is_current = "<IsCurrentVersion>true</IsCurrentVersion>" if current else ""
    return (
        f"<Blob><Name>{escape(key)}</Name><VersionId>{version.name}</VersionId>{is_current}"
        f"<Properties><Last-Modified>{http_date(version.modified)}</Last-Modified>"
        f"<Etag>{version.name}</Etag><Content-Length>{len(version.body or b'')}</Content-Length>"
        f"<BlobType>BlockBlob</BlobType>{policy}{hold}</Properties></Blob>"
    )


def lock_of(asked: Asked) -> Lock | None:
    """The lock that the headers of a request ask for."""
    until = asked.headers.get("x-ms-immutability-policy-until-date")
    if until is None:
        return None
    mode = MODES[asked.headers["x-ms-immutability-policy-mode"].lower()]
    return Lock(mode, parsedate_to_datetime(until))


def shown(version: Version) -> dict[str, str]:
    """A version's lock and hold as headers."""
    headers = {"x-ms-legal-hold": "true"} if version.hold else {}
    if version.lock is not None:
        headers["x-ms-immutability-policy-until-date"] = http_date(version.lock.until)
        headers["x-ms-immutability-policy-mode"] = NAMES[version.lock.mode]
    return headers


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def failed(status: int, code: str) -> Answer:
    return Answer(status, headers={"x-ms-error-code": code})
