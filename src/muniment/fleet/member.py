"""What a node says of itself to the others: at `GET /api/v1/node`, and as an object in a store.

The record is JSON. A newer release may say more, so unknown fields are passed over; what is there
must be of its kind. It is believed only as far as it goes: a mirror verifies what it pulls with
the shard's key, and TLS says who answers under a url.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from muniment.errors import Corrupt
from muniment.log.shard import NAME
from muniment.settings import Role
from muniment.settings.fleet import is_node_url

MAX_BYTES = 4 << 20
_MAX_URL = 512


class State(StrEnum):
    """`starting`, `ready`, `draining` and `left` are a node's own words; `lost` is said of it."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    LEFT = "left"
    LOST = "lost"


class ShardState(msgspec.Struct, frozen=True):
    """A shard as a node has it: durable entries, its key as a verifier, whether it is written here.

    `minimum` is the first entry that has not expired.
    """

    size: int
    verifier: str
    writable: bool = False
    minimum: int = 0


Shards = Mapping[str, Mapping[str, ShardState]]
"""Shards by log and by name."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One node. `beat` goes up each time it speaks, `incarnation` tells its starts apart.

    `listeners` are the addresses of what it receives by other protocols, by their names; `size` in
    ShardState is as of the beat. `residency` has the jurisdiction of each log that has one.
    """

    node: str
    url: str
    roles: tuple[Role, ...]
    state: State = State.READY
    incarnation: str = ""
    beat: int = 0
    version: str = ""
    region: str = ""
    jurisdiction: str = ""
    shards: Shards = msgspec.field(default_factory=dict)
    residency: Mapping[str, str] = msgspec.field(default_factory=dict)
    listeners: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def serves(self) -> bool:
        """Whether it can be asked for entries."""
        return self.state in (State.READY, State.DRAINING, State.STARTING)

    @property
    def takes(self) -> bool:
        """Whether it can be sent entries."""
        return self.state is State.READY and Role.INGEST in self.roles

    @property
    def address(self) -> str:
        """Host and port of its url."""
        return urlsplit(self.url).netloc

    def encode(self) -> bytes:
        """Returns the record as JSON."""
        return msgspec.json.encode(self)


def decode_member(data: bytes, where: str) -> Member:
    """Reads a record. Raises Corrupt, which names `where` it came from."""
    if len(data) > MAX_BYTES:
        raise Corrupt(where, 0, f"at most {MAX_BYTES:,} bytes", f"{len(data):,}")
    try:
        found = msgspec.json.decode(data, type=Member)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(where, 0, "the record of a node", str(error)[:200]) from error
    wrong = _wrong(found)
    if wrong:
        raise Corrupt(where, 0, "the record of a node", wrong)
    return found


def _wrong(member: Member) -> str:
    if not 1 <= len(member.node) <= 64 or not all("!" <= c <= "~" for c in member.node):
        return "a name that no node can have"
    if len(member.url) > _MAX_URL or not is_node_url(member.url):
        return "a url that is none"
    for log, shards in member.shards.items():
        for name, shard in shards.items():
            if not NAME.fullmatch(log) or not NAME.fullmatch(name):
                return "a shard with a name that none can have"
            if shard.size < 0 or not 0 <= shard.minimum <= shard.size:
                return f"a size of {log}/{name} that none can have"
    return ""
