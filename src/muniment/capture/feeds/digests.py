"""CloudTrail digest files: what they say, and whether it holds.

Every hour CloudTrail writes a digest of the log files that it delivered in a region: their SHA-256
(of the uncompressed bytes), where the digest before it is, its SHA-256 and its signature. It signs
(RSA PKCS #1 v1.5 with SHA-256, hexadecimal in the object's metadata `signature`)

    digestEndTime "\\n" digestS3Bucket "/" digestS3Object "\\n" hex(SHA-256(digest)) "\\n"
    previousDigestSignature, or null

Null begins a chain. A digest without log files proves that there were none. This module reads no
bucket: whoever uses it says what stands there.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from muniment.errors import InputError

MAX_DIGEST = 64 << 20
"""Bytes of a digest file, uncompressed."""

MAX_LOG_FILES = 200_000
ALGORITHM = "SHA256withRSA"

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_NAME = re.compile(r"_CloudTrail-Digest_(?P<chain>.+)_[0-9]{8}T[0-9]{6}Z(?P<kind>_[a-z]+)?\.json")


@dataclass(frozen=True, slots=True)
class LogFile:
    """A log file as a digest names it; `hash` is hexadecimal."""

    bucket: str
    key: str
    hash: str


@dataclass(frozen=True, slots=True)
class Link:
    """A digest as the next one of its chain names it; `signature` is hexadecimal."""

    bucket: str
    key: str
    hash: str
    signature: str


@dataclass(frozen=True, slots=True)
class Digest:
    """What a digest file says; `previous` is None where a chain begins. `hash` is of the file."""

    bucket: str
    key: str
    start: str
    end: str
    fingerprint: str
    previous: Link | None
    previous_signature: str | None
    files: tuple[LogFile, ...]
    hash: str

    def signed_bytes(self) -> bytes:
        """Returns what CloudTrail has signed."""
        before = "null" if self.previous_signature is None else self.previous_signature
        return f"{self.end}\n{self.bucket}/{self.key}\n{self.hash}\n{before}".encode()


def chain_of(key: str) -> str:
    """Returns what the digests of one chain have in common; those of a backfill have their own.

    That is the folder of the region, the region, the trail and the trail's home region.
    """
    found = _NAME.search(key)
    folder = re.sub(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/[^/]*$", "", key)
    return folder + (f"{found['chain']}{found['kind'] or ''}" if found else "")


def read(content: bytes) -> Digest:
    """Reads an uncompressed digest file. Raises InputError."""
    if len(content) > MAX_DIGEST:
        raise InputError(f"a digest has no more than {MAX_DIGEST:,} bytes")
    try:
        said = orjson.loads(content)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise InputError(f"the digest is no JSON: {error}") from None
    if not isinstance(said, dict):
        raise InputError("the digest is no JSON object")
    signature = said.get("previousDigestSignature")
    if signature is not None and not isinstance(signature, str):
        raise InputError("previousDigestSignature is no text")
    algorithm = said.get("digestSignatureAlgorithm", ALGORITHM)
    if algorithm != ALGORITHM:
        raise InputError(f"digestSignatureAlgorithm is {str(algorithm)[:40]!r}, not {ALGORITHM}")
    return Digest(
        _text(said, "digestS3Bucket"),
        _text(said, "digestS3Object"),
        _text(said, "digestStartTime"),
        _text(said, "digestEndTime"),
        _text(said, "digestPublicKeyFingerprint"),
        _previous(said, signature),
        signature,
        tuple(_files(said)),
        sha256(content).hexdigest(),
    )


def _previous(said: Mapping[str, Any], signature: str | None) -> Link | None:
    if said.get("previousDigestS3Object") is None:
        return None
    return Link(
        _text(said, "previousDigestS3Bucket"),
        _text(said, "previousDigestS3Object"),
        _hash(said, "previousDigestHashValue", "previousDigestHashAlgorithm"),
        signature or "",
    )


def _files(said: Mapping[str, Any]) -> Iterator[LogFile]:
    listed = said.get("logFiles")
    if not isinstance(listed, list) or len(listed) > MAX_LOG_FILES:
        raise InputError("logFiles of the digest is no list, or too long a one")
    for one in listed:
        if not isinstance(one, dict):
            raise InputError("a log file of the digest is no object")
        value = _hash(one, "hashValue", "hashAlgorithm")
        yield LogFile(_text(one, "s3Bucket"), _text(one, "s3Object"), value)


def _hash(said: Mapping[str, Any], name: str, algorithm: str) -> str:
    value = _text(said, name)
    if said.get(algorithm, "SHA-256") != "SHA-256" or not _HEX.fullmatch(value):
        raise InputError(f"{name} of the digest is no SHA-256")
    return value.lower()


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 2_048:
        raise InputError(f"{name} of the digest is missing, or no text")
    return value


def public_key(encoded: str | bytes) -> RSAPublicKey:
    """Reads a key as `ListPublicKeys` gives it: DER of PKCS #1, in base64 or as bytes.

    Raises InputError.
    """
    try:
        der = b64decode(encoded, validate=True) if isinstance(encoded, str) else encoded
        key = load_der_public_key(der)
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"not a public key of CloudTrail: {error}") from None
    if not isinstance(key, RSAPublicKey):
        raise InputError("not a public key of CloudTrail: it is no RSA key")
    return key


def signature_holds(digest: Digest, signature: str, key: RSAPublicKey) -> bool:
    """Returns whether a hexadecimal signature is that key's under the digest."""
    try:
        key.verify(bytes.fromhex(signature), digest.signed_bytes(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def faults(
    digest: Digest,
    signature: str,
    key: RSAPublicKey | None,
    place: tuple[str, str],
    last: Link | None,
) -> Iterator[str]:
    """Yields what of a digest itself and of its chain does not hold.

    `place` is the bucket and the key where it was found, `signature` that of the object there,
    `key` the one of its fingerprint (None: not known), `last` the digest of the chain before it,
    as it was found (None: none has been seen).
    """
    if (digest.bucket, digest.key) != place:
        yield f"it says that it is s3://{digest.bucket}/{digest.key}"
    if key is None:
        yield f"the public key {digest.fingerprint[:80]} is not known"
    elif not signature_holds(digest, signature, key):
        yield "its signature is wrong"
    yield from _chain_faults(digest.previous, last)


def _chain_faults(previous: Link | None, last: Link | None) -> Iterator[str]:
    if last is None:
        return
    if previous is None:
        yield f"it begins a new chain, though {last.key} came before it"
    elif (previous.bucket, previous.key) != (last.bucket, last.key):
        yield f"it follows {previous.key}, but the digest before it is {last.key}"
    else:
        if previous.hash != last.hash:
            yield f"the digest before it, {last.key}, is not the one that it names"
        if previous.signature != last.signature:
            yield "the signature of the digest before it is not the one that it names"
