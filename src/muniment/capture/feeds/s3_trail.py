"""CloudTrail files as they come in: cut into records, and held against their digests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from muniment import json_cut
from muniment.balancer.aws import Aws, AwsError
from muniment.capture.feeds import digests
from muniment.capture.feeds.s3_objects import Bucket, Found, Unreadable
from muniment.capture.feeds.s3_position import Position
from muniment.capture.snapshot import Json
from muniment.clock import Clock, rfc3339
from muniment.errors import InputError

MAX_TRAIL = 128 << 20
"""Bytes of a CloudTrail file, uncompressed; a larger one is told of, and not read."""

MAX_FAULTS = 20
SETTLED = timedelta(hours=1)
"""So long before the period of a digest a file must have come to be, to be in an earlier one."""

_RECORDS = json_cut.Members("Records")


def records(content: bytes, key: str) -> list[bytes]:
    """Returns the records of a CloudTrail file as they stand in it. Raises Unreadable."""
    try:
        (listed,) = _RECORDS.of(content)
        return json_cut.elements(listed, lambda _: None)
    except InputError as error:
        raise Unreadable(f"{key} is no CloudTrail file: {error.detail}") from None


def is_digest(key: str) -> bool:
    """Whether a key is that of a digest."""
    return "/CloudTrail-Digest/" in key


def digest_folder(folder: str) -> str:
    """Returns where the digests are of the log files in a folder."""
    return folder.replace("/CloudTrail/", "/CloudTrail-Digest/", 1)


@dataclass(slots=True)
class Keys:
    """Public keys of CloudTrail by fingerprint: `given` ones, else those that AWS lists."""

    api: Aws
    given: dict[str, RSAPublicKey] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)

    def of(self, digest: digests.Digest) -> RSAPublicKey | None:
        """Returns the key of a digest; None where there is none. Raises AwsError."""
        question = (digest.fingerprint, digest.end[:10])
        if digest.fingerprint not in self.given and question not in self.asked:
            self._ask(digest)
            self.asked.add(question)
        return self.given.get(digest.fingerprint)

    def _ask(self, digest: digests.Digest) -> None:
        try:
            end = datetime.fromisoformat(digest.end).astimezone(UTC)
        except ValueError:
            return
        listed = self.api.items(
            *("cloudtrail", "list_public_keys", "PublicKeyList"),
            StartTime=end - timedelta(days=1),
            EndTime=end + timedelta(days=1),
        )
        for one in listed:
            try:
                self.given[str(one["Fingerprint"])] = digests.public_key(bytes(one["Value"]))
            except InputError:
                continue


class Checker:
    """Holds captured files against digests; what is known of them is in the position."""

    def __init__(self, bucket: Bucket, keys: Keys, clock: Clock) -> None:
        self._bucket, self._keys, self._clock = bucket, keys, clock

    def check(self, found: Found, position: Position) -> tuple[bytes, list[bytes]]:
        """Returns the digest as it stands, and what follows from it as entries of `muniment`.

        The position then has what the digest says of its chain. Raises AwsError and Unreadable.
        """
        content, metadata = self._bucket.content(found.key, digests.MAX_DIGEST, found.etag)
        signature = metadata.get("signature", "")
        try:
            digest = digests.read(content)
        except InputError as error:
            return content, [self._event("broken", found, {"faults": [error.detail]})]
        chain = digests.chain_of(found.key)
        place = (self._bucket.name, found.key)
        last = position.chains.get(chain)
        wrong = list(digests.faults(digest, signature, self._keys.of(digest), place, last))
        wrong += self._file_faults(digest, position)
        position.link(chain, digests.Link(*place, digest.hash, signature))
        said: dict[str, Json] = {
            "from": digest.start,
            "to": digest.end,
            "files": len(digest.files),
            "sha256": digest.hash,
            "signature": signature,
            "begins": digest.previous is None or last is None,
        }
        if wrong:
            said |= {"faults": list(wrong[:MAX_FAULTS]), "faulty": len(wrong)}
        events = [self._event("broken" if wrong else "verified", found, said)]
        events += self._left_over(digest, found, position)
        return content, events

    def _file_faults(self, digest: digests.Digest, position: Position) -> Iterator[str]:
        for one in digest.files:
            captured = position.pending.pop(one.key, None) if self._is_ours(one.bucket) else None
            try:
                actual = captured[0] if captured else self._there(one)
            except (AwsError, Unreadable) as error:
                if isinstance(error, AwsError) and not error.is_gone:
                    raise
                yield f"the log file {one.key} is missing or cannot be read"
                continue
            if actual != one.hash:
                yield f"the log file {one.key} is not what was delivered"

    def _there(self, one: digests.LogFile) -> str:
        if not self._is_ours(one.bucket):
            raise Unreadable(f"it is in another bucket, {one.bucket}")
        return self._bucket.hash(one.key)

    def _is_ours(self, bucket: str) -> bool:
        return bucket == self._bucket.name

    def _left_over(
        self, digest: digests.Digest, found: Found, position: Position
    ) -> Iterator[bytes]:
        """Files of the region that came to be long before this digest, and are in none."""
        try:
            start = datetime.fromisoformat(digest.start).astimezone(UTC) - SETTLED
        except ValueError:
            return
        logs = found.key.replace("/CloudTrail-Digest/", "/CloudTrail/", 1)
        folder = logs.rsplit("/", 4)[0] + "/"
        left = [
            key
            for key, (_, modified) in position.pending.items()
            if modified < start and key.startswith(folder)
        ]
        for key in left:
            hashed, _ = position.pending.pop(key)
            yield self._note("file.without_digest", key, {"sha256": hashed}, "no digest names it")

    def _event(self, what: str, found: Found, said: dict[str, Json]) -> bytes:
        faults = said.get("faults")
        detail = "; ".join(map(str, faults)) if isinstance(faults, list) else ""
        return self._note(f"digest.{what}", found.key, said, detail, ok=what == "verified")

    def _note(
        self, what: str, key: str, said: dict[str, Json], detail: str, *, ok: bool = False
    ) -> bytes:
        return orjson.dumps(
            {
                "time": rfc3339(self._clock.now()),
                "actor": "muniment",
                "action": f"cloudtrail.{what}",
                "resource": f"s3://{self._bucket.name}/{key}",
                "outcome": "success" if ok else "failure",
                **({"detail": detail[:2_000]} if detail else {}),
                **said,
            }
        )


def hashed(content: bytes) -> str:
    """Returns the SHA-256 (hex) of a file's uncompressed bytes."""
    return sha256(content).hexdigest()
