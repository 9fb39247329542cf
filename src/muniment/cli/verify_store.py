"""Verification of a store, as `muniment verify --store` asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from muniment.cli.known_keys import known_keys_file, read_known_keys
from muniment.cli.stores import chosen_store, other_stores
from muniment.cli.terminal import progress_bar
from muniment.clock import SystemClock
from muniment.log.note import Verifier
from muniment.log.report import Report

if TYPE_CHECKING:
    from muniment.log.disk import Disk
    from muniment.settings import Settings, StoreSettings
    from muniment.store.port import Store
    from muniment.trust.store_objects import Promise


def verify_chosen(
    name: str,
    config: Path | None,
    trust: Sequence[str],
    known: Sequence[Verifier],
    *,
    log: str,
    jobs: int,
    executor: str | None = None,
    repair: bool,
    quiet: bool,
) -> Report:
    """Returns what was found in the store of that name or URL.

    `executor` says who reads the segments. Raises SettingsError, NotFound where it holds no log,
    StoreFailing where it cannot be read, Unavailable where the executor cannot do it.
    """
    from muniment.cli.verify_executor import open_executor, remarks
    from muniment.settings import load
    from muniment.store.archive.confirmed import Confirmed
    from muniment.store.opening import open_store
    from muniment.trust.stores import StoreQuestion, segment_bytes, take_inventory, verify_store

    settings = load(config=config)
    chosen = chosen_store(settings, name)
    store, others = open_store(chosen, chosen.name), other_stores(settings, chosen)
    try:
        inventory = take_inventory(store, log)
        total, done = segment_bytes(inventory), 0
        with (
            open_executor(executor, jobs, chosen) as workers,
            progress_bar("bytes", quiet=quiet) as advance,
        ):
            question = StoreQuestion(
                trust=trust,
                keys=known or read_known_keys(known_keys_file()),
                log=log,
                jobs=jobs,
                promises=promises(settings, chosen),
                others=others,
                confirmed=Confirmed(settings.data, store.name),
                repair=repair,
                now=SystemClock().now(),
                executor=workers,
            )

            def progress(count: int) -> None:
                nonlocal done
                done += count
                advance(done, total)

            report = verify_store(store, question, inventory, progress)
            report.notes += remarks(workers)
            return report
    finally:
        for one in (store, *others):
            one.close()


def promises(settings: Settings, store: StoreSettings) -> dict[str, Promise]:
    """Returns how the settings say that the objects of each log are locked in a store."""
    from muniment.store.port import Mode
    from muniment.trust.store_objects import Promise

    found = {}
    for log in settings.logs:
        retention = settings.retention.get(log)
        minimum = retention.minimum if retention is not None else None
        found[log] = Promise(Mode(store.lock.value), minimum)
    return found


def disk_behind(directory: Path, config: Path | None) -> Disk | None:
    """Returns a disk that reads the segments of a data directory that are in its store only.

    None where there are none, or where no settings name the store.
    """
    from muniment.data_names import LOGS
    from muniment.query.evicted import tiered_disk
    from muniment.settings import load
    from muniment.trust.directory import shard_directories
    from muniment.trust.evicted import evicted_segments

    if not (directory / LOGS).is_dir():
        return None
    if not evicted_segments(directory, shard_directories(directory)):
        return None
    settings = load(config=config)
    return tiered_disk(directory, settings.store[0]) if settings.store else None


def primary_behind(config: Path | None) -> Store | None:
    """Returns the primary store of the settings, where they name one."""
    from muniment.settings import load
    from muniment.store.opening import open_store

    settings = load(config=config)
    return open_store(settings.store[0], settings.store[0].name) if settings.store else None
