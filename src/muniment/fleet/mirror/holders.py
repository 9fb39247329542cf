"""Who has a shard: the members that show it, and the archive where none of them is good."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from muniment.clock import Clock
from muniment.fleet.calls import Calls
from muniment.fleet.member import Member
from muniment.fleet.mirror.archive import Archived
from muniment.fleet.mirror.shard import MirroredShard
from muniment.fleet.mirror.source import Peer, Source
from muniment.store.port import Store


class Holders:
    """The sources of every shard, as of now. For any thread.

    `members` tells who there is; it must not block. `node` is this one, which is no source. The
    `archive` is listed every `interval` seconds at most for each shard.
    """

    def __init__(
        self,
        members: Callable[[], Sequence[Member]],
        calls: Calls,
        clock: Clock,
        *,
        node: str,
        archive: Store | None,
        interval: float,
    ) -> None:
        self._members, self._calls, self._clock, self._node = members, calls, clock, node
        self._archive, self._interval = archive, interval
        self._archived: dict[tuple[str, str], Archived] = {}

    def sources(self, shard: MirroredShard, distrusts: Callable[[str], bool]) -> list[Source]:
        """Returns its writer first, then who has most.

        The archive comes last, where `distrusts` says of each of them that it is not good.
        """
        found: list[tuple[bool, int, str]] = []
        for member in self._members():
            state = member.shards.get(shard.log, {}).get(shard.name)
            if state is None or not member.serves or member.node == self._node:
                continue
            if state.verifier == shard.verifier:
                found.append((not state.writable, -state.size, member.url))
        sources: list[Source] = [
            Peer(self._calls, url, self._clock, -size) for _, size, url in sorted(found)
        ]
        if self._archive is not None and all(distrusts(source.name) for source in sources):
            sources.append(self._in_archive(self._archive, (shard.log, shard.name)))
        return sources

    def _in_archive(self, archive: Store, place: tuple[str, str]) -> Archived:
        found = self._archived.get(place)
        if found is None:
            found = self._archived[place] = Archived(archive, self._clock, self._interval)
        return found

    def have_all(self, log: str, name: str) -> bool:
        """Whether any member has all entries of a shard, from the first one on."""
        states = [member.shards.get(log, {}).get(name) for member in self._members()]
        return any(state is not None and not state.minimum for state in states)
