"""Writing: one request is one batch, answered once it is durable."""

from __future__ import annotations

import asyncio
import logging
import re
from functools import partial
from itertools import count
from urllib.parse import parse_qs
from zlib import crc32

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from muniment.access import Caller
from muniment.access import Scope as Right
from muniment.api import bodies
from muniment.api.bodies import Coding, Media
from muniment.api.budget import Hold
from muniment.api.context import Context, context_of
from muniment.api.ports import Shard
from muniment.api.problems import ClientGone, defect_response, problem_response
from muniment.api.receiving import header, read_body
from muniment.clock import rfc3339
from muniment.errors import InputError, MunimentError
from muniment.kernel import Chunk
from muniment.log import Acknowledgement, Batch
from muniment.receive.durable import durable

INLINE_BYTES = 32 << 10
"""Bodies up to this are packed on the event loop: a hop to a thread would cost more."""

MAX_KEY_BYTES = 128

_PATH = re.compile(r"/api/v1/logs/([^/]+)/entries")
_AS = re.compile(rb"as=([a-z0-9._-]{1,64})")
_SOURCE = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)
_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY_BYTES}}}", re.ASCII)
_turn = count()
_logger = logging.getLogger(__name__)


class WritePath:
    """ASGI middleware that takes writes by itself and leaves all else to the application.

    FastAPI documents the route like any other; what it does for parameters, models and telemetry
    on each request is left out here, for this is the path that every entry takes.
    """

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app, self._context = app, context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a write, or passes the request on."""
        found = _PATH.fullmatch(scope["path"]) if scope["method"] == "POST" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await append_entries(self._context, found[1], scope, receive)
        except MunimentError as error:
            response = problem_response(error)
        except ClientGone:
            return
        except Exception:
            _logger.exception("a defect on the write path")
            response = defect_response()
        await response(scope, receive, send)


async def append(request: Request) -> Response:
    """Appends the entries of the body, all or none, and answers once they are durable.

    `text/plain` is one entry a line: the bytes between newlines as they are, an empty line
    included, a carriage return too; the last newline is optional. `application/x-ndjson` is one
    JSON object a line, each checked; blank lines are passed over. `application/json` is one object
    or an array of objects, each an entry with its bytes as they stand in the body.
    `application/octet-stream` is one entry. `Content-Encoding` may be gzip or zstd.

    With an `Idempotency-Key`, a repetition of the same entries gets the first answer and adds
    nothing; the same key for other entries is a conflict (409).
    """
    log: str = request.path_params["log"]
    return await append_entries(context_of(request), log, request.scope, request.receive)


async def append_entries(context: Context, log: str, scope: Scope, receive: Receive) -> Response:
    """Does what `append` says. Raises MunimentError or ClientGone."""
    caller: Caller = scope["state"]["caller"]
    caller.require(Right.WRITE)
    shards = context.shards(log)
    media = Media.of(header(scope, b"content-type"))
    coding = Coding.of(header(scope, b"content-encoding"))
    source = _source(scope["query_string"]) or media.source
    key = _key(scope)
    receipt = _receipt_header(context, scope, caller, source, key)
    id_ = None if key is None else f"{caller.name} {key}"
    with Hold(context.budget) as hold:
        body = await read_body(scope, receive, context.limits.body, hold)
        unpack = partial(_pack, coding, media, body, receipt, context.limits.decompressed, hold)
        if coding is Coding.IDENTITY and len(body) <= INLINE_BYTES:
            chunks = unpack()
        else:
            chunks = await asyncio.get_running_loop().run_in_executor(context.workers, unpack)
        del body, unpack
        batch = Batch(chunks, id_)
        hold.shrink_to(batch.size)
        acknowledgement = await durable(_choose(shards, id_).submit(batch))
    context.meters.entries += 0 if acknowledgement.replayed else acknowledgement.count
    context.meters.replayed += acknowledgement.replayed
    return _created(acknowledgement)


def _pack(
    coding: Coding, media: Media, body: bytes, header: bytes, limit: int, hold: Hold
) -> list[Chunk]:
    return bodies.pack(media, bodies.decode(coding, body, limit, hold), header, hold)


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


def _receipt_header(
    context: Context, scope: Scope, caller: Caller, source: str, key: str | None
) -> bytes:
    """The first line of each entry of this request: when, where and from whom it came."""
    fields = {"at": rfc3339(context.clock.now()), "node": context.node, "via": "http"}
    peer = scope.get("client")
    if peer:
        host, port = peer[0], peer[1]
        fields["peer"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    fields["from"] = caller.name
    fields["as"] = source
    if key is not None:
        fields["id"] = key
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _choose(shards: dict[str, Shard], id_: str | None) -> Shard:
    """Returns the shard for a batch: the same one for the same id, else in turn, healthy first."""
    names = list(shards)
    if id_ is not None:
        return shards[names[crc32(id_.encode()) % len(names)]]
    first = next(_turn)
    for number in range(len(names)):
        shard = shards[names[(first + number) % len(names)]]
        if shard.health.ok:
            return shard
    return shards[names[first % len(names)]]


def _created(acknowledgement: Acknowledgement) -> Response:
    answer = {
        "log": acknowledgement.log,
        "shard": acknowledgement.shard,
        "first": acknowledgement.first,
        "count": acknowledgement.count,
        "durability": acknowledgement.durability,
        "receipt": acknowledgement.receipt,
    }
    place = f"/api/v1/logs/{acknowledgement.log}/shards/{acknowledgement.shard}/entries"
    headers = {"location": f"{place}/{acknowledgement.first}"}
    if acknowledgement.replayed:
        headers["idempotency-replayed"] = "true"
    return Response(orjson.dumps(answer), 201, headers, "application/json")
