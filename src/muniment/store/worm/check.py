"""A whole check of one store: leftovers, bucket, objects of its own, the real objects."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random

from muniment.clock import Clock, SystemClock, rfc3339
from muniment.errors import StoreFailing
from muniment.settings.store import Connection
from muniment.store.names import CHECKS
from muniment.store.port import Store
from muniment.store.worm.attempts import attempts_on
from muniment.store.worm.bench import LOCK, Bench, Sleep
from muniment.store.worm.bucket_probes import archive_bucket, wal_bucket
from muniment.store.worm.object_probes import Objects
from muniment.store.worm.segments import Expected, Look
from muniment.store.worm.verdict import Probe, Report, Verdict

VERSIONED = ("s3",)
"""Kinds of stores whose locks hold versions, so that they must keep versions."""

Randomness = Callable[[int], bytes]
_logger = logging.getLogger(__name__)


def check_archive(
    store: Store,
    connection: Connection | None,
    expected: Expected,
    *,
    clock: Clock | None = None,
    randomness: Randomness = os.urandom,
    everything: bool = False,
    repair: bool = False,
    length: timedelta = LOCK,
    sleep: Sleep = time.sleep,
    versions: bool | None = None,
) -> Report:
    """Checks a store of sealed segments and attachments, and returns what was found.

    `connection` is what the store was opened with: where there is one, its provider's own calls
    are used for what the ports do not have. `length` is how long objects of the check are locked.
    Nothing but those objects is changed, and with `repair` delete markers and later versions of
    objects of logs. Raises StoreFailing where the store cannot be asked.
    """
    clock = clock or SystemClock()
    if versions is None:
        versions = connection is not None and connection.scheme in VERSIONED
    report = Report(store.name, store.url, rfc3339(clock.now()))
    bench = Bench(store, expected.mode, clock, randomness(4), length=length, sleep=sleep)
    state = store.write_once.bucket()
    for probe in archive_bucket(state, expected.mode, expected.minimums, versions=versions):
        report.add(probe)
    with _cleaning(bench):
        report.add(_leftovers(bench))
        days = state.default_days if state.lockable else 0
        for probe in Objects(bench, attempts_on(store, connection), days).probes():
            report.add(probe)
    random = Random(randomness(8))  # noqa: S311 - which objects are looked at is no secret
    Look(store, expected, clock.now(), random, everything, repair).run(report)
    return report


def check_wal(store: Store, *, clock: Clock | None = None) -> Report:
    """Checks a store of write-ahead objects: plain, and it fences. Raises StoreFailing."""
    report = Report(store.name, store.url, rfc3339((clock or SystemClock()).now()))
    state = store.write_once.bucket()
    for probe in wal_bucket(state, lambda: store.fences(CHECKS)):
        report.add(probe)
    return report


def _leftovers(bench: Bench) -> Probe:
    removed, kept = bench.leftovers()
    said = f"{removed:,} removed, {kept:,} still locked or just made"
    tried = "remove what earlier checks left"
    return Probe("leftovers", tried, "be removed once it is not locked", said, Verdict.KEPT)


@contextmanager
def _cleaning(bench: Bench) -> Iterator[None]:
    """Removes the objects of a check when it ends, however it ends; the next one tries again."""
    try:
        yield
    finally:
        try:
            bench.clean()
        except StoreFailing as error:
            _logger.warning("%s: objects of the check stay: %s", bench.store.name, error.detail)
