"""Closing a shard while its writer still lives, hangs, and wakes; by two nodes; over bad stores.

What must hold in any order: each entry that was acknowledged is in the archive, once, at its
place, and the archive verifies.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Event, current_thread
from time import sleep

import pytest
from live_shard import DIRECTORY, SIGNER, TINY, entry, eventually, lines
from simulated_disk import SimulatedDisk
from simulator import Call, Fault, SimulatedStore

from muniment.clock import SystemClock
from muniment.data_names import LOGS
from muniment.errors import Corrupt, MunimentError, NotFound
from muniment.log import Acknowledgement, Shard, ShardReader
from muniment.log.disk import PosixDisk
from muniment.settings.store import WalSettings
from muniment.store import closing, shard_copy
from muniment.store.archive import Archive, Destination, Rules, lane
from muniment.store.closing import close_out
from muniment.store.names import segment_key
from muniment.store.shard_copy import lay_down
from muniment.store.wal import Claim, Node, claim, progress

LOG, NAME = "web", DIRECTORY.name
CLOSER = "closer"
RECENT = 6
"""Segments that are laid down whole; a shard of these tests is small enough for all of them."""

KEY = f"keys/{LOG}/{NAME}"
DISK, CLOCK = PosixDisk(), SystemClock()


class Died(BaseException):
    """The process ends here."""


class Bad:
    """Chooses what each call of a node to a store meets."""

    def __init__(self, random: Random, chance: float) -> None:
        self.random, self.chance, self.deaths = random, chance, 0
        self.awake = Event()

    def __call__(self, call: Call) -> Fault | None:
        mortal = self.deaths and current_thread().name.startswith(CLOSER)
        if mortal and self.random.random() < 0.02:
            self.deaths -= 1
            raise Died
        if self.random.random() >= self.chance:
            return None
        return self.random.choice([Fault.LOST, Fault.BUSY, Fault.LATE, Fault.DOUBLED])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(lane, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(lane, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(closing, "PAUSE", 0.005)
    monkeypatch.setattr(progress, "SPACING", 0.0)


class World:
    """Two buckets, the writer of a shard, and what it was told is kept."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random = root, Random(seed)
        self.wal = SimulatedStore("wal")
        self.primary = SimulatedStore("primary", versioned=bool(seed % 2))
        self.wal.put(KEY, b"sealed")
        self.kept: dict[str, int] = {}
        self.hung = Event()
        self.views: list[tuple[str, SimulatedStore]] = []

    def calls_of(self, node: str) -> list[Call]:
        return [call for name, store in self.views if name == node for call in store.calls]

    def seen_by(self, node: str, chance: float) -> tuple[SimulatedStore, SimulatedStore, Bad]:
        bad = Bad(Random(self.random.random()), chance)
        stores = self.wal.seen_by(node), self.primary.seen_by(node)
        for store in stores:
            store.faults.plan = bad
            self.views.append((node, store))
        return *stores, bad

    def claim(self, store: SimulatedStore, node: str) -> Claim:
        return claim(
            store,
            "log.example",
            LOG,
            NAME,
            Node(node, node.encode().ljust(16, b"-")),
            clock=CLOCK,
            randomness=Random(self.random.random()).randbytes,
            take_over=True,
            pause=lambda _seconds: None,
        )


class Writer:
    """The node that has the shard: it writes, seals, carries and cleans."""

    def __init__(self, world: World, chance: float = 0.05) -> None:
        self.world = world
        self.wal, self.primary, _ = world.seen_by("old", chance)
        data = world.root / "old"
        folder = data / LOGS / LOG / NAME
        folder.parent.mkdir(parents=True)
        Shard.create(folder, SIGNER, DISK)
        self.claim = world.claim(self.wal, "old")
        self.claim._cleaner._settle = 0.01
        self.archive = Archive(
            data,
            {LOG: [NAME]},
            [Destination(self.primary)],
            disk=DISK,
            clock=CLOCK,
            rules=Rules(confirmed=lambda _log, _shard, size: self.claim.clean(size)),
        )
        replica = self.claim.replica(WalSettings(url="file:///simulated"))
        self.shard = Shard.open(folder, SIGNER, log=LOG, disk=DISK, limits=TINY, replica=replica)
        self.shard.on_seal.append(self.archive.sealed)
        self.archive.start()
        self.waiting: list[tuple[str, Future[Acknowledgement]]] = []

    def send(self, name: str, count: int) -> None:
        for number in range(count):
            text = f"{name} {number}"
            try:
                self.waiting.append((text, self.shard.submit(lines(text, id_=text))))
            except MunimentError:
                return
            if self.world.random.random() < 0.2:
                sleep(0.002)

    def hang(self) -> None:
        """From now on its requests are on their way until `wake`."""
        awake = self.world.hung
        for store in (self.wal, self.primary):
            store.pause = lambda _call: awake.wait(60)
            store.faults.always(Fault.SLOW)

    def wake(self) -> None:
        self.world.hung.set()
        for store in (self.wal, self.primary):
            store.faults.clear()

    def hear(self) -> None:
        for text, future in self.waiting:
            if future.exception(60) is None:
                self.world.kept[text] = future.result().first

    def close(self) -> None:
        self.shard.close()
        self.archive.stop()
        self.claim.close()


