"""Closing a shard whose node is gone: what only the write-ahead store has goes to the archive.

Nobody writes the shard after that. It is sealed, and whole in the archive, from where mirrors
read it; its node, should it come back, finds itself fenced and goes on with a new shard.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

from muniment.clock import Clock
from muniment.data_names import LOGS
from muniment.errors import MunimentError, NotFound, StoreFailing
from muniment.log.disk import Disk
from muniment.log.history import segment_names
from muniment.log.note import Verifier
from muniment.log.replay import Replay
from muniment.log.replica import Act, Append
from muniment.log.segment import segment_first
from muniment.store.archive import Archive, Destination, Rules
from muniment.store.archive.status import Lag
from muniment.store.takeover import Taken, take_over, taken
from muniment.store.wal import Claim

PAUSE = 0.2
OTHERS_SECONDS = 60.0
"""What the stores besides the primary have for their copy, once the primary has all."""

_logger = logging.getLogger(__name__)


def close_out(
    claim: Claim,
    scratch: Path,
    log: str,
    shard: str,
    verifier: Verifier,
    destinations: Sequence[Destination],
    rules: Rules,
    *,
    disk: Disk,
    clock: Clock,
    stopping: Event,
    patience: float,
) -> Taken:
    """Makes a claimed shard's files in `scratch`, seals them, and has them carried to the archive.

    Returns when the primary store has shown to have all of it. `scratch` is empty before and
    after. Raises as `take_over`; StoreFailing where the store has not taken it within `patience`
    seconds, or `stopping` was set: then it is begun again from the start.
    """
    folder = scratch / LOGS / log / shard
    _empty(scratch)
    disk.make_directory(folder.parent)
    try:
        try:
            found = take_over(claim, destinations[0].store, log, shard, folder, verifier, disk)
        except NotFound:
            if claim.begun:
                raise
            return taken(claim, 0, 0)  # it was claimed, and nothing was ever put into it
        seal(folder, verifier, disk)
        least = _least(claim, folder, disk)
        rules = replace(rules, minimum=lambda _log, _shard: least)
        _carry(
            scratch, log, shard, found.size, destinations, rules, disk, clock, stopping, patience
        )
        _clean_up(claim, log, shard, found.size)
        return found
    finally:
        _empty(scratch)


def _clean_up(claim: Claim, log: str, shard: str, size: int) -> None:
    """Removes the write-ahead objects. What stays costs money, and is no reason to do all again."""
    try:
        claim.clean_up(size)
    except MunimentError as error:
        _logger.warning("%s/%s: write-ahead objects stay: %s", log, shard, error.detail)


def seal(folder: Path, verifier: Verifier, disk: Disk) -> None:
    """Seals the open segment of a shard that nobody writes. Raises Corrupt, StorageFailing."""
    replay = Replay.open(folder, verifier, disk)
    try:
        size = replay.size
        replay.apply(Append(Act.SEAL, size, size, size, replay.root, b""))
    finally:
        replay.close()


def _least(claim: Claim, folder: Path, disk: Disk) -> int:
    """The first entry that the primary store has yet to show.

    What is in no write-ahead object any more was read back there by whoever removed the object. So
    a shard of any size is closed in the time that its end takes. Objects can begin long before what
    lies in `folder`: a segment that did not read back well keeps all behind it.
    """
    firsts = [segment_first(name) for name in segment_names(disk, folder)]
    here = min((first for first in firsts if first is not None), default=0)
    oldest = claim.oldest_segment()
    return here if oldest is None else min(here, oldest)


def _carry(
    scratch: Path,
    log: str,
    shard: str,
    size: int,
    destinations: Sequence[Destination],
    rules: Rules,
    disk: Disk,
    clock: Clock,
    stopping: Event,
    patience: float,
) -> None:
    archive = Archive(scratch, {log: [shard]}, destinations, disk=disk, clock=clock, rules=rules)
    deadline = clock.monotonic() + patience
    archive.start()
    try:
        while archive.covered(log, shard) < size:
            if clock.monotonic() > deadline or stopping.wait(PAUSE):
                trouble = archive.status().stores[0].trouble or "not yet"
                raise StoreFailing(
                    f"{log}/{shard}: the archive does not have all {size:,} entries: {trouble}",
                    reason="busy",
                )
        deadline = clock.monotonic() + OTHERS_SECONDS
        while late := _without(archive):
            if clock.monotonic() > deadline or stopping.wait(PAUSE):
                _logger.warning("%s/%s: its end is not in %s", log, shard, ", ".join(late))
                return
    finally:
        archive.stop()


def _without(archive: Archive) -> list[str]:
    """The other stores that do not have all that was to be carried; a verifier always is."""
    return [store.name for store in archive.status().stores[1:] if not _has_all(store.lags)]


def _has_all(lags: Sequence[Lag]) -> bool:
    return any(lag.objects for lag in lags) and not any(lag.waiting for lag in lags)


def _empty(scratch: Path) -> None:
    if scratch.exists():
        shutil.rmtree(scratch)
