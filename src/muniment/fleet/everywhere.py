"""The logs of the whole fleet, in every region: where each is kept, and how much of it there is.

Made of what members say of themselves: names, sizes, public keys. No entry, and nothing that was
made of one, leaves its jurisdiction for it; who wants to read asks where the log is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from muniment.fleet.member import Member, State
from muniment.settings import Role

MAX_PLACES = 20


@dataclass(slots=True)
class Kept:
    """One log: its residency, the greatest size of each shard that anybody told of, its nodes."""

    residency: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    nodes: list[Member] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """Entries of all shards."""
        return sum(self.sizes.values())

    @property
    def places(self) -> list[str]:
        """The urls to ask for it: of nodes that search it first, of those that have it else."""
        alive = [one for one in self.nodes if one.serves]
        search = [one.url for one in alive if Role.QUERY in one.roles]
        return (search or [one.url for one in alive])[:MAX_PLACES]


def kept_everywhere(members: Iterable[Member]) -> dict[str, Kept]:
    """Returns the logs by name."""
    found: dict[str, Kept] = {}
    for member in members:
        for log, shards in member.shards.items():
            kept = found.setdefault(log, Kept())
            kept.residency = kept.residency or member.residency.get(log, "")
            if member.state is not State.LEFT:
                kept.nodes.append(member)
            for name, shard in shards.items():
                kept.sizes[name] = max(kept.sizes.get(name, 0), shard.size)
    return found
