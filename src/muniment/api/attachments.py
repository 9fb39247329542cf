"""Attachments: bodies larger than an entry, written and read as streams."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import Annotated, TypeVar

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from muniment.access import Caller
from muniment.access import Scope as Right
from muniment.api import schemas
from muniment.api.context import Context, context_of
from muniment.api.problems import ClientGone
from muniment.api.read import lasting, may_read, only_known_parameters
from muniment.budget import Hold
from muniment.clock import rfc3339
from muniment.errors import Corrupt, InputError, NotFound, Overloaded, TooLarge, UnsupportedMedia
from muniment.log import Acknowledgement, Batch
from muniment.receive.durable import durable
from muniment.receive.groups import pack_records
from muniment.receive.header import Origin
from muniment.receive.sockets import peer_text
from muniment.receive.target import choose
from muniment.store.attachments import (
    PIECE,
    Attachments,
    Draft,
    Kept,
    Opened,
    Said,
    batch_id,
    record_of,
)

AT_A_TIME = 8
"""Attachments that are written, and as many that are read; more are told to come again."""

Digest = Annotated[
    str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the bytes, in lower-case hex")
]
T = TypeVar("T")
_logger = logging.getLogger(__name__)

router = APIRouter(tags=["attachments"], dependencies=[Depends(only_known_parameters)])


class AttachmentAnswer(schemas.Receipt):
    """The answer to an attachment: what it is, and the entry that says so."""

    sha256: str
    size: int = Field(description="bytes")
    index: int = Field(description="the entry that stands for it: `first`, under another name")


@router.put(
    "/api/v1/logs/{log}/attachments",
    status_code=201,
    response_model=AttachmentAnswer,
    responses=schemas.problems(404, 408, 413, 415, 429, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        "parameters": [
            schemas.parameter(
                "Content-Digest", "header", "RFC 9530: `sha-256=:BASE64:`, checked before keeping"
            )
        ],
    },
)
async def put_attachment(
    request: Request,
    log: str,
    name: Annotated[str, Query(description="what it is called; never a path here")] = "",
) -> Response:
    """Keeps the body as an attachment, and answers once it and its entry are durable.

    The body is stored by its SHA-256; the entry (source `muniment`, action `attachment.keep`) has
    its digest, size, media type and name. The same body again, with the same name and media type,
    gets the first answer and adds nothing. Under durability `replicated` the body is in the
    primary store, and was read back from there, before the answer.
    """
    context = context_of(request)
    caller: Caller = request.scope["state"]["caller"]
    caller.require(Right.WRITE)
    shards = context.shards(caller.choose_log(log, log))
    attachments = _attachments(context)
    said = Said.of(name, request.headers.get("content-type"))
    expected = _expected(request.headers.get("content-digest"))
    _check_head(request, attachments.files.max_bytes)
    context.lag_bound.check(log)
    with _place(context, "write"):
        kept = await _take(context, request, attachments, log, expected)
        await _apart(attachments, attachments.confirm, log, kept)
        peer = peer_text(request.scope.get("client"))
        origin = Origin("muniment", "muniment", peer, caller.name).identified(batch_id(kept, said))
        record = orjson.dumps(record_of(kept, said, caller.name))
        at = rfc3339(context.clock.now())
        batch = Batch(pack_records([record], at, context.node, origin), origin.batch_id)
        done = await durable(choose(shards, batch.id).submit(batch))
    context.meters.entries += 0 if done.replayed else 1
    context.meters.replayed += done.replayed
    return _created(done, kept)


@router.get(
    "/api/v1/logs/{log}/attachments/{digest}",
    response_class=Response,
    responses=schemas.answers(schemas.binary("the bytes of the attachment"), 404, 429, 503),
    dependencies=[Depends(may_read)],
)
async def get_attachment(request: Request, log: str, digest: Digest) -> Response:
    """Returns an attachment, from this node or from the primary store.

    It is hashed while it is sent; where it is not what its name says, the connection is closed
    before its last piece, so that the answer is never whole.
    """
    context = context_of(request)
    context.shards(log)
    attachments, wanted = _attachments(context), bytes.fromhex(digest)
    headers = {
        **lasting(context),
        "etag": f'"{digest}"',
        "repr-digest": f"sha-256=:{b64encode(wanted).decode()}:",
        "content-disposition": "attachment",
    }
    if f'"{digest}"' in request.headers.get("if-none-match", ""):
        await _apart(attachments, attachments.open, log, wanted)
        return Response(status_code=304, headers=headers)
    with ExitStack() as stack:
        stack.enter_context(_place(context, "read"))
        opened = await _apart(attachments, attachments.open, log, wanted)
        headers["content-length"] = str(opened.size)
        stack.enter_context(Hold(context.budget)).grow(2 * min(opened.piece, opened.size))
        body = _checked(attachments, opened, wanted, f"{log}/attachments/{digest}")
        return _Sending(body, headers, stack.pop_all())


class _Sending(StreamingResponse):
    """A body on its way; its place is free again when it is there, or nobody takes it."""

    def __init__(
        self, body: AsyncIterator[bytes], headers: dict[str, str], held: ExitStack
    ) -> None:
        super().__init__(body, 200, headers, "application/octet-stream")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


def _attachments(context: Context) -> Attachments:
    if context.attachments is None:
        raise NotFound("this server keeps no attachments")
    return context.attachments


def _check_head(request: Request, most: int) -> None:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMedia(
            "an attachment is kept as it comes, without a content coding",
            advice="send it without Content-Encoding; a file that is compressed stays so",
        )
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise TooLarge(f"an attachment has at most {most:,} bytes", advice="raise max_attachment")


def _expected(field: str | None) -> bytes | None:
    """The SHA-256 that a Content-Digest (RFC 9530) names; other algorithms are passed over."""
    for part in (field or "").split(","):
        key, _, value = part.strip().partition("=")
        if key.lower() == "sha-256":
            try:
                found = b64decode(value.strip().strip(":"), validate=True)
            except ValueError:
                found = b""
            if len(found) != 32:
                raise InputError("Content-Digest is malformed", advice="send sha-256=:BASE64:")
            return found
    return None


@contextmanager
def _place(context: Context, act: str) -> Iterator[None]:
    """One of the places for attachments that are under way. Raises Overloaded."""
    taken = context.attachment_places
    if taken[act] >= AT_A_TIME:
        raise Overloaded(f"{AT_A_TIME} attachments are under way", retry_after=2)
    taken[act] += 1
    try:
        yield
    finally:
        taken[act] -= 1


async def _take(
    context: Context, request: Request, attachments: Attachments, log: str, expected: bytes | None
) -> Kept:
    """Writes the body to a draft as it comes, and keeps it where it is whole and as announced."""
    with Hold(context.budget) as hold:
        hold.grow(2 * PIECE)
        draft = await _apart(attachments, attachments.files.draft, log)
        try:
            await _write(attachments, request, draft)
            if not draft.size:
                raise InputError("the body is empty", advice="send the bytes of the attachment")
            if expected is not None and expected != draft.sha256:
                raise InputError(
                    f"the body has the SHA-256 {draft.sha256.hex()}, not that of Content-Digest",
                    advice="send it again: it changed on its way, or while it was read",
                )
            return await _apart(attachments, draft.keep)
        except ClientDisconnect as error:
            raise ClientGone from error
        finally:
            await _apart(attachments, draft.drop)


async def _write(attachments: Attachments, request: Request, draft: Draft) -> None:
    waiting = bytearray()
    async for piece in request.stream():
        waiting += piece
        if len(waiting) >= PIECE:
            await _apart(attachments, draft.write, bytes(waiting))
            waiting.clear()
    if waiting:
        await _apart(attachments, draft.write, bytes(waiting))


def _created(done: Acknowledgement, kept: Kept) -> Response:
    place = f"/api/v1/logs/{done.log}/attachments/{kept.sha256.hex()}"
    answer = {
        "log": done.log,
        "shard": done.shard,
        "first": done.first,
        "count": done.count,
        "durability": done.durability,
        "receipt": done.receipt,
        "sha256": kept.sha256.hex(),
        "size": kept.size,
        "index": done.first,
    }
    headers = {"location": place, "cache-control": "no-store"}
    if done.replayed:
        headers["idempotency-replayed"] = "true"
    return Response(orjson.dumps(answer), 201, headers, "application/json")


async def _checked(
    attachments: Attachments, opened: Opened, wanted: bytes, place: str
) -> AsyncIterator[bytes]:
    """Yields the pieces one behind the reading: the last comes only where all was right."""
    hashed, held = sha256(), b""
    while piece := await _apart(attachments, _next, opened.pieces):
        hashed.update(piece)
        if held:
            yield held
        held = piece
    if hashed.digest() != wanted:
        _logger.error("the attachment %s is not what its name says", place)
        raise Corrupt(place, 0, f"SHA-256 {wanted.hex()}", hashed.hexdigest())
    yield held


async def _apart(attachments: Attachments, act: Callable[..., T], *given: object) -> T:
    """Does what blocks on a thread for attachments: a slow store keeps no other call waiting."""
    return await asyncio.get_running_loop().run_in_executor(attachments.workers, act, *given)


def _next(pieces: Iterator[bytes]) -> bytes:
    return next(pieces, b"")
