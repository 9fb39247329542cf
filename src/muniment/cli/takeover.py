"""`muniment takeover`: going on with the shards of a node that is gone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muniment.cli.failure import Failure
from muniment.cli.options import json_option
from muniment.cli.terminal import one_line, quantity

if TYPE_CHECKING:
    from muniment.data_directory import DataDirectory
    from muniment.replication import Replication
    from muniment.settings import Settings
    from muniment.store.port import Store
    from muniment.store.takeover import Taken


@click.command()
@click.argument("log")
@click.argument("shard", required=False)
@click.option("--all", "everything", is_flag=True, help="Take over every shard that others write.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings (default muniment.toml).")
@click.option("--data", type=click.Path(path_type=Path), help="Data directory of this node.")
@json_option("Print one JSON object for each shard.")
def takeover(
    log: str,
    shard: str | None,
    everything: bool,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Go on with LOG's SHARD from the stores alone; it can be left out where there is only one.

    Puts a fence before the old writer, who can write no more from then on, and makes the shard's
    files here. No server may be running on this node's data directory.
    """
    from muniment.settings import load

    settings = load({"data": data}, config=config)
    if settings.wal is None or settings.wal.takeover_secret is None:
        raise Failure(
            "a takeover needs durability = replicated and takeover_secret in [wal]",
            advice="without the secret a shard can be restored and verified, not continued",
        )
    if shard and everything:
        raise click.UsageError("name a SHARD or say --all, not both")
    _run(settings, log, shard, everything, as_json)


def _run(settings: Settings, log: str, shard: str | None, everything: bool, as_json: bool) -> None:
    from muniment.clock import SystemClock
    from muniment.data_directory import DataDirectory
    from muniment.log.disk import PosixDisk
    from muniment.replication import Replication
    from muniment.store.opening import open_store

    disk, clock = PosixDisk(), SystemClock()
    directory = DataDirectory(settings.data, disk, os.urandom)
    directory.claim()
    try:
        assert settings.wal is not None
        replication = Replication(
            settings.wal,
            settings.data,
            settings.node,
            settings.origin,
            disk=disk,
            clock=clock,
            randomness=os.urandom,
        )
        primary = open_store(settings.store[0], settings.store[0].name)
        names = [shard] if shard else _others(directory, replication, log, everything)
        for name in names:
            taken = _take(directory, replication, primary, log, name)
            _say(log, name, taken, as_json)
    finally:
        directory.release()


def _others(
    directory: DataDirectory, replication: Replication, log: str, everything: bool
) -> list[str]:
    """The shards of a log that this node does not write: one, or all where that was asked for.

    Each takeover stops a writer, who may be alive and well.
    """
    names = [name for name in replication.shards(log) if not directory.writes(log, name)]
    if not names:
        click.echo(f"every shard of {log} is this node's already", err=True)
    if len(names) > 1 and not everything:
        raise Failure(
            f"others write {len(names)} shards of {log}: {', '.join(names)}",
            advice="name the one whose node is gone, or say --all",
        )
    return names


def _take(
    directory: DataDirectory, replication: Replication, primary: Store, log: str, shard: str
) -> Taken:
    signer = replication.key(log, shard)
    with directory.adopting(log, shard, signer) as draft:
        return replication.take_over(primary, log, shard, draft, signer)


def _say(log: str, shard: str, taken: Taken, as_json: bool) -> None:
    if as_json:
        found = {"log": log, "shard": shard, "entries": taken.size, "term": taken.term}
        found |= {"replayed": taken.replayed, "from": taken.last_owner, "since": taken.since}
        click.echo(json.dumps(found))
        return
    whose = (
        f" of {one_line(taken.last_owner)}, which wrote it since {taken.since}"
        if taken.last_owner
        else ""
    )
    click.echo(
        f"{log}/{shard}{whose}: {quantity(taken.size, 'entry', 'entries')}, "
        f"{taken.replayed:,} of them from write-ahead objects; term {taken.term}"
    )
