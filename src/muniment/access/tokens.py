"""Tokens: made once, shown once, kept as hashes in one checked file.

A token is `mun_<id>_<secret>`: the id names the record, the secret is 256 random bits in base64url.
The file holds SHA-256 of the secret, which needs no slow hash: there is nothing to guess.
"""

from __future__ import annotations

import hmac
import json
import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from muniment.access.caller import Caller, Scope
from muniment.clock import Clock, SystemClock, rfc3339
from muniment.errors import Corrupt, InputError, Unauthenticated
from muniment.log.disk import Disk, PosixDisk, write_file

FORMAT = "muniment-tokens/1"
MAX_TOKENS = 1_000
MAX_FILE_BYTES = 1 << 20

_TOKEN = re.compile(r"mun_([0-9a-f]{8})_([A-Za-z0-9_-]{43})", re.ASCII)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_RESERVED = frozenset({"local", "anyone", "muniment", "forward", "kafka"})
_SECRET_BYTES = 32

Randomness = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of a token. `digest` is the hex SHA-256 of its secret.

    A token that is bound to a log may write there and nowhere else.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    digest: str
    created: str
    log: str = ""


class Tokens:
    """The tokens of a node, read once and written on each change."""

    def __init__(
        self,
        path: Path,
        records: Sequence[TokenRecord],
        *,
        disk: Disk | None = None,
        clock: Clock | None = None,
        randomness: Randomness = os.urandom,
    ) -> None:
        self._path = path
        self._records = {record.id: record for record in records}
        self._disk, self._clock = disk or PosixDisk(), clock or SystemClock()
        self._randomness = randomness

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        disk: Disk | None = None,
        clock: Clock | None = None,
        randomness: Randomness = os.urandom,
    ) -> Tokens:
        """Reads the file; where there is none, there is no token yet. Raises Corrupt."""
        disk = disk or PosixDisk()
        records: Sequence[TokenRecord] = ()
        if path.name in disk.names(path.parent):
            records = parse(path, disk.read(path, 0, MAX_FILE_BYTES + 1))
        return cls(path, records, disk=disk, clock=clock, randomness=randomness)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def records(self) -> Sequence[TokenRecord]:
        """What is kept of each token, oldest first."""
        return tuple(self._records.values())

    @property
    def trouble(self) -> str:
        """Why the tokens may not be the newest; empty where they are."""
        return ""

    def check_changeable(self) -> None:
        """Raises ManagedElsewhere where tokens are not made and revoked here."""

    def check(self, name: str, scopes: Sequence[Scope], log: str = "") -> None:
        """Raises InputError for what `create` would not make."""
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise InputError(
                f"{name!r} is no name for a token",
                advice="use a-z, 0-9, `.`, `_` and `-`, 32 at most; local, anyone are reserved",
            )
        if not scopes:
            raise InputError("a token has at least one scope")
        if log and set(scopes) != {Scope.WRITE}:
            raise InputError(
                "a token for one log has the scope write and no other",
                advice="leave out the log, or ask for the scope write alone",
            )
        if len(self._records) >= MAX_TOKENS:
            raise InputError(f"there are {MAX_TOKENS:,} tokens already")

    def create(self, name: str, scopes: Sequence[Scope], log: str = "") -> str:
        """Makes a token and returns it: the only time that it can be seen.

        It is durable before it is returned. Raises InputError for a bad name, no scope, or a log
        together with more than the right to write. One call at a time.
        """
        self.check(name, scopes, log)
        id_ = self._free_id()
        secret = urlsafe_b64encode(self._randomness(_SECRET_BYTES)).rstrip(b"=").decode()
        created = rfc3339(self._clock.now())
        kept = tuple(scope for scope in Scope if scope in scopes)
        record = TokenRecord(id_, name, kept, _digest(secret), created, log)
        self._write({**self._records, id_: record})
        return f"mun_{id_}_{secret}"

    def ensure_file(self) -> None:
        """Writes the file where there is none yet: one that is missing is a finding later."""
        if self._path.name not in self._disk.names(self._path.parent):
            self._write(self._records)

    def revoke(self, id_: str) -> bool:
        """Removes a token; says whether there was one of that id."""
        if id_ not in self._records:
            return False
        self._write({key: value for key, value in self._records.items() if key != id_})
        return True

    def authenticate(self, token: str) -> Caller:
        """Returns whose token this is. Raises Unauthenticated. Takes the same time for all."""
        shown = _TOKEN.fullmatch(token)
        record = self._records.get(shown[1]) if shown else None
        expected = record.digest if record else _NO_DIGEST
        matches = hmac.compare_digest(_digest(shown[2] if shown else ""), expected)
        if record is None or not matches:
            raise Unauthenticated("this token is not known here")
        return Caller(record.name, frozenset(record.scopes), record.log)

    def _free_id(self) -> str:
        while True:
            id_ = self._randomness(4).hex()
            if id_ not in self._records:
                return id_

    def _write(self, records: Mapping[str, TokenRecord]) -> None:
        write_file(self._disk, self._path, _render(list(records.values())), 0o600)
        self._records = dict(records)


def check_tokens(path: Path) -> str | None:
    """Returns what is wrong with a token file, or None where it is as it was written."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return f"is larger than {MAX_FILE_BYTES:,} bytes"
        if path.stat().st_mode & 0o077:
            return "can be read or written by others: its mode must be 0600"
        parse(path, path.read_bytes())
    except Corrupt as error:
        return f"expected {error.expected}, found {error.found}"
    except PermissionError:
        return None  # who verifies need not be who serves
    except OSError as error:
        return str(error)
    return None


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


_NO_DIGEST = "0" * 64


def _render(records: Sequence[TokenRecord]) -> bytes:
    """One record a line, then the SHA-256 of all lines above: every byte counts."""
    lines = [json.dumps({"format": FORMAT})]
    for record in records:
        fields = {
            "id": record.id,
            "name": record.name,
            "scopes": [str(scope) for scope in record.scopes],
            "sha256": record.digest,
            "created": record.created,
        } | ({"log": record.log} if record.log else {})
        lines.append(json.dumps(fields))
    body = "[\n" + ",\n".join(lines)
    return f'{body},\n{{"checksum": "{sha256(body.encode()).hexdigest()}"}}\n]\n'.encode()


def parse(path: Path, data: bytes) -> list[TokenRecord]:
    """Reads the bytes of a token file. Raises Corrupt."""
    try:
        first, *items, _ = json.loads(data)
        if first != {"format": FORMAT} or len(items) > MAX_TOKENS:
            raise ValueError("another format")
        records = [
            TokenRecord(
                item["id"],
                item["name"],
                tuple(Scope(scope) for scope in item["scopes"]),
                item["sha256"],
                item["created"],
                item.get("log", ""),
            )
            for item in items
        ]
        for record in records:
            _check(record)
        whole = _render(records) == data
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Corrupt(str(path), 0, "a token file", f"{type(error).__name__}: {error}") from error
    if not whole:
        raise Corrupt(str(path), 0, "the bytes that the checksum names", "others")
    return records


def _check(record: TokenRecord) -> None:
    """Raises ValueError or TypeError for a record that `create` would not make."""
    if not (_ID.fullmatch(record.id) and _DIGEST.fullmatch(record.digest)):
        raise ValueError("an id or a digest is malformed")
    if not _NAME.fullmatch(record.name) or not record.scopes:
        raise ValueError("a name or the scopes are malformed")
    if not (isinstance(record.created, str) and isinstance(record.log, str)):
        raise TypeError("a time or a log is no text")
