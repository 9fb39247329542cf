"""What stands in a bucket: its folders of days, the objects that are new, and their bytes."""

from __future__ import annotations

import heapq
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from muniment.balancer.aws import Aws, AwsError
from muniment.errors import MunimentError

MAX_FOLDERS = 2_000
"""Folders above the days: accounts times regions times kinds of logs."""

MAX_FOUND = 10_000
"""Objects of one round; what is beyond is taken in the next."""

PIECE = 1 << 20
"""Bytes that are read, and uncompressed, at a time."""

_DEPTH = 12
_YEAR = re.compile(r"[0-9]{4}/")
_GZIP = b"\x1f\x8b"


class Unreadable(MunimentError):
    """The bytes of an object are not what they are said to be."""


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """An object as a listing tells of it; they are in the order in which they came to be."""

    modified: datetime
    key: str
    etag: str

    @property
    def mark(self) -> str:
        """What it is remembered by: another content under the same key is another one."""
        return sha256(f"{self.key}\n{self.etag}".encode()).hexdigest()[:20]


class Bucket:
    """Reads one bucket."""

    def __init__(self, api: Aws, name: str) -> None:
        self._api, self.name = api, name

    def folders(self, prefix: str) -> list[str]:
        """Returns the folders below a prefix that hold folders of years.

        Where there is none, that is the prefix itself: its objects are not ordered by days.
        Raises AwsError.
        """
        found: set[str] = set()
        waiting = [(prefix if not prefix or prefix.endswith("/") else f"{prefix}/", 0)]
        while waiting:
            folder, depth = waiting.pop()
            below = list(self._below(folder))
            if any(_YEAR.fullmatch(name) for name in below):
                found.add(folder)
            elif depth < _DEPTH:
                waiting += [(folder + name, depth + 1) for name in below]
            if len(found) + len(waiting) > MAX_FOLDERS:
                raise AwsError(f"s3://{self.name}/{prefix} has over {MAX_FOLDERS:,} folders")
        return sorted(found) or [prefix]

    def _below(self, folder: str) -> Iterator[str]:
        listed = self._api.items(
            *("s3", "list_objects_v2", "CommonPrefixes"),
            Bucket=self.name,
            Prefix=folder,
            Delimiter="/",
        )
        for one in listed:
            yield str(one["Prefix"])[len(folder) :]

    def since(
        self, folders: list[str], begin: date, end: date, modified: datetime, done: set[str]
    ) -> list[Found]:
        """Returns objects that came to be at `modified` or later and are not done, oldest first.

        Days from `begin` to `end` are looked through. Raises AwsError.
        """
        new = (
            one
            for folder in folders
            for one in self._days(folder, begin, end)
            if one.modified >= modified and one.mark not in done
        )
        return heapq.nsmallest(MAX_FOUND, new)

    def _days(self, folder: str, begin: date, end: date) -> Iterator[Found]:
        if not folder.endswith("/") or not self._has_years(folder):
            yield from self._all(folder)
            return
        day = begin
        while day <= end:
            yield from self._all(f"{folder}{day:%Y/%m/%d}/")
            day += timedelta(days=1)

    def _has_years(self, folder: str) -> bool:
        return any(_YEAR.fullmatch(name) for name in self._below(folder))

    def _all(self, prefix: str) -> Iterator[Found]:
        listed = self._api.items(
            "s3", "list_objects_v2", "Contents", Bucket=self.name, Prefix=prefix
        )
        for one in listed:
            if not str(one["Key"]).endswith("/"):
                modified = one["LastModified"].astimezone(UTC)
                yield Found(modified, str(one["Key"]), str(one["ETag"]).strip('"'))

    def open(self, key: str, etag: str = "") -> tuple[Iterator[bytes], dict[str, str]]:
        """Returns the uncompressed pieces of an object, and its metadata.

        With an `etag` it is that content or an error. Raises AwsError; the pieces raise AwsError
        and Unreadable.
        """
        match = {"IfMatch": etag} if etag else {}
        answer = self._api.call("s3", "get_object", Bucket=self.name, Key=key, **match)
        metadata = {str(k).lower(): str(v) for k, v in (answer.get("Metadata") or {}).items()}
        return uncompressed(_pieces(answer["Body"], key)), metadata

    def content(self, key: str, most: int, etag: str = "") -> tuple[bytes, dict[str, str]]:
        """Returns all uncompressed bytes of an object. Raises Unreadable where there are more."""
        pieces, metadata = self.open(key, etag)
        whole = bytearray()
        for piece in pieces:
            whole += piece
            if len(whole) > most:
                raise Unreadable(f"s3://{self.name}/{key} has over {most:,} bytes, uncompressed")
        return bytes(whole), metadata

    def hash(self, key: str) -> str:
        """Returns the SHA-256 (hex) of an object's uncompressed bytes."""
        pieces, _ = self.open(key)
        digest = sha256()
        for piece in pieces:
            digest.update(piece)
        return digest.hexdigest()


def _pieces(body: Any, key: str) -> Iterator[bytes]:
    try:
        while piece := body.read(PIECE):
            yield piece
    except Exception as error:
        raise AwsError(f"s3 get_object of {key}: {error}"[:500]) from error
    finally:
        body.close()


def uncompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yields pieces of PIECE bytes at most, out of gzip (of several members too) or as they are.

    Raises Unreadable for gzip that is broken or ends early.
    """
    first = next(pieces, b"")
    while len(first) < len(_GZIP) and (more := next(pieces, b"")):
        first += more
    if not first.startswith(_GZIP):
        if first:
            yield first
        yield from pieces
        return
    yield from _unzipped(first, pieces)


def _unzipped(data: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    begun = True
    while data or (data := next(pieces, b"")):
        if not begun:
            data = data.lstrip(b"\0")  # padding after a member
            if not data:
                continue
            member, begun = zlib.decompressobj(wbits=31), True
        try:
            made = member.decompress(data, PIECE)
        except zlib.error as error:
            raise Unreadable(f"the gzip is broken: {error}") from None
        if made:
            yield made
        begun = not member.eof
        data = member.unused_data if member.eof else member.unconsumed_tail
    while begun and (made := member.decompress(b"", PIECE)):
        yield made
    if begun and not member.eof:
        raise Unreadable("the gzip ends early")
