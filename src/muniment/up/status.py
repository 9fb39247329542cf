"""What is told of the processes of a fleet."""

from __future__ import annotations

import msgspec

from muniment.fleet.member import Member
from muniment.up.child import Child, ProcessState
from muniment.up.node_settings import EDGE
from muniment.up.plan import Planned


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `state` is the node's own word, or that of its process where it says nothing.

    `written` are the entries of the shards that the node writes, `mirrored` those of others' that
    it has; both are as of its last answer.
    """

    name: str
    role: str
    state: str
    pid: int | None
    restarts: int
    url: str
    version: str = ""
    shards: int = 0
    written: int = 0
    mirrored: int = 0


def status_of(
    child: Child | None,
    node: Planned | None,
    member: Member | None,
    url: str = "",
    ready: bool = False,
) -> ProcessStatus:
    """Returns the status of a node, or of the edge where `node` is None."""
    process = child.state if child is not None else ProcessState.STOPPED
    words = member.state.value if member is not None else "ready" if ready else "not answering"
    shards = [s for of_log in member.shards.values() for s in of_log.values()] if member else []
    return ProcessStatus(
        name=node.name if node is not None else EDGE,
        role=node.role.value if node is not None else EDGE,
        state=words if process is ProcessState.RUNNING else process.value,
        pid=child.pid if child is not None else None,
        restarts=child.restarts if child is not None else 0,
        url=node.url if node is not None else url,
        version=member.version if member is not None else "",
        shards=len(shards),
        written=sum(shard.size for shard in shards if shard.writable),
        mirrored=sum(shard.size for shard in shards if not shard.writable),
    )
