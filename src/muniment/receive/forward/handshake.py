"""The handshake of the forward protocol: HELO, PING, PONG, with a shared key and users.

Both sides show that they know the key, neither sends it: the digest of a PING is the hex SHA-512
of salt + client's host name + nonce + key, that of a PONG of the same salt + server's host name +
nonce + key (Forward Protocol Specification v1, "Handshake messages").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha512
from hmac import compare_digest

from msgpack import packb

from muniment.errors import InputError
from muniment.receive.forward.wire import text_of

MAX_PING = 4_096
"""Bytes of a PING; who has not shown the key yet gets no more memory."""

SALT_BYTES = 16
MAX_SENDER = 100

_UNPRINTABLE = re.compile(r"[^!-~]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The PONG to send, and who it is for: `user:<name>` or `host:<name>`.

    Where the client was refused, `reason` says why, and there is no sender.
    """

    pong: bytes
    sender: str = ""
    reason: str = ""


class Handshake:
    """One connection's handshake. Each has a nonce and a salt of its own."""

    def __init__(
        self,
        shared_key: str,
        users: Mapping[str, str],
        hostname: str,
        randomness: Callable[[int], bytes],
    ) -> None:
        self._key, self._hostname = shared_key.encode(), hostname.encode()
        self._users = users
        self._nonce = randomness(SALT_BYTES)
        self._salt = randomness(SALT_BYTES) if users else b""
        self._nobody = randomness(SALT_BYTES)

    @property
    def helo(self) -> bytes:
        """What the server says first. An empty `auth` says that no user is asked for."""
        options = {"nonce": self._nonce, "auth": self._salt or "", "keepalive": True}
        return bytes(packb(["HELO", options]))

    def judge(self, ping: Sequence[bytes]) -> Verdict:
        """Judges a client's first message, in its elements."""
        try:
            word, host, salt, digest, user, password = map(text_of, ping)
        except (InputError, ValueError):
            return _refused("invalid ping message")
        if word != b"PING":
            return _refused("invalid ping message")
        known = compare_digest(digest, self._digest(salt, host))
        welcome = self._knows(user, password)
        if not known:
            return _refused("shared_key mismatch")
        if not welcome:
            return _refused("username/password mismatch")
        proof = self._digest(salt, self._hostname).decode()
        pong = packb(["PONG", True, "", self._hostname.decode(), proof])
        sender = f"user:{_shown(user)}" if self._users else f"host:{_shown(host)}"
        return Verdict(bytes(pong), sender)

    def _digest(self, salt: bytes, host: bytes) -> bytes:
        return sha512(salt + host + self._nonce + self._key).hexdigest().encode()

    def _knows(self, user: bytes, password: bytes) -> bool:
        """Whether the password is the user's; as much work where there is no such user."""
        if not self._users:
            return True
        found = self._users.get(user.decode("utf-8", "replace"))
        secret = self._nobody if found is None else found.encode()
        digest = sha512(self._salt + user + secret).hexdigest().encode()
        return compare_digest(password, digest) and found is not None


def _refused(reason: str) -> Verdict:
    return Verdict(bytes(packb(["PONG", False, reason, "", ""])), reason=reason)


def _shown(name: bytes) -> str:
    """A name as it stands in receipt headers: printable, without spaces, bounded."""
    return _UNPRINTABLE.sub("?", name.decode("utf-8", "replace"))[:MAX_SENDER]
