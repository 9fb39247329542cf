"""A signed log in memory, written from RFC 6962 and the C2SP documents alone.

It shares no code with the product but the signer, so that what the product checks is checked
against another reading of the standards.
"""

from __future__ import annotations

import base64
from hashlib import sha256

from muniment.log.note import Signer


def leaf(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def tree_hash(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, over leaf hashes (or hashes of perfect subtrees)."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = largest_power_below(len(hashes))
    return sha256(b"\x01" + tree_hash(hashes[:half]) + tree_hash(hashes[half:])).digest()


def audit_path(index: int, hashes: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1."""
    if len(hashes) == 1:
        return []
    half = largest_power_below(len(hashes))
    if index < half:
        return [*audit_path(index, hashes[:half]), tree_hash(hashes[half:])]
    return [*audit_path(index - half, hashes[half:]), tree_hash(hashes[:half])]


def largest_power_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


class SignedLog:
    """One shard: entries, and what can be said of them."""

    def __init__(self, log: str = "default", shard: str = "0a1b2c3d", seed: bytes = b"k" * 32):
        self.log, self.shard = log, shard
        self.origin = f"muniment.local/{log}/{shard}"
        self.signer = Signer(self.origin, seed)
        self.entries: list[bytes] = []

    def checkpoint(self, size: int | None = None) -> str:
        size = len(self.entries) if size is None else size
        root = tree_hash([leaf(entry) for entry in self.entries[:size]])
        return self.signer.sign(f"{self.origin}\n{size}\n{base64.b64encode(root).decode()}\n")

    def proof(self, index: int) -> str:
        path = audit_path(index, [leaf(entry) for entry in self.entries])
        lines = ["c2sp.org/tlog-proof@v1", f"index {index}"]
        lines += [base64.b64encode(hash_).decode() for hash_ in path]
        return "\n".join(lines) + "\n\n" + self.checkpoint()

    def bundle(self, number: int, width: int) -> bytes | None:
        entries = self.entries[number * 256 : number * 256 + width]
        if len(entries) != width:
            return None
        return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)

    def tile(self, level: int, number: int, width: int) -> bytes | None:
        span = 256**level
        first = number * 256
        if (first + width) * span > len(self.entries):
            return None
        return b"".join(
            tree_hash([leaf(entry) for entry in self.entries[i * span : (i + 1) * span]])
            for i in range(first, first + width)
        )


def filled(count: int) -> SignedLog:
    """A log of `count` entries with receipt headers."""
    log = SignedLog()
    header = b'{"at":"2026-01-02T03:04:05.000000Z","via":"http","as":"text"}\n'
    log.entries = [header + b"line %d" % n for n in range(count)]
    return log
