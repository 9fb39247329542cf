"""The shards of a node: claimed where they are replicated, opened, or read only."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from muniment.clock import Clock
from muniment.data_directory import DataDirectory
from muniment.errors import Fenced
from muniment.log import Shard
from muniment.log.batch import DURABILITY_LOCAL, DURABILITY_REPLICATED
from muniment.log.disk import Disk
from muniment.log.note import Signer
from muniment.log.replica import Replica
from muniment.log.tail import SegmentLimits
from muniment.settings import Role, Settings
from muniment.store.marks import Why, read_mark
from muniment.store.read_only import ReadOnlyShard
from muniment.store.retention.acts import OpenShard
from muniment.storing import Stores

AnyShard = Shard | ReadOnlyShard
Shards = dict[str, dict[str, AnyShard]]
Keyed = Mapping[str, tuple[Path, Signer]]
"""Folder and key of each shard of a log that this node may write, by name."""

Replicas = dict[tuple[str, str], Replica]

_logger = logging.getLogger(__name__)


def open_shards(
    settings: Settings, directory: DataDirectory, stores: Stores, clock: Clock
) -> Shards:
    """Opens every shard of the node, by log and name.

    Raises SettingsError, Corrupt; StoreFailing where a shard cannot be claimed.
    """
    opened: Shards = {}
    replicas: Replicas = {}
    try:
        keyed = _keyed(settings, directory, stores, replicas)
        disk = stores.shelve({log: list(shards) for log, shards in keyed.items()})
        written: dict[str, dict[str, OpenShard]] = {}
        for log, shards in keyed.items():
            opened[log], written[log] = {}, {}
            for name, (path, signer) in shards.items():
                replica = replicas.get((log, name))
                shard = _open(log, path, signer, settings, disk, clock, replica)
                replicas.pop((log, name), None)  # from here on the shard closes it
                shard.on_seal.append(stores.sealed)
                if stores.replication is not None and (log, name) in stores.replication.uncovered:
                    shard.seal()  # the archive is to have soon what the replica never will
                opened[log][name], written[log][name] = shard, OpenShard(shard, path, signer)
            for name, path in directory.read_only(log, but=_mirrors(settings)).items():
                opened[log][name] = _read_only(log, path, settings, disk)
        stores.keep(written, disk)
    except BaseException:
        for replica in replicas.values():
            replica.close(0)
        close_shards(opened)
        raise
    return opened


def _mirrors(settings: Settings) -> frozenset[Why]:
    """What the mirrors of this node open themselves, where it has any."""
    mirrors = settings.fleet is not None and Role.QUERY in settings.roles
    return frozenset({Why.MIRRORED}) if mirrors else frozenset()


def _keyed(
    settings: Settings, directory: DataDirectory, stores: Stores, replicas: Replicas
) -> Mapping[str, Keyed]:
    """What this node writes, by log: nothing where it does not have the role to."""
    if Role.INGEST not in settings.roles:
        return {log: {} for log in settings.logs}
    return {log: _claimed(log, settings, directory, stores, replicas) for log in settings.logs}


def _read_only(log: str, path: Path, settings: Settings, disk: Disk) -> ReadOnlyShard:
    """One that was fenced was replicated, and nothing is in its files that the store had not."""
    mark = read_mark(disk, settings.data, log, path.name)
    fenced = mark is not None and mark.why is Why.FENCED
    return ReadOnlyShard(
        log,
        path,
        disk,
        detail=mark.detail if mark is not None else "",
        durability=DURABILITY_REPLICATED if fenced else DURABILITY_LOCAL,
    )


def _claimed(
    log: str, settings: Settings, directory: DataDirectory, stores: Stores, replicas: Replicas
) -> Keyed:
    """The shards of a log that this node may write, each with a replica where it has to have one.

    One that another node has taken over meanwhile is set aside, to be read only; where none is
    left, there is a new one.
    """
    while True:
        shards = directory.shards(log, settings.origin)
        if stores.replication is None:
            return shards
        for name, (path, signer) in shards.items():
            if (log, name) in replicas:
                continue
            try:
                replicas[log, name] = stores.replication.open(log, path, signer)
            except Fenced as error:
                _logger.error("%s/%s is only read here: %s", log, name, error.detail)
                directory.set_aside(log, name, error.detail)
                break
        else:
            return shards


def _open(
    log: str,
    path: Path,
    signer: Signer,
    settings: Settings,
    disk: Disk,
    clock: Clock,
    replica: Replica | None,
) -> Shard:
    return Shard.open(
        path,
        signer,
        log=log,
        disk=disk,
        clock=clock,
        limits=SegmentLimits(
            size=int(settings.segment_size), age=settings.segment_age.total_seconds()
        ),
        queue_bytes=int(settings.queue),
        replica=replica,
    )


def close_shards(shards: Mapping[str, Mapping[str, AnyShard]]) -> None:
    """Closes shards: what waits is committed and published. One that fails does not keep others.

    All at once: each may wait for a store that does not answer.
    """
    every = [shard for of_log in shards.values() for shard in of_log.values()]
    if every:
        with ThreadPoolExecutor(len(every), "close") as pool:
            list(pool.map(_close, every))


def _close(shard: AnyShard) -> None:
    try:
        shard.close()
    except Exception:
        _logger.exception("%s/%s could not be closed well", shard.log, shard.name)
