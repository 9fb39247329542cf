"""CloudTrail files and digests as AWS writes them, signed with a key of the test's own."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ACCOUNT, REGION, BUCKET = "111122223333", "eu-central-1", "trail-bucket"
_PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FINGERPRINT = "13dcbf26b6f6e3b9e9f4c2b8d3b2a1c0"


def public_keys() -> dict[str, Any]:
    """What ListPublicKeys answers, as the AWS CLI prints it."""
    der = _PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return {"PublicKeyList": [{"Fingerprint": FINGERPRINT, "Value": b64encode(der).decode()}]}


@dataclass
class Trail:
    """What a trail has delivered; `now` goes on by an hour with each digest."""

    now: datetime
    objects: dict[str, bytes] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, bytes]] = field(default_factory=list)
    last: dict[str, Any] | None = None
    number: int = 0

    def deliver(self, *records: dict[str, Any]) -> str:
        """Writes a log file and returns its key."""
        self.number += 1
        key = (
            f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/{self.now:%Y/%m/%d}/"
            f"{ACCOUNT}_CloudTrail_{REGION}_{self.now:%Y%m%dT%H%MZ}_{self.number:016}.json.gz"
        )
        content = json.dumps({"Records": list(records)}).encode()
        self.objects[key] = gzip.compress(content)
        self.files.append((key, content))
        return key

    def digest(self, **changed: Any) -> str:
        """Writes the digest of what was delivered since the last, and returns its key."""
        start, self.now = self.now, self.now + timedelta(hours=1)
        key = (
            f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/{self.now:%Y/%m/%d}/"
            f"{ACCOUNT}_CloudTrail-Digest_{REGION}_main_{REGION}_{self.now:%Y%m%dT%H%M%SZ}.json.gz"
        )
        last = self.last or {}
        said = {
            "awsAccountId": ACCOUNT,
            "digestStartTime": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "digestEndTime": f"{self.now:%Y-%m-%dT%H:%M:%SZ}",
            "digestS3Bucket": BUCKET,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": FINGERPRINT,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": None,
            "oldestEventTime": None,
            "previousDigestS3Bucket": last.get("bucket"),
            "previousDigestS3Object": last.get("key"),
            "previousDigestHashValue": last.get("hash"),
            "previousDigestHashAlgorithm": "SHA-256" if last else None,
            "previousDigestSignature": last.get("signature"),
            "logFiles": [
                {
                    "s3Bucket": BUCKET,
                    "s3Object": name,
                    "hashValue": sha256(content).hexdigest(),
                    "hashAlgorithm": "SHA-256",
                }
                for name, content in self.files
            ],
            **changed,
        }
        content = json.dumps(said).encode()
        hashed = sha256(content).hexdigest()
        before = said["previousDigestSignature"] or "null"
        text = f"{said['digestEndTime']}\n{BUCKET}/{key}\n{hashed}\n{before}"
        signature = _PRIVATE.sign(text.encode(), PKCS1v15(), SHA256()).hex()
        self.objects[key] = gzip.compress(content)
        self.signatures[key] = signature
        self.last = {"bucket": BUCKET, "key": key, "hash": hashed, "signature": signature}
        self.files = []
        return key
