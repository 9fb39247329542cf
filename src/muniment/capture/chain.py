"""The chain of a stream: each parcel names the head before it, so that none can go unnoticed.

    head_0 = SHA-256("muniment capture v1\\n" || stream || "\\n")
    head_n = SHA-256(head_n-1 || uint64be seq || uint64be count || SHA-256(payload))

`payload` is the records of a parcel, each with its length before it. Now and then the agent signs
the heads of all its streams (a C2SP signed note): from then on, what came before can neither be
taken out nor changed, be it on the way or in a log whose keys somebody has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from muniment.errors import InputError

VERSION = "muniment.dev/capture/v1"
"""The first line of a note about heads."""

HEAD_BYTES = 32
_BEGIN = b"muniment capture v1\n"
_LINE = re.compile(r"([!-~]{1,256}) ([1-9][0-9]{0,18}) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """Where a stream's chain stands: the number of its last record (0: none) and the hash."""

    last: int
    hash: bytes


def first_head(stream: str) -> bytes:
    """Returns the head of a stream (with its agent's name) before its first record."""
    return sha256(_BEGIN + stream.encode() + b"\n").digest()


def next_head(head: bytes, seq: int, count: int, payload: bytes) -> bytes:
    """Returns the head after a parcel of `count` records, the first of which has number `seq`."""
    numbers = seq.to_bytes(8, "big") + count.to_bytes(8, "big")
    return sha256(head + numbers + sha256(payload).digest()).digest()


def payload_of(records: Iterable[bytes]) -> bytes:
    """Returns records as the chain hashes them: each after its length as uint32, big-endian."""
    return b"".join([part for r in records for part in (len(r).to_bytes(4, "big"), r)])


def heads_text(agent: str, heads: Mapping[str, Head]) -> str:
    """Returns the text of a note: the version, the agent, and each stream's last number and head.

    Streams without a record are left out.
    """
    lines = [
        f"{stream} {at.last} {at.hash.hex()}" for stream, at in sorted(heads.items()) if at.last
    ]
    return "\n".join([VERSION, agent, *lines, ""])


def read_heads(text: str) -> tuple[str, dict[str, Head]]:
    """Returns the agent and the heads of the text of a note. Raises InputError."""
    version, *rest = text.split("\n")
    if version != VERSION or len(rest) < 2 or rest[-1]:
        raise InputError("these are no heads of an agent's streams")
    heads: dict[str, Head] = {}
    for line in rest[1:-1]:
        found = _LINE.fullmatch(line)
        if found is None or found[1] in heads:
            raise InputError(f"{line[:80]!r} is no head of a stream")
        heads[found[1]] = Head(int(found[2]), bytes.fromhex(found[3]))
    return rest[0], heads
