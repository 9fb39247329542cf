"""Where a mirror pulls from: the port, and a node behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

import httpx
import msgspec

from muniment.clock import Clock
from muniment.errors import InputError, MunimentError, NotFound
from muniment.fleet.calls import Calls, PeerFailing
from muniment.log.base import Base
from muniment.log.note import Verifier
from muniment.log.pruned import parse_pruned
from muniment.log.raw import End
from muniment.log.tiles import HASH, WIDTH, completed, tile_path

MAX_PIECE = 8 << 20
"""Bytes of an answer; a node that sends more is not one of ours."""

SLACK_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""Seconds in which an answer must have come in full, once waiting is over."""

MAX_NOTE = 64 << 10

MAX_BASE = 1 << 24
"""Hashes, of 256 expired entries each, that a mirror begins with at most: 512 MiB.

A shard's key signs any number, and who announces a shard states its key.
"""


class Gone(MunimentError):
    """A source begins behind the end of the mirror: what lies between has expired there."""

    slug = "gone"
    title = "The source has no such entries any more"


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes of a segment from where they were asked for.

    `length` is the segment's as the source has it, `ended` says that it will not grow, `size` are
    the entries of the source's shard.
    """

    data: bytes
    length: int
    ended: bool
    size: int


class Source(Protocol):
    """Shows the bytes of a shard's segments. Called by one thread at a time for each shard."""

    @property
    def name(self) -> str:
        """What errors call it: a url without secrets."""

    @property
    def size(self) -> int:
        """Entries that it is known to have; as of a moment ago."""

    def read(self, log: str, shard: str, place: End, wait: float) -> Answer:
        """Returns what follows at a place; waits up to `wait` seconds for something.

        A source that does not reach so far answers nothing. Raises Gone, and what says that it
        fails: PeerFailing, StoreFailing.
        """

    def checkpoint(self, log: str, shard: str) -> str | None:
        """Returns a signed checkpoint that it shows, or None. Raises as `read` does."""

    def tile(self, log: str, shard: str, level: int, number: int, width: int) -> bytes:
        """Returns the first hashes of a tile (C2SP tlog-tiles). Raises as `read` does, NotFound."""


class _Listed(msgspec.Struct):
    size: int
    minimum: int


class Peer:
    """A node of the fleet as a source; see Source."""

    def __init__(self, calls: Calls, url: str, clock: Clock, size: int = 0) -> None:
        self.name, self.size = url, size
        self._calls, self._clock = calls, clock

    def read(self, log: str, shard: str, place: End, wait: float) -> Answer:
        """See Source. What arrived before a connection broke counts."""
        folder = f"{self.name}/api/v1/logs/{log}/shards/{shard}/segments"
        asked = {"from": place.offset, "wait": wait}
        data, headers = bytearray(), httpx.Headers()
        try:
            due = self._clock.monotonic() + wait + ANSWER_SECONDS
            with self._calls.stream(
                f"{folder}/{place.segment}?{urlencode(asked)}", seconds=wait + SLACK_SECONDS
            ) as response:
                headers = response.headers
                for piece in response.iter_raw():
                    data += piece
                    if len(data) > MAX_PIECE:
                        raise PeerFailing(f"{self.name} answers with more than was asked for")
                    if self._clock.monotonic() > due:
                        raise PeerFailing(f"{self.name}: its answer does not end")
        except (NotFound, PeerFailing):
            if len(data) > MAX_PIECE:
                raise
            if not data:
                return self._why(folder, place)
        length, ended, size = _stated(headers, self.name)
        return Answer(bytes(data), length, ended, size)

    def _why(self, folder: str, place: End) -> Answer:
        """Says what a node has that did not show what it was asked for. Raises.

        One that is behind this mirror is well.
        """
        try:
            listed = msgspec.json.decode(self._calls.get(folder), type=_Listed)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise PeerFailing(f"{folder} answers with something else") from error
        if place.segment < listed.minimum:
            raise Gone(
                f"{self.name} begins with entry {listed.minimum:,}: entries {place.segment:,} to "
                f"{listed.minimum - 1:,} have expired there"
            )
        if place.segment <= listed.size:
            raise PeerFailing(f"{folder}/{place.segment} cannot be had")
        return Answer(b"", 0, False, listed.size)

    def checkpoint(self, log: str, shard: str) -> str | None:
        """See Source."""
        try:
            found = self._calls.get(f"{self.name}/tlog/{log}/{shard}/checkpoint", most=MAX_NOTE)
            return found.decode()
        except NotFound:
            return None
        except UnicodeDecodeError as error:
            raise PeerFailing(f"{self.name}: its checkpoint is no text") from error

    def tile(self, log: str, shard: str, level: int, number: int, width: int) -> bytes:
        """See Source."""
        part = "" if width == WIDTH else f".p/{width}"
        path = f"{self.name}/tlog/{log}/{shard}/tile/{level}/{tile_path(number)}{part}"
        return self._calls.get(path, most=WIDTH * HASH)

    def base(self, log: str, shard: str, verifier: Verifier) -> Base:
        """Returns where its copy of a shard begins, as entries before have expired.

        Raises NotFound where none have, Corrupt, PeerFailing; InputError where they are too many.
        """
        path = f"{self.name}/tlog/{log}/{shard}/pruned"
        note = parse_pruned(self._calls.get(path, most=MAX_NOTE), path, verifier)
        there, hashes = completed(note.minimum, 1), bytearray()
        if there > MAX_BASE:
            raise InputError(f"{self.name}: {note.minimum:,} expired entries are too many to begin")
        for first in range(0, there, WIDTH):
            width = min(WIDTH, there - first)
            tile = self.tile(log, shard, 1, first // WIDTH, width)
            if len(tile) != width * HASH:
                raise PeerFailing(f"{self.name}: {log}/{shard}: a tile of {len(tile):,} bytes")
            hashes += tile
        return Base.of(note, bytes(hashes), f"{self.name}: {log}/{shard}: tiles")


def _stated(headers: Mapping[str, str], name: str) -> tuple[int, bool, int]:
    """Reads what the head of an answer says. Raises PeerFailing where it is not one of ours."""
    found = [headers.get(key, "") for key in ("muniment-segment-length", "muniment-shard-size")]
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in found):
        raise PeerFailing(f"{name} does not answer as a node does")
    return int(found[0]), headers.get("muniment-segment-ended") == "true", int(found[1])
