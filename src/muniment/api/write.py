"""Writing: one request is one batch, answered once it is durable.

This is the path that every entry takes, so it goes from the protocol to the shard and back with
callbacks alone; `WriteCycle` (write_cycle.py) is the HTTP around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from urllib.parse import parse_qs
from zlib import crc32

import orjson
from starlette.types import Scope

from muniment.access import Caller
from muniment.access import Scope as Right
from muniment.api import bodies
from muniment.api.bodies import Coding, Media
from muniment.api.budget import Hold
from muniment.api.context import Context
from muniment.api.gate import call_of
from muniment.api.ports import Shard
from muniment.api.receiving import header
from muniment.clock import rfc3339
from muniment.errors import InputError
from muniment.log import Acknowledgement, Batch
from muniment.log.writer import Done

MAX_KEY_BYTES = 128
SMALL_HOLD = 64 << 10
"""Memory that is not worth giving back before the answer."""

_PATH = re.compile(r"/api/v1/logs/([^/]+)/entries")
_AS = re.compile(rb"as=([a-z0-9._-]{1,64})")
_SOURCE = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)
_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY_BYTES}}}", re.ASCII)
_turn = count()


async def append() -> None:
    """Appends the entries of the body, all or none, and answers once they are durable.

    `text/plain` is one entry a line: the bytes between newlines as they are, an empty line
    included, a carriage return too; the last newline is optional. `application/x-ndjson` is one
    JSON object a line, each checked; blank lines are passed over. `application/json` is one object
    or an array of objects, each an entry with its bytes as they stand in the body.
    `application/octet-stream` is one entry. `Content-Encoding` may be gzip or zstd.

    With an `Idempotency-Key`, a repetition of the same entries gets the first answer and adds
    nothing; the same key for other entries is a conflict (409).
    """
    raise RuntimeError("writes are answered by the protocol; this route only documents them")


def log_of(path: str) -> str | None:
    """Returns the log that a POST to this path writes to; None where it is another path."""
    found = _PATH.fullmatch(path)
    return None if found is None else found[1]


@dataclass(frozen=True, slots=True)
class Write:
    """A write whose head was found good: what to do with the body, and for which shard.

    `origin` is the receipt header after the time.
    """

    context: Context
    caller: Caller
    shards: dict[str, Shard]
    media: Media
    coding: Coding
    origin: bytes
    id: str | None

    @classmethod
    def of(cls, context: Context, log: str, scope: Scope, caller: Caller) -> Write:
        """Reads the head of a request. Raises MunimentError."""
        caller.require(Right.WRITE)
        shards = context.shards(log)
        media = Media.of(header(scope, b"content-type"))
        coding = Coding.of(header(scope, b"content-encoding"))
        source = _source(scope["query_string"]) or media.source
        key = _key(scope)
        origin = _origin(context.node, scope.get("client"), caller, source, key)
        id_ = key and f"{caller.name} {key}"
        return cls(context, caller, shards, media, coding, origin, id_)

    def submit(self, body: bytes, hold: Hold, done: Done) -> None:
        """Packs the body and queues it; `done` is called on the shard's thread.

        Raises MunimentError where the body or the log does not allow it.
        """
        receipt = b'{"at":"%b",%b' % (rfc3339(self.context.clock.now()).encode(), self.origin)
        raw = bodies.decode(self.coding, body, self.context.limits.decompressed, hold)
        chunks = bodies.pack(self.media, raw, receipt, hold)
        del raw
        batch = Batch(chunks, self.id)
        if hold.amount > SMALL_HOLD:
            hold.shrink_to(batch.size)
        _choose(self.shards, self.id).offer(batch, done)


class Head:
    """The head of a write, apart from its Content-Length; it can serve many requests.

    What was made of it is kept. Who shows a token is looked up anew for each request, for tokens
    can be revoked; who shows none is the same for the same head.
    """

    def __init__(self, context: Context, log: str, scope: Scope) -> None:
        self.chunked = header(scope, b"transfer-encoding") is not None
        self._context, self._log, self._scope = context, log, scope
        self._call = call_of(scope)
        self._last: Write | None = None

    def write(self) -> Write:
        """Returns what is to be done. Raises MunimentError where the call is not admitted now."""
        if self._last is None or self._call.authorization is not None:
            caller = self._context.guard.admit(self._call)
            if self._last is None or self._last.caller != caller:
                self._last = Write.of(self._context, self._log, self._scope, caller)
        self._context.lag_bound.check(self._log)
        return self._last


def _source(query: bytes) -> str:
    """Returns the source that `?as=` names; empty where it is not there."""
    if not query:
        return ""
    plain = _AS.fullmatch(query)
    if plain:
        return plain[1].decode("ascii")
    try:
        given = parse_qs(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=8
        )
    except ValueError:
        raise InputError("the query string is malformed", advice="send ?as=SOURCE") from None
    names = given.pop("as", [])
    if given:
        raise InputError(f"there is no parameter {next(iter(given))[:80]!r} here")
    if len(names) != 1 or not _SOURCE.fullmatch(names[0]):
        raise InputError(
            f"as={names[0][:80]!r} names no source",
            advice="use a-z, 0-9, `.`, `_` and `-`, 64 at most",
        )
    return names[0]


def _key(scope: Scope) -> str | None:
    key = header(scope, b"idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise InputError(
            "the Idempotency-Key cannot be used",
            advice=f"send 1 to {MAX_KEY_BYTES} printable ASCII characters without spaces",
        )
    return key


def _origin(
    node: str, peer: tuple[str, int] | None, caller: Caller, source: str, key: str | None
) -> bytes:
    """The first line of each entry of a request from where it came on; its time stands before."""
    fields = {"node": node, "via": "http"}
    if peer:
        host, port = peer
        fields["peer"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    fields["from"] = caller.name
    fields["as"] = source
    if key is not None:
        fields["id"] = key
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)[1:]


def _choose(shards: dict[str, Shard], id_: str | None) -> Shard:
    """Returns the shard for a batch: the same one for the same id, else in turn, healthy first."""
    names = list(shards)
    if len(names) == 1:
        return shards[names[0]]
    if id_ is not None:
        return shards[names[crc32(id_.encode()) % len(names)]]
    first = next(_turn)
    for number in range(len(names)):
        shard = shards[names[(first + number) % len(names)]]
        if shard.health.ok:
            return shard
    return shards[names[first % len(names)]]


def created(acknowledgement: Acknowledgement) -> tuple[bytes, bytes]:
    """Returns the header lines and the body of the answer to a write."""
    log, shard, first = acknowledgement.log, acknowledgement.shard, acknowledgement.first
    answer = {
        "log": log,
        "shard": shard,
        "first": first,
        "count": acknowledgement.count,
        "durability": acknowledgement.durability,
        "receipt": acknowledgement.receipt,
    }
    lines = (
        "content-type: application/json\r\n"
        f"location: /api/v1/logs/{log}/shards/{shard}/entries/{first}\r\n"
    )
    if acknowledgement.replayed:
        lines += "idempotency-replayed: true\r\n"
    return lines.encode(), orjson.dumps(answer)
