"""The archive with its threads, over directories on disk, while a shard is being written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic

import orjson
import pytest
from carried_shard import LIMITS, LOG, SHARD, SIGNER, Node, grow
from simulator import Fault

from muniment import kernel
from muniment.clock import SystemClock
from muniment.log import Batch, Shard
from muniment.log.disk import PosixDisk
from muniment.log.verify import verify_shard
from muniment.query import QueryProcess
from muniment.query.evicted import tiered_disk
from muniment.settings import StoreSettings
from muniment.store.archive import Archive, Cache, Destination, Rules
from muniment.store.opening import open_store
from muniment.store.tiered import TieredDisk

SECONDS = 60.0


def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds."""
    deadline = monotonic() + SECONDS
    while not holds():
        assert monotonic() < deadline, "it never came"
        Event().wait(0.02)


def carried(archive: Archive, store: int) -> int:
    """How many objects a store has confirmed."""
    return sum(lag.objects for lag in archive.status().stores[store].lags)


def settings(path: Path, name: str) -> StoreSettings:
    path.mkdir(exist_ok=True)
    return StoreSettings.model_validate({"name": name, "url": f"file://{path}/store"})


def archive_of(node: Node, stores: list[StoreSettings], cache: Cache | None = None) -> Archive:
    return Archive(
        node.data,
        {LOG: [SHARD]},
        [Destination(open_store(store, store.name)) for store in stores],
        disk=PosixDisk(),
        clock=SystemClock(),
        rules=Rules(confirmed=lambda log, shard, size: node.covered.append(size)),
        cache=cache,
    )


def test_it_follows_a_shard_that_is_written_and_evicts(node: Node, tmp_path: Path) -> None:
    stores = [settings(tmp_path / "a", "primary"), settings(tmp_path / "b", "backup")]
    archive = archive_of(node, stores, Cache(size=1))
    disk = TieredDisk(PosixDisk(), node.data / "logs", archive, archive.lanes[0].to.store)
    shard = Shard.open(node.directory, SIGNER, log=LOG, limits=LIMITS, disk=disk)
    archive.start()
    try:
        for number in range(8):
            batch = Batch(kernel.pack_records([b"%d" % number] * 90, b"{}\n"))
            shard.submit(batch).result()
            archive.sealed()
        until(lambda: archive.covered(LOG, SHARD) == node.size)
        until(lambda: len(archive.evicted(LOG, SHARD)) > 4)
        until(lambda: carried(archive, 0) == carried(archive, 1))
        entries = [shard.reader.entry(index) for index in range(0, shard.size, 50)]
        assert all(entries)
        status = archive.status()
        assert [store.failures for store in status.stores] == [{}, {}]
    finally:
        archive.stop()
        shard.close()
    report = verify_shard(node.directory, disk=tiered_disk(node.data, stores[0]))
    assert report.findings == []
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.seg")} for n in "ab")
    assert first == second
    assert len(first) > 6


def test_it_stops_though_the_store_hangs_on_to_failing(node: Node) -> None:
    store = node.stores[0]
    store.faults.always(Fault.UNREACHABLE)  # type: ignore[attr-defined]
    archive = node.archive()
    archive.start()
    until(lambda: bool(archive.status().stores[0].failures))
    archive.stop()
    assert not any(lane._thread.is_alive() for lane in archive.lanes if lane._thread)


def test_search_reads_evicted_entries_and_the_secret_is_in_no_command_line(
    node: Node, tmp_path: Path
) -> None:
    store = settings(tmp_path / "a", "primary")
    archive = archive_of(node, [store], Cache(size=1))
    archive.start()
    until(lambda: len(archive.evicted(LOG, SHARD)) >= 4)
    archive.stop()
    grow(node.data, 1)

    async def ask() -> int:
        query = QueryProcess(node.data, {LOG: [SHARD]}, store=store)
        query.advance(LOG, SHARD, node.size)
        await query.start()
        try:
            command = Path(f"/proc/{query.pid}/cmdline").read_bytes()
            assert b"store" not in command
            answer = await query.search(LOG, "", limit=1)
            deadline = monotonic() + SECONDS
            while answer["lag"] and monotonic() < deadline:
                await asyncio.sleep(0.05)
                answer = await query.search(LOG, "", limit=1)
            counted = await query.histogram(LOG, "")
            return int(counted["total"])
        finally:
            await query.close()

    assert asyncio.run(ask()) == node.size


@pytest.mark.parametrize("secret", [None, "a secret"])
def test_a_connection_comes_through_the_first_question_whole(secret: str | None) -> None:
    from muniment.query.evicted import told

    given = {"name": "p", "url": "s3://b/x", "access_key": secret and "k", "secret_key": secret}
    store = StoreSettings.model_validate(given)
    again = StoreSettings.model_validate(orjson.loads(orjson.dumps(told(store))))
    assert again == store
