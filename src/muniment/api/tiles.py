"""The log as C2SP tlog-tiles: checkpoint, hash tiles, entry bundles, each at one path only."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from muniment.api import schemas
from muniment.api.context import context_of
from muniment.api.read import lasting, may_read
from muniment.errors import NotFound
from muniment.log.tiles import parse_tile_path

MAX_LEVEL = 63
_LEVELS = frozenset(str(level) for level in range(MAX_LEVEL + 1))


def one_path(request: Request) -> None:
    """Raises NotFound for a path with escapes: what is cached for ever has one name."""
    if b"%" in request.scope.get("raw_path", b""):
        raise NotFound("the paths of tiles are written without escapes")


router = APIRouter(
    prefix="/tlog/{log}/{shard}",
    tags=["tiles"],
    dependencies=[Depends(may_read), Depends(one_path)],
)


@router.get(
    "/checkpoint",
    response_class=Response,
    responses=schemas.answers(schemas.text("a signed note (C2SP tlog-checkpoint)"), 404),
)
async def get_checkpoint(request: Request, log: str, shard: str) -> Response:
    """Returns the published checkpoint, signed."""
    context = context_of(request)
    note = context.shard(log, shard).checkpoint()
    if note is None:
        raise NotFound("the log has no checkpoint yet: it has no entry")
    reach = "private" if context.tokens_required else "public"
    return Response(
        note,
        headers={"cache-control": f"{reach}, max-age=1"},
        media_type="text/plain; charset=utf-8",
    )


@router.get(
    "/pruned",
    response_class=Response,
    responses=schemas.answers(schemas.text("a signed note: see the files of a shard"), 404),
)
def get_pruned(request: Request, log: str, shard: str) -> Response:
    """Returns the note that says which entries have expired, signed by the shard's key."""
    found = context_of(request).shard(log, shard).reader.pruned
    if found is None:
        raise NotFound("nothing has expired here")
    return Response(
        found.note,
        headers={"cache-control": "no-cache"},
        media_type="text/plain; charset=utf-8",
    )


@router.get(
    "/tile/entries/{tile:path}",
    response_class=Response,
    responses=schemas.answers(schemas.binary("(uint16 big-endian length, entry)*"), 404, 410),
)
def get_entry_bundle(request: Request, log: str, shard: str, tile: str) -> Response:
    """Returns the entries of a level-0 tile; the path is `<N>[.p/<W>]`.

    One of which an entry has expired is gone (410): the minimum index of tlog-tiles is that of the
    shard, rounded up to a whole tile.
    """
    context = context_of(request)
    number, width = _place(tile)
    bundle = context.shard(log, shard).reader.entry_bundle(number, width)
    return Response(bundle, headers=lasting(context), media_type="application/octet-stream")


@router.get(
    "/tile/{level}/{tile:path}",
    response_class=Response,
    responses=schemas.answers(schemas.binary("hashes, 32 bytes each"), 404, 410),
)
def get_tile(request: Request, log: str, shard: str, level: str, tile: str) -> Response:
    """Returns the hashes of a tile; the path is `<L>/<N>[.p/<W>]`."""
    context = context_of(request)
    number, width = _place(tile)
    found = context.shard(log, shard)
    if level not in _LEVELS:
        raise NotFound(f"{level[:20]!r} is not the level of a tile, 0 to {MAX_LEVEL}")
    data = found.reader.tile(int(level), number, width)
    return Response(data, headers=lasting(context), media_type="application/octet-stream")


def _place(tile: str) -> tuple[int, int]:
    try:
        return parse_tile_path(tile)
    except ValueError as error:
        raise NotFound(str(error)) from None
