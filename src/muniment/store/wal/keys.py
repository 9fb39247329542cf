"""A shard's private key in the store, so that another node can go on with the shard.

The object is `MUNIKEY1`, a salt (32 bytes), a nonce (12), and the key under ChaCha20-Poly1305
(RFC 8439). The cipher's key is HKDF-SHA256 (RFC 5869) of the takeover secret with the salt; the
origin, the log and the shard are authenticated with it, so that no key can be put in the place of
another.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from muniment.errors import Conflict, Corrupt, SettingsError
from muniment.store.bounded import get_at_most
from muniment.store.port import Store
from muniment.store.wal.names import ShardName, private_key

MAGIC = b"MUNIKEY1"
SALT_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
MIN_SECRET, MAX_SECRET = 32, 4096
MAX_KEY = 4096
MAX_SEALED = len(MAGIC) + SALT_BYTES + NONCE_BYTES + MAX_KEY + TAG_BYTES
_INFO = b"muniment: the private key of a shard"


def read_takeover_secret(path: Path) -> bytes:
    """Returns the bytes of the file, without white space at its ends.

    Raises SettingsError where it cannot be read, is short, or can be read by everybody.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(MAX_SECRET + 1).strip()
    except OSError as error:
        raise SettingsError(f"takeover_secret: {path}: {error.strerror}") from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise SettingsError(f"takeover_secret: everybody can read {path}: chmod 600 {path}")
    if not MIN_SECRET <= len(secret) <= MAX_SECRET:
        raise SettingsError(
            f"takeover_secret: {path} has {len(secret)} bytes: {MIN_SECRET} at least, "
            f"{MAX_SECRET} at most (`openssl rand -hex 32` makes a good one)"
        )
    return secret


def put_shard_key(
    store: Store,
    secret: bytes,
    origin: str,
    log: str,
    shard: str,
    key: str,
    randomness: Callable[[int], bytes],
) -> None:
    """Puts a shard's private key, encrypted, where the store has none yet.

    Raises SettingsError where the one that is there has another secret, Conflict where it is
    another key, Corrupt, StoreFailing.
    """
    of = ShardName(origin, log, shard)
    data = _encrypt(secret, of, key.encode(), randomness)
    if store.put_if_absent(private_key(of), data) is not None:
        return
    if get_shard_key(store, secret, origin, log, shard) != key:
        raise Conflict(f"{store.url}: {private_key(of)} holds another key than this shard's")


def get_shard_key(store: Store, secret: bytes, origin: str, log: str, shard: str) -> str:
    """Returns a shard's private key.

    Raises NoSuchObject where none was put, SettingsError for another secret, Corrupt,
    StoreFailing.
    """
    of = ShardName(origin, log, shard)
    return _decrypt(secret, of, get_at_most(store, private_key(of), MAX_SEALED)).decode()


def _encrypt(secret: bytes, of: ShardName, key: bytes, randomness: Callable[[int], bytes]) -> bytes:
    salt, nonce = randomness(SALT_BYTES), randomness(NONCE_BYTES)
    sealed = _cipher(secret, salt).encrypt(nonce, key, _about(of))
    return b"".join((MAGIC, salt, nonce, sealed))


def _decrypt(secret: bytes, of: ShardName, data: bytes) -> bytes:
    """Raises Corrupt for what is no encrypted key, SettingsError where the secret does not fit."""
    begin = len(MAGIC) + SALT_BYTES
    sealed = data[begin + NONCE_BYTES :]
    name = private_key(of)
    if not data.startswith(MAGIC) or not TAG_BYTES < len(sealed) <= MAX_KEY + TAG_BYTES:
        raise Corrupt(name, 0, "an encrypted private key", f"{len(data):,} other bytes")
    nonce = data[begin : begin + NONCE_BYTES]
    try:
        return _cipher(secret, data[len(MAGIC) : begin]).decrypt(nonce, sealed, _about(of))
    except InvalidTag as error:
        raise SettingsError(
            f"takeover_secret does not open {name}: it was encrypted under another secret or for "
            f"another origin than {of.origin}, or it is damaged"
        ) from error


def _cipher(secret: bytes, salt: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt, _INFO).derive(secret))


def _about(of: ShardName) -> bytes:
    return "\n".join((of.origin, of.log, of.shard)).encode()
