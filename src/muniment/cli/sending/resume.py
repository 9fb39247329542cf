"""Where to go on with a file: is it the one that was sent, and is the log still that log?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from muniment.cli.sending.journal import Sent
from muniment.cli.sending.lines import Piece
from muniment.cli.sending.source import Identity, Source
from muniment.errors import EvidenceError

SAMPLE_BYTES = 4096
"""How much is hashed at the beginning, and before the offset, to recognise a file."""


class LogWentBack(EvidenceError):
    """The log acknowledged more entries than it holds now."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin. `flight` is the batch to send first, as it was sent before the break."""

    sent: Sent
    flight: Piece | None = None
    remarks: tuple[str, ...] = ()


def fresh(identity: Identity, generation: str = "") -> Sent:
    """Returns the record of a file of which nothing was sent."""
    return Sent(identity.device, identity.inode, identity.path, generation=generation)


def find_start(
    source: Source,
    identity: Identity,
    known: Sent | None,
    shards: Mapping[str, int] | None,
    token: Callable[[], str],
) -> Start:
    """Returns where to go on with a file.

    `shards` are the sizes of the log's shards now, None where the caller may not see them.
    `token` gives a text that was never used: the generation of what is sent anew. Raises
    LogWentBack.
    """
    if known is None:
        return Start(fresh(identity))
    if shards is not None and known.shard and known.shard not in shards:
        remark = f"{source.name}: the log is not the one that it was sent to before; sending it all"
        return Start(fresh(identity, token()), None, (remark,))
    if shards is not None and known.shard and shards[known.shard] < known.next:
        raise LogWentBack(
            f"shard {known.shard} acknowledged {known.next:,} entries and now holds "
            f"{shards[known.shard]:,}: entries were lost, or the log was put back to an older state"
        )
    if not _is_same(source, known):
        return Start(fresh(identity, token()), None, tuple(_replaced(source, known)))
    return _go_on(source, known)


def sample(body: bytes, *, end: bool = False) -> tuple[int, str]:
    """Returns the length and SHA-256 of the first (or last) bytes, SAMPLE_BYTES at most."""
    part = body[-SAMPLE_BYTES:] if end else body[:SAMPLE_BYTES]
    return len(part), sha256(part).hexdigest()


def _is_same(source: Source, known: Sent) -> bool:
    head, tail = known.head, known.tail
    return (head[0] == 0 or source.digest(0, head[0]) == head[1]) and (
        tail[0] == 0 or source.digest(known.offset - tail[0], known.offset) == tail[1]
    )


def _replaced(source: Source, known: Sent) -> list[str]:
    remarks = [f"{source.name}: not the content that was sent before; sending it all"]
    flight = known.flight
    if flight is not None:
        remarks.append(
            f"{source.name}: bytes {flight.offset} to {flight.end} of the former content were in "
            "flight at a break; they are gone, and the log may lack them"
        )
    return remarks


def _go_on(source: Source, known: Sent) -> Start:
    flight = known.flight
    if flight is None:
        return Start(known)
    body = source.exactly(flight.offset, flight.end)
    if len(body) == flight.end - flight.offset and sha256(body).hexdigest() == flight.digest:
        return Start(known, Piece(flight.offset, known.lines + 1, body))
    remark = (
        f"{source.name}: bytes {flight.offset} to {flight.end} were changed since they were sent; "
        "the log may hold both forms"
    )
    return Start(known, None, (remark,))
