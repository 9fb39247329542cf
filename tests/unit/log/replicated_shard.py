"""A shard with a simulated replica, and the files that its replica makes elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from live_shard import DIRECTORY, SIGNER, open_shard
from simulated_disk import SimulatedDisk
from simulated_replica import SimulatedReplica

from muniment.log import Shard
from muniment.log.replay import Replay
from muniment.log.replica import Append


def new_replicated(
    replica: SimulatedReplica | None = None, **arguments: object
) -> tuple[Shard, SimulatedDisk, SimulatedReplica]:
    """A new shard with a replica on a new simulated disk."""
    disk, replica = SimulatedDisk(), replica or SimulatedReplica()
    Shard.create(DIRECTORY, SIGNER, disk)
    return open_shard(disk, replica=replica, **arguments), disk, replica


def replayed(content: Sequence[Append], disk: SimulatedDisk | None = None) -> SimulatedDisk:
    """What a replica's content makes of a disk, or of a new shard with a verifier only."""
    if disk is None:
        disk = SimulatedDisk()
        Shard.create(DIRECTORY, SIGNER, disk)
    replay = Replay.open(DIRECTORY, SIGNER.verifier, disk)
    for append in content:
        replay.apply(append)
    replay.close()
    return disk


def reopened(
    disk: SimulatedDisk, content: Sequence[Append], **arguments: object
) -> tuple[Shard, SimulatedReplica]:
    """The shard as a node starts it: what the replica has is applied, then it is opened."""
    replayed(content, disk)
    replica = SimulatedReplica(content)
    return open_shard(disk, replica=replica, **arguments), replica