def close(world: World, node: str, chance: float, tries: int = 400) -> int:
    """Closes the shard as `Replication.close_out` does, again and again.

    Returns its size, or -1 where another node closed it.
    """
    random = Random(world.random.random())
    for _ in range(tries):
        wal, primary, bad = world.seen_by(node, chance)
        bad.deaths = 1
        scratch, stopping = world.root / node, Event()
        if random.random() < 0.2:
            stopping.set()
        try:
            if wal.head(KEY) is None:
                return -1
            found = world.claim(wal, node)
            try:
                taken = close_out(
                    found,
                    scratch,
                    LOG,
                    NAME,
                    SIGNER.verifier,
                    [Destination(primary)],
                    Rules(),
                    disk=DISK,
                    clock=CLOCK,
                    stopping=stopping,
                    patience=2.0,
                )
                wal.remove(KEY)
                return taken.size
            finally:
                found.close()
        except Corrupt as error:
            if "missing" not in str(error):  # another node has just archived and cleaned it
                raise
        except (MunimentError, Died, NotFound):
            if random.random() < 0.3:  # a crash leaves what was there
                (scratch / LOGS).mkdir(parents=True, exist_ok=True)
                (scratch / LOGS / "rest").write_bytes(b"rest")
    raise AssertionError(f"{node} does not come to an end")


def archived(world: World) -> Iterator[bytes]:
    world.primary.faults.clear()
    disk, folder = SimulatedDisk(), Path("copy")
    copy = lay_down(world.primary, LOG, NAME, folder, disk, all_segments=True)
    assert copy.whole, copy.findings
    reader = ShardReader(folder, disk)
    reader.advance(copy.size)
    for index in range(copy.size):
        yield reader.entry(index)


@pytest.mark.parametrize("seed", range(8))
def test_what_was_acknowledged_is_in_the_archive_once_at_its_place(
    tmp_path: Path, seed: int
) -> None:
    world = World(tmp_path, seed)
    writer = Writer(world)
    writer.send("before", world.random.randrange(5, 60))
    if seed % 4 >= 2:
        writer.hang()
    with ThreadPoolExecutor(3, CLOSER) as pool:
        closers = [pool.submit(close, world, node, 0.03) for node in ("b", "c")]
        sending = pool.submit(writer.send, "meanwhile", world.random.randrange(60))
        sizes = {one.result(120) for one in closers} - {-1}
        sending.result(60)
    writer.wake()
    writer.send("after", 5)
    writer.hear()
    writer.close()
    world.wal.backing.land()
    world.primary.backing.land()
    entries = list(archived(world))
    assert world.wal.head(KEY) is None
    assert sizes == {len(entries)}
    assert {text: entries[first] for text, first in world.kept.items()} == {
        text: entry(text) for text in world.kept
    }
    assert len(set(entries)) == len(entries)


def test_of_a_long_shard_only_the_end_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_copy, "newest", lambda firsts, _length: firsts[-RECENT:])
    world = World(tmp_path, 0)
    writer = Writer(world, chance=0.0)
    for number in range(30):
        writer.send(f"{number}", 8)
        writer.hear()
        if number >= 24:  # the newest segments hold checkpoints
            assert writer.shard.wait_published(writer.shard.size, 60)
    writer.shard.seal()
    eventually(lambda: writer.archive.covered(LOG, NAME) == writer.shard.size)
    writer.send("last", 3)
    writer.hear()
    sleep(0.1)
    writer.claim._cleaner.step(writer.archive.covered(LOG, NAME))
    assert len(list(world.wal.list(f"wal/{LOG}/{NAME}/"))) < 20
    assert close(world, "b", 0.0) == writer.shard.size
    segments = {key for key in world.primary.backing.keys if key.endswith(".seg")}
    read = {call.key for call in world.calls_of("b") if call.operation == "get_range"} & segments
    assert len(segments) > RECENT + 5
    assert 0 < len(read) <= RECENT + 2
    writer.close()
    assert len(list(archived(world))) == 243


def test_a_segment_that_rots_before_it_is_read_back_keeps_the_shard_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its writer could not confirm is not taken for archived by whoever closes the shard."""
    monkeypatch.setattr(shard_copy, "newest", lambda firsts, _length: firsts[-RECENT:])
    world = World(tmp_path, 0)
    writer = Writer(world, chance=0.0)
    rotten = segment_key(LOG, NAME, 0)
    world.primary.put_if_absent(rotten, b"something else")
    for number in range(30):
        writer.send(f"{number}", 8)
        writer.hear()
        if number >= 24:  # the newest segments hold checkpoints
            assert writer.shard.wait_published(writer.shard.size, 60)
    writer.shard.seal()
    eventually(lambda: sum(key.endswith(".seg") for key in world.primary.backing.keys) > 6)
    writer.close()
    with pytest.raises(AssertionError, match="does not come to an end"):
        close(world, "b", 0.0, tries=2)
    assert world.wal.head(KEY) is not None
    found = world.claim(world.wal, "c")
    assert sum(append.size - append.first for append in found.appends(0)) == 240
    found.close()
