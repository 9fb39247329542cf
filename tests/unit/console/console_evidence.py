"""A second, naive writing of what the console checks: RFC 6962 trees, signed notes, proof files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519_LOG = b"\x01"


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\0" + entry).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The RFC 6962 root over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    cut = _split(len(leaves))
    return hashlib.sha256(b"\1" + root_of(leaves[:cut]) + root_of(leaves[cut:])).digest()


def inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion path of `index`, from the sibling of the leaf upward."""
    if len(leaves) == 1:
        return []
    cut = _split(len(leaves))
    if index < cut:
        return [*inclusion(leaves[:cut], index), root_of(leaves[cut:])]
    return [*inclusion(leaves[cut:], index - cut), root_of(leaves[:cut])]


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


@dataclass(frozen=True)
class LogKey:
    """An Ed25519 log key under an origin."""

    origin: str
    seed: bytes

    @property
    def _typed(self) -> bytes:
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return ED25519_LOG + private.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name || newline || type || public key)."""
        return hashlib.sha256(self.origin.encode() + b"\n" + self._typed).digest()[:4]

    @property
    def verifier(self) -> str:
        """The verifier key text."""
        encoded = base64.b64encode(self._typed).decode()
        return f"{self.origin}+{self.key_id.hex()}+{encoded}"

    def checkpoint(self, leaves: Sequence[bytes]) -> str:
        """A signed checkpoint over the leaf hashes."""
        root = base64.b64encode(root_of(leaves)).decode()
        text = f"{self.origin}\n{len(leaves)}\n{root}\n"
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        blob = base64.b64encode(self.key_id + signature).decode()
        return f"{text}\n— {self.origin} {blob}\n"


def proof_file(checkpoint: str, leaves: Sequence[bytes], index: int) -> str:
    """A tlog-proof file."""
    path = [base64.b64encode(node).decode() for node in inclusion(leaves, index)]
    return "\n".join(["c2sp.org/tlog-proof@v1", f"index {index}", *path, "", checkpoint])
