"""Holding the checkpoints that others show against the mirrors here: now and then, and in doubt."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from threading import Event, Thread

from muniment.errors import Corrupt, MunimentError, StorageFailing
from muniment.fleet.mirror.pull import Puller
from muniment.fleet.mirror.shard import MirroredShard
from muniment.fleet.mirror.source import Source
from muniment.log.replay import Contradiction

COMPARE_SECONDS = 30.0
DOUBT_SECONDS = 1.0
WITNESSES = 4
"""How many nodes are asked for a shard's checkpoint each time; others the next time."""

_logger = logging.getLogger(__name__)


class Witness:
    """Compares on a thread of its own, so that a node that hangs holds up no pulling.

    `stopped` is told of a mirror that a checkpoint contradicts.
    """

    def __init__(
        self,
        pullers: Callable[[], Sequence[Puller]],
        sources: Callable[[MirroredShard], Sequence[Source]],
        stopped: Callable[[MirroredShard, Contradiction], None],
        random: Random,
    ) -> None:
        self._pullers, self._sources, self._stopped = pullers, sources, stopped
        self._random = random
        self._sizes: dict[tuple[str, str], int] = {}
        self._ending, self._doubt = Event(), Event()
        self._thread = Thread(target=self._run, name="mirror witness", daemon=True)

    def start(self) -> None:
        """Begins to compare."""
        self._thread.start()

    def doubt(self) -> None:
        """Compares soon: spoilt bytes came, which may be another history."""
        self._doubt.set()

    def end(self, seconds: float) -> None:
        """Compares no more."""
        self._ending.set()
        self._doubt.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._doubt.clear()
            try:
                self.compare()
            except Exception:  # a fault here must not end the thread
                _logger.exception("the mirrors cannot be compared")
            self._doubt.wait(COMPARE_SECONDS * self._random.uniform(0.75, 1.0))
            self._ending.wait(DOUBT_SECONDS)

    def compare(self) -> None:
        """Asks some nodes once for each shard; for the thread, and for tests.

        A node that does not answer is not asked again this time.
        """
        silent: set[str] = set()
        for puller in self._pullers():
            shard, place = puller.shard, (puller.shard.log, puller.shard.name)
            stands_still = self._sizes.get(place) == shard.size
            self._sizes[place] = shard.size
            sources = self._sources(shard)
            for source in self._random.sample(sources, min(WITNESSES, len(sources))):
                if shard.problem or source.name in silent or self._ending.is_set():
                    continue
                try:
                    in_doubt = stands_still or puller.trouble or puller.distrusts(source.name)
                    if _ask(shard, source, bool(in_doubt)):
                        puller.trust_checkpoint(source.name)
                except Contradiction as error:
                    puller.meters.failures["contradiction"] += 1
                    self._stopped(shard, error)
                except Corrupt as error:
                    puller.distrust_checkpoint(source.name, error)
                except StorageFailing as error:
                    puller.meters.failures["disk"] += 1
                    _logger.warning("%s/%s: this node's disk: %s", *place, error.detail)
                except (MunimentError, OSError) as error:
                    silent.add(source.name)
                    _logger.debug("%s: no checkpoint: %s", source.name, error)


def _ask(shard: MirroredShard, source: Source, in_doubt: bool) -> bool:
    """Compares one checkpoint; says whether there is one that holds.

    One that is ahead of a mirror that goes on is left to that.
    """
    note = source.checkpoint(shard.log, shard.name)
    if note is None:
        return False
    shard.compare(note, source.name)
    if in_doubt:
        tile = partial(source.tile, shard.log, shard.name)
        shard.check_continues(note, source.name, tile)
    return True
