"""Writing: one request is one batch, answered once it is durable.

This is the path that every entry takes, so it goes from the protocol to the shard and back with
callbacks alone; `WriteCycle` (write_cycle.py) is the HTTP around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

import orjson
from starlette.types import Scope

from muniment.access import Caller
from muniment.access import Scope as Right
from muniment.api import bodies
from muniment.api.bodies import Media
from muniment.api.context import Context
from muniment.api.gate import call_of
from muniment.api.job import Answer, Settled, problem_answer
from muniment.api.ports import Shard
from muniment.api.receiving import header
from muniment.budget import Hold
from muniment.clock import rfc3339
from muniment.errors import InputError, MunimentError
from muniment.log import Acknowledgement, Batch
from muniment.receive.coding import Coding, decode
from muniment.receive.header import Origin, after_time
from muniment.receive.sockets import peer_text
from muniment.receive.target import choose

MAX_KEY_BYTES = 128
SMALL_HOLD = 64 << 10
"""Memory that is not worth giving back before the answer."""

_AS = re.compile(rb"as=([a-z0-9._-]{1,64})")
_SOURCE = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)
_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY_BYTES}}}", re.ASCII)


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

    @property
    def inline_bytes(self) -> int:
        """Packing costs about as much as the bytes."""
        return 32 << 10

    @classmethod
    def of(cls, context: Context, log: str, scope: Scope, caller: Caller) -> Write:
        """Reads the head of a request. Raises MunimentError."""
        caller.require(Right.WRITE)
        shards = context.shards(caller.choose_log(log, log))
        media = Media.of(header(scope, b"content-type"))
        coding = Coding.of(header(scope, b"content-encoding"))
        source = _source(scope["query_string"]) or media.source
        key = idempotency_key(scope)
        peer = peer_text(scope.get("client"))
        origin = Origin("http", source, peer, caller.name).identified(key or "")
        said = after_time(context.node, origin)
        return cls(context, caller, shards, media, coding, said, origin.batch_id)

    def submit(self, body: bytes, hold: Hold, done: Settled) -> None:
        """Packs the body and queues it; `done` is called on the shard's thread.

        Raises MunimentError where the body or the log does not allow it.
        """
        receipt = b'{"at":"%b",%b' % (rfc3339(self.context.clock.now()).encode(), self.origin)
        raw = decode(self.coding, body, self.context.limits.decompressed, hold.grow)
        chunks = bodies.pack(self.media, raw, receipt, hold)
        del raw
        batch = Batch(chunks, self.id)
        if hold.amount > SMALL_HOLD:
            hold.shrink_to(batch.size)
        choose(self.shards, self.id).offer(batch, done)

    def answer(self, result: Acknowledgement) -> Answer:
        """Returns the answer to a write that is durable."""
        meters = self.context.meters
        meters.entries += 0 if result.replayed else result.count
        meters.replayed += result.replayed
        return Answer(201, *created(result))


class WriteHead:
    """The head of a write, apart from its Content-Length; it can serve many requests.

    What was made of it is kept. Who shows a token is looked up anew for each request, for tokens
    can be revoked; who shows none is the same for the same head.
    """

    def __init__(self, context: Context, log: str, scope: Scope) -> None:
        self.chunked = header(scope, b"transfer-encoding") is not None
        self._context, self._log, self._scope = context, log, scope
        self._call = call_of(scope)
        self._last: Write | None = None

    def job(self) -> Write:
        """Returns what is to be done. Raises MunimentError where the call is not admitted now."""
        if self._last is None or self._call.authorization is not None:
            caller = self._context.guard.admit(self._call)
            if self._last is None or self._last.caller != caller:
                self._last = Write.of(self._context, self._log, self._scope, caller)
        self._context.lag_bound.check(self._log)
        return self._last

    def refused(self, error: MunimentError) -> Answer:
        """Returns the error as problem details."""
        return problem_answer(error)


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
    if len(names) != 1:
        raise InputError("as= stands there twice")
    check_source(names[0])
    return names[0]


def check_source(name: str) -> None:
    """Raises InputError for what is no name of a source."""
    if not _SOURCE.fullmatch(name):
        raise InputError(
            f"as={name[:80]!r} names no source",
            advice="use a-z, 0-9, `.`, `_` and `-`, 64 at most",
        )


def idempotency_key(scope: Scope) -> str | None:
    """Returns the request's Idempotency-Key. Raises InputError where it cannot be used."""
    key = header(scope, b"idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise InputError(
            "the Idempotency-Key cannot be used",
            advice=f"send 1 to {MAX_KEY_BYTES} printable ASCII characters without spaces",
        )
    return key


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
