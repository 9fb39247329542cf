"""Mirrors: finds the shards that other nodes serve, and keeps a copy of each here.

A shard that is seen for the first time gets a mark below DATA/read-only, then its folder with the
key that its source states: that key is never changed. One thread looks who serves what, one holds
the checkpoints that others show against what is here, and each shard is pulled by a thread of its
own, so that a node that hangs holds up nothing but itself. A shard whose node is gone is pulled
from any other node that has it, and from the archive where none does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Lock, Thread

from muniment.clock import Clock
from muniment.data_names import LOGS
from muniment.errors import Corrupt, InputError, MunimentError
from muniment.fleet.calls import Calls, PeerFailing
from muniment.fleet.member import Member, ShardState
from muniment.fleet.mirror.adopt import Found, Nursery
from muniment.fleet.mirror.archive import archived_minimum, archived_shards, archived_verifier
from muniment.fleet.mirror.holders import Holders
from muniment.fleet.mirror.pull import WAIT_SECONDS, Puller
from muniment.fleet.mirror.rest import LONGEST_REFUSAL, SHARD_SECONDS, Resting
from muniment.fleet.mirror.shard import MirroredShard
from muniment.fleet.mirror.source import Peer, Source
from muniment.fleet.mirror.status import MirrorState, MirrorStatus
from muniment.fleet.mirror.witness import Witness
from muniment.log.base import Base
from muniment.log.disk import Disk
from muniment.log.note import Verifier
from muniment.log.replay import Contradiction
from muniment.log.shard import NAME
from muniment.store.port import Store

Place = tuple[str, str]
"""A log and the name of a shard of it."""

_logger = logging.getLogger(__name__)


class Mirrors:
    """Follows all shards of some logs that other nodes have. Call `open`, `start`, and `stop`.

    `members` tells who there is and what they have; it must not block. `writes` says whether a
    shard is this node's by another way, and never mirrored. `added` is told of each shard that is
    new here, on a thread of this class: it must be quick. With an `archive`, what no node serves
    comes from there. A log that, as a member says, may not leave a `jurisdiction` is mirrored in
    that one only.
    """

    def __init__(
        self,
        data: Path,
        logs: Sequence[str],
        members: Callable[[], Sequence[Member]],
        calls: Calls,
        *,
        node: str,
        jurisdiction: str = "",
        disk: Disk,
        clock: Clock,
        writes: Callable[[str, str], bool],
        added: Callable[[MirroredShard], None],
        archive: Store | None = None,
        archive_interval: float = 60.0,
        look_every: float = 1.0,
        max_shards: int = 4_096,
        wait: float = WAIT_SECONDS,
        random: Random | None = None,
    ) -> None:
        self._data, self._logs, self._members, self._calls = data, logs, members, calls
        self._node, self._jurisdiction = node, jurisdiction
        self._disk, self._clock, self._random = disk, clock, random or Random()  # noqa: S311 - jitter, no secret
        self._writes, self._added = writes, added
        self._archive, self._archive_interval = archive, archive_interval
        self._look_every, self._max_shards, self._wait = look_every, max_shards, wait
        self._holders = Holders(
            members, calls, clock, node=node, archive=archive, interval=archive_interval
        )
        self._pullers: dict[Place, Puller] = {}
        self._refused: dict[Place, tuple[MirrorState, str]] = {}
        self._unfit = Resting(clock, self._random, LONGEST_REFUSAL)
        self._silent = Resting(clock, self._random)
        self._looked_at_archive = float("-inf")
        self._lock = Lock()
        self._nursery = Nursery(data, disk, clock)
        self._witness = Witness(self._all, self._sources, self._stopped, self._random)
        self._ending = Event()
        self._thread = Thread(target=self._run, name="mirrors", daemon=True)

    def open(self) -> list[MirroredShard]:
        """Opens the mirrors that are here already; `added` is not told of them.

        One whose files do not hold stays closed, and is told by `status`.
        """
        opened = []
        for log in self._logs:
            folder = self._data / LOGS / log
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if not NAME.fullmatch(path.name) or self._writes(log, path.name):
                    continue
                shard = self._open(log, path)
                if shard is not None:
                    opened.append(shard)
        return opened

    def _open(self, log: str, path: Path) -> MirroredShard | None:
        try:
            shard = self._nursery.open(log, path)
        except (MunimentError, OSError) as error:
            _logger.error("the mirror %s/%s cannot be opened: %s", log, path.name, error)
            self._refused[log, path.name] = (MirrorState.DAMAGED, str(error))
            return None
        if shard is not None:
            self._keep(shard)
        return shard

    def start(self) -> None:
        """Begins to look for shards and to pull."""
        for puller in self._all():
            puller.start()
        self._thread.start()
        self._witness.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Pulls no more and closes the files. A thread may still wait for an answer: it ends
        without a look at it."""
        self._ending.set()
        for puller in self._all():
            puller.end()
        self._witness.end(seconds)
        if self._thread.is_alive():
            self._thread.join(seconds)
        for puller in self._all():
            try:
                puller.shard.close()
            except (MunimentError, OSError) as error:
                name = f"{puller.shard.log}/{puller.shard.name}"
                _logger.error("the mirror %s could not be closed well: %s", name, error)

    def status(self) -> list[MirrorStatus]:
        """Returns what is known of every mirror, and of each shard that cannot be mirrored."""
        found = [puller.status() for puller in self._all()]
        with self._lock:
            refused = list(self._refused.items())
        found += [
            MirrorStatus(log, name, state, problem=problem)
            for (log, name), (state, problem) in refused
        ]
        return sorted(found, key=lambda one: (one.log, one.shard))

    def look(self) -> None:
        """Takes in what is new; for the thread, and for tests."""
        for member in sorted(self._members(), key=_writers_first):
            for log, name, state in self._wanted(member):
                residency = member.residency.get(log, "")
                if residency and residency != self._jurisdiction:
                    here = self._jurisdiction or "no jurisdiction"
                    problem = f"{log} may not leave {residency}; this node is in {here}"
                    self._refuse((log, name), MirrorState.REFUSED, problem)
                else:
                    self._look_at(log, name, member, state)
        now = self._clock.monotonic()
        if self._archive is not None and now - self._looked_at_archive > self._archive_interval:
            self._looked_at_archive = now
            self._look_at_archive(self._archive)

    def _wanted(self, member: Member) -> Iterator[tuple[str, str, ShardState]]:
        for log in self._logs if member.node != self._node else ():
            for name, state in member.shards.get(log, {}).items():
                if NAME.fullmatch(name) and not self._writes(log, name):
                    yield log, name, state

    def _look_at(self, log: str, name: str, member: Member, state: ShardState) -> None:
        """Compares what a member says of a shard, or begins to mirror it.

        Nobody signs what a member says: another key makes it no source of the shard, and no more.
        """
        puller = self._pullers.get((log, name))
        if puller is None:
            self._begin(log, name, member.url, state.verifier, state.minimum)
        elif state.verifier != puller.shard.verifier and not puller.shard.problem:
            mine = f"the key kept here is {puller.shard.verifier}"
            said = f"{member.node} ({member.url}) states the key {state.verifier}, {mine}"
            puller.dispute(member.node, said)

    def _look_at_archive(self, store: Store) -> None:
        for log in self._logs:
            try:
                for name in archived_shards(store, log):
                    if (log, name) in self._pullers or self._writes(log, name):
                        continue
                    minimum = archived_minimum(store, log, name)
                    verifier = archived_verifier(store, log, name)
                    if minimum:
                        problem = f"no node serves it, and {store.url} begins with entry {minimum}"
                        self._refuse((log, name), MirrorState.REFUSED, problem)
                    elif verifier:
                        self._begin(log, name, store.url, verifier, 0)
            except MunimentError as error:
                _logger.warning("the archive cannot be asked for shards: %s", error.detail)

    def _begin(self, log: str, name: str, source: str, verifier: str, minimum: int) -> None:
        """Makes and follows a new mirror, or says why there is none."""
        if self._ending.is_set() or self._is_damaged(log, name):
            return
        if self._unfit.rests(f"{log}/{name} {source}"):
            return
        try:
            if len(self._pullers) >= self._max_shards:
                raise InputError(f"there are {self._max_shards:,} mirrors already")
            base = None
            if minimum and not self._holders.have_all(log, name):
                if self._silent.rests(source) and (log, name) in self._refused:
                    return
                base = partial(self._base, log, name, source)
            shard = self._nursery.make(Found(log, name, source, verifier, base))
        except (MunimentError, OSError) as error:
            problem = error.detail if isinstance(error, MunimentError) else str(error)
            state = MirrorState.DAMAGED if isinstance(error, Corrupt) else MirrorState.REFUSED
            self._refuse((log, name), state, problem)
            return
        with self._lock:
            self._refused.pop((log, name), None)
        puller = self._keep(shard)
        self._added(shard)
        puller.start()

    def _base(self, log: str, name: str, source: str, verifier: Verifier) -> Base:
        """Where a copy begins, of a source. One that fails, or lies of a shard, rests a while."""
        if self._silent.rests(source):
            raise PeerFailing(f"{source} has just failed: it is asked again later")
        try:
            found = Peer(self._calls, source, self._clock).base(log, name, verifier)
        except PeerFailing:
            self._silent.longer(source)  # or each of its shards would hold up all others
            self._unfit.rest(f"{log}/{name} {source}", SHARD_SECONDS)  # its others come first
            raise
        except Corrupt as error:
            self._unfit.longer(f"{log}/{name} {source}")
            raise PeerFailing(error.detail) from error
        self._silent.well(source)
        return found

    def _is_damaged(self, log: str, name: str) -> bool:
        found = self._refused.get((log, name))
        return found is not None and found[0] is MirrorState.DAMAGED

    def _refuse(self, place: Place, state: MirrorState, problem: str) -> None:
        with self._lock:
            known = self._refused.get(place)
            if known is None and len(self._refused) >= self._max_shards:
                return
            self._refused[place] = (state, problem)
        if known is None or known[1] != problem:
            _logger.error("%s/%s is not mirrored: %s", *place, problem)

    def _keep(self, shard: MirroredShard) -> Puller:
        place = (shard.log, shard.name)
        sources = partial(self._sources, shard)
        puller = Puller(shard, sources, self._stopped, self._clock, self._random, wait=self._wait)
        puller.doubted = self._witness.doubt
        with self._lock:
            self._pullers[place] = puller
        return puller

    def _sources(self, shard: MirroredShard) -> list[Source]:
        return self._holders.sources(shard, self._pullers[shard.log, shard.name].distrusts)

    def compare(self) -> None:
        """Holds checkpoints that others show against the mirrors once; for tests."""
        self._witness.compare()

    def _stopped(self, shard: MirroredShard, error: Contradiction) -> None:
        _logger.error("%s/%s is not mirrored any more: %s", shard.log, shard.name, error.detail)
        try:
            self._nursery.stop(shard, error)
        except OSError as failing:
            _logger.error("%s/%s: its mark: %s", shard.log, shard.name, failing)

    def _all(self) -> list[Puller]:
        with self._lock:
            return list(self._pullers.values())

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.look()
            except Exception:  # a fault here must not end the thread
                _logger.exception("the mirrors cannot be looked after")
            self._ending.wait(self._look_every * self._random.uniform(0.75, 1.0))


def _writers_first(member: Member) -> tuple[bool, str]:
    writes = any(state.writable for of_log in member.shards.values() for state in of_log.values())
    return not writes, member.node
