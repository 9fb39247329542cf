"""Whether what a worker says of a segment can be so.

The tree is bound to the log's key: the frontier at the end is signed, the hashes of the tiles lead
from the frontier at the beginning to it and to every checkpoint, and each checkpoint is signed. So
no worker can make a tree up. That the bytes of the segment are those under the tree is what only
reading them shows: that is what a worker is trusted with.
"""

from __future__ import annotations

from muniment import kernel
from muniment.errors import Corrupt, InputError
from muniment.log.checkpoint import Checkpoint
from muniment.log.segment import TRAILER, segment_first
from muniment.log.tiles import HASH, completed
from muniment.log.verify import SegmentWork
from muniment.log.verify_segment import SegmentCheck

_MAX_SIZE = 1 << 63


def check_claim(claim: SegmentCheck, work: SegmentWork, length: int) -> None:
    """Raises InputError where a claim cannot be so; `length` are the bytes of the segment."""
    if claim.first != segment_first(work.path.name) or not claim.first <= claim.size < _MAX_SIZE:
        raise InputError(f"entries {claim.first} to {claim.size}")
    if claim.length + (TRAILER.size if claim.sealed else 0) != length:
        raise InputError(f"{claim.length:,} bytes were read of {length:,}")
    for size, frontier in ((claim.first, claim.start), (claim.size, claim.frontier)):
        if len(frontier) != HASH * size.bit_count():
            raise InputError(f"{len(frontier)} bytes are no frontier of {size} entries")
    _check_signed(claim, work)
    _check_tiles(claim)
    _check_checkpoints(claim, work)
    _check_roots(claim, work)


def _check_signed(claim: SegmentCheck, work: SegmentWork) -> None:
    if claim.size == claim.first:
        if claim.frontier != claim.start:
            raise InputError("another frontier, without entries")
        return
    stated = Checkpoint(work.verifier.name, claim.size, kernel.root(claim.frontier))
    if not work.verifier.holds(str(stated), claim.signature):
        raise InputError("the tree at its end is not signed by the log's key")


def _check_tiles(claim: SegmentCheck) -> None:
    """Level 1 leads from the first frontier to the last one, and to all levels above."""
    levels = [b"".join(level) for level in claim.tiles]
    hashes = levels[0] if levels else b""
    if len(hashes) != HASH * (completed(claim.size, 1) - completed(claim.first, 1)):
        raise InputError(f"{len(hashes)} bytes of tiles for its entries")
    frontier, above = _above(claim, hashes)
    if frontier != _upper(claim.frontier, claim.size):
        raise InputError("its tiles do not lead to the tree at its end")
    if _without_empty(levels[1:]) != _without_empty(above):
        raise InputError("its tiles do not lead to those above them")


def _check_checkpoints(claim: SegmentCheck, work: SegmentWork) -> None:
    hashes = b"".join(claim.tiles[0]) if claim.tiles else b""
    before = claim.first
    for one in claim.checkpoints:
        if not before <= one.size <= claim.size or not 0 < one.offset < claim.length:
            raise InputError(f"a checkpoint of size {one.size} behind entry {before}")
        if len(one.frontier) != HASH * one.size.bit_count():
            raise InputError(f"a checkpoint of size {one.size} with another frontier")
        try:
            one.check(work.verifier)
        except Corrupt as error:
            raise InputError(f"a checkpoint that does not hold: {error.detail}") from error
        covered = HASH * (completed(one.size, 1) - completed(claim.first, 1))
        if _above(claim, hashes[:covered])[0] != _upper(one.frontier, one.size):
            raise InputError(f"its tiles do not lead to the checkpoint of size {one.size}")
        before = one.size


def _check_roots(claim: SegmentCheck, work: SegmentWork) -> None:
    asked = {size for size in work.sizes if claim.first <= size <= claim.size}
    if set(claim.roots) != asked:
        raise InputError(f"roots at {sorted(claim.roots)}, asked at {sorted(asked)}")
    known = {one.size: one.root for one in claim.checkpoints}
    known |= {claim.first: kernel.root(claim.start), claim.size: kernel.root(claim.frontier)}
    for size, root in claim.roots.items():
        if known.get(size, root) != root:
            raise InputError(f"another root at size {size}")


def _upper(frontier: bytes, size: int) -> bytes:
    """The part of a frontier that is over whole tiles."""
    return frontier[: HASH * completed(size, 1).bit_count()]


def _above(claim: SegmentCheck, hashes: bytes) -> tuple[bytes, list[bytes]]:
    """The frontier over whole tiles after these, and what they complete in the levels above."""
    try:
        return kernel.extend(_upper(claim.start, claim.first), completed(claim.first, 1), hashes)
    except ValueError as error:
        raise InputError(f"its tiles do not fit its beginning: {error}") from error


def _without_empty(levels: list[bytes]) -> list[bytes]:
    while levels and not levels[-1]:
        levels = levels[:-1]
    return levels
