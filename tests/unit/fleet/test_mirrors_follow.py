"""Mirrors: shards are found, pulled from whoever has them, and open again after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import httpx
import pytest
from archived_shard import FIRSTS as ARCHIVED_FIRSTS
from archived_shard import SIZE as ARCHIVED_SIZE
from archived_shard import WRITTEN, archived
from fake_nodes import FakeNode, FakeNodes, broken_after
from mirroring import LIFE, LOG, NAME, live, shown
from msgspec.structs import replace
from pruned_source import MINIMUM, SEGMENTS, SOURCE, pruned_note
from small_shard import OTHER, SIGNER

from muniment.clock import SystemClock
from muniment.data_names import LOGS
from muniment.fleet.calls import PeerFailing
from muniment.fleet.member import Member, ShardState, State
from muniment.fleet.mirror import MirroredShard, Mirrors, MirrorState
from muniment.fleet.mirror.source import MAX_PIECE, Peer
from muniment.log.checkpoint import Checkpoint
from muniment.log.disk import PosixDisk
from muniment.log.note import Signer
from muniment.log.raw import End
from muniment.log.verify import verify_shard
from muniment.store.marks import Why, read_mark
from muniment.store.names import pruned_key
from muniment.store.port import Store

DISK = live(LIFE)
FILES = {path.name: data for path, data in DISK.files().items() if path.suffix == ".seg"}
SIZE = shown(DISK).size


class Running:
    """The mirrors of a node, started by hand."""

    def __init__(self, data: Path, nodes: FakeNodes) -> None:
        self.data, self.nodes = data, nodes
        self.added: list[MirroredShard] = []
        self.own: set[tuple[str, str]] = set()
        self.made: list[Mirrors] = []

    def make(self, archive: Store | None = None, **more: object) -> Mirrors:
        found = Mirrors(
            self.data,
            [LOG],
            lambda: self.nodes.members(),
            self.nodes.calls,
            node="own",
            disk=PosixDisk(),
            clock=SystemClock(),
            writes=lambda log, name: (log, name) in self.own,
            added=self.added.append,
            archive=archive,
            archive_interval=0.0,
            wait=0.01,
            random=Random(1),
            **more,  # type: ignore[arg-type]
        )
        self.made.append(found)
        return found


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path, FakeNodes())
    yield found
    for mirrors in found.made:
        mirrors.stop()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def segments(data: Path) -> dict[str, bytes]:
    folder = data / LOGS / LOG / NAME
    return {path.name: path.read_bytes() for path in folder.glob("*.seg")}


@contextmanager
def long_rests() -> Iterator[None]:
    """What is laid to rest in the block stays so for the rest of the test, however slow that is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("muniment.fleet.mirror.rest.FIRST_PAUSE", 600.0)
        yield


def test_a_shard_is_found_pulled_and_opened_again(running: Running) -> None:
    node = running.nodes.add("n1", shown(live(LIFE[:9])), writable=True)
    mirrors = running.make()
    assert mirrors.open() == [] and mirrors.status() == []
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == mirrors.status()[0].entries == node.shard.size)
    (status,) = mirrors.status()
    assert (status.state, status.source, status.lag) == (MirrorState.FOLLOWING, node.url, 0)
    assert status.root == shard.root.hex() and status.checkpoint == shard.checkpoint()
    assert status.entries == shard.size and status.bytes > 0
    mirrors.stop()
    mark = read_mark(PosixDisk(), running.data, LOG, NAME)
    assert mark is not None and mark.why is Why.MIRRORED and node.url in mark.detail
    node.shard = shown(DISK)
    again = running.make()
    (opened,) = again.open()
    assert opened.size == shard.size and len(running.added) == 1
    again.start()
    eventually(lambda: segments(running.data) == FILES)
    again.stop()
    assert verify_shard(running.data / LOGS / LOG / NAME).findings == []


def test_another_node_goes_on_where_one_is_gone(running: Running) -> None:
    writer = running.nodes.add("n1", shown(DISK), writable=True, most=5_000)
    running.nodes.add("n2", shown(DISK))
    mirrors = running.make()
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: mirrors.status()[0].bytes > 100_000)
    writer.state, writer.down = State.LOST, True
    eventually(lambda: shard.size == SIZE)
    eventually(lambda: mirrors.status()[0].source == "http://n2.example:8470")


def test_the_archive_goes_on_where_no_node_serves_it(running: Running) -> None:
    node = running.nodes.add("n1", shown(WRITTEN.moments[3]), writable=True)
    mirrors = running.make(archived())
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == node.shard.size)
    node.state = State.LEFT
    eventually(lambda: shard.size == ARCHIVED_SIZE)
    assert mirrors.status()[0].source.startswith("simulated")
    eventually(lambda: len(segments(running.data)) == len(ARCHIVED_FIRSTS))


def test_the_archive_goes_on_where_no_node_shows_what_holds(running: Running) -> None:
    node = running.nodes.add("n1", shown(WRITTEN.moments[3]), writable=True)
    node.change = spoilt
    mirrors = running.make(archived())
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == ARCHIVED_SIZE)
    assert mirrors.status()[0].failures["damaged"] >= 1 and shard.health.ok


def spoilt(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(200, content=bytes(len(answer.content)), headers=answer.headers)


def test_a_shard_that_only_the_archive_has(running: Running) -> None:
    mirrors = running.make(archived())
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == ARCHIVED_SIZE)
    assert shard.reader.read(0).entries == WRITTEN.entries[:ARCHIVED_SIZE]


def test_another_key_for_the_shard_ends_nothing(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody signs what a member says of a shard: it is told, and not used."""
    writer = running.nodes.add("n1", shown(live(LIFE[:9])), writable=True)
    mirrors = running.make()
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == writer.shard.size)
    running.nodes.add("n2", shown(DISK), verifier=str(OTHER.verifier))
    with long_rests():
        for _ in range(5):
            mirrors.look()
    (status,) = mirrors.status()
    assert status.state is MirrorState.FOLLOWING and shard.health.ok
    assert status.failures == {"refused-source": 1}
    (said,) = [one.getMessage() for one in caplog.records if "n2" in one.getMessage()]
    for part in ("n2.example", "a/b", str(OTHER.verifier), str(SIGNER.verifier)):
        assert part in said
    writer.shard = shown(DISK)
    eventually(lambda: shard.size == SIZE)
    writer.state = State.LEFT
    eventually(lambda: mirrors.status()[0].state is MirrorState.UNTRUSTED)
    assert not shard.health.ok and "n2.example" in shard.health.reason
    writer.state = State.READY
    eventually(lambda: shard.health.ok)
    mark = read_mark(PosixDisk(), running.data, LOG, NAME)
    assert mark is not None and not mark.problem


def test_a_record_with_the_url_of_the_writer_does_not_bar_the_writer(running: Running) -> None:
    writer = running.nodes.add("n1", shown(live(LIFE[:9])), writable=True)
    mirrors = running.make()
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == writer.shard.size)
    state = ShardState(SIZE, str(OTHER.verifier), writable=True, minimum=0)
    false = replace(writer.member(), node="false", shards={LOG: {NAME: state}})
    members = running.nodes.members
    running.nodes.members = lambda: [false, *members()]  # type: ignore[method-assign]
    mirrors.look()
    assert mirrors.status()[0].failures == {"refused-source": 1}
    writer.shard = shown(DISK)
    eventually(lambda: shard.size == SIZE)


def test_a_beginning_that_does_not_hold_ends_nothing(running: Running) -> None:
    liar = running.nodes.add("n1", shown(SOURCE), minimum=MINIMUM)
    liar.pruned = pruned_note(OTHER).note
    mirrors = running.make()
    with long_rests():
        mirrors.look()
    (status,) = mirrors.status()
    assert status.state is MirrorState.REFUSED and "signed" in status.problem
    asked = len(liar.asked)
    mirrors.look()
    assert len(liar.asked) == asked, "it rests"
    good = running.nodes.add("n2", shown(SOURCE), writable=True, minimum=MINIMUM)
    good.pruned = pruned_note().note
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == SIZE)


def test_a_node_that_fails_is_asked_where_to_begin_once_for_all_its_shards(
    running: Running,
) -> None:
    hung = running.nodes.add("n0", shown(SOURCE), writable=True, minimum=MINIMUM, down=True)
    running.nodes.add("n1", shown(DISK))
    names = [f"{number:08x}" for number in range(20)]

    def members() -> list[Member]:
        state = ShardState(SIZE, str(SIGNER.verifier), writable=True, minimum=MINIMUM)
        one, other = hung.member(), running.nodes.nodes["n1.example"].member()
        verifiers = {name: state_of(name, state) for name in names}
        return [replace(one, shards={LOG: verifiers}), other]

    running.nodes.members = members  # type: ignore[method-assign]
    mirrors = running.make()
    with long_rests():
        mirrors.look()
        mirrors.look()
    assert len(hung.asked) == 1
    assert [shard.name for shard in running.added] == [NAME], "another node's does not wait"
    refused = [one for one in mirrors.status() if one.state is MirrorState.REFUSED]
    assert [one.shard for one in refused] == names, "each is told"


def test_a_shard_that_is_not_told_keeps_none_of_its_node_back(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = running.nodes.add("n0", shown(SOURCE), writable=True, minimum=MINIMUM)
    state = ShardState(SIZE, str(SIGNER.verifier), writable=True, minimum=MINIMUM)
    shards = {name: state_of(name, state) for name in ("00000000", "00000001")}
    shown_by = replace(node.member(), shards={LOG: shards})
    running.nodes.members = lambda: [shown_by]  # type: ignore[method-assign]
    asked: list[str] = []

    def base(self: Peer, log: str, shard: str, verifier: object) -> None:
        asked.append(shard)
        raise PeerFailing("500 of this shard")

    monkeypatch.setattr(Peer, "base", base)
    mirrors = running.make()
    eventually(lambda: mirrors.look() or "00000001" in asked)
    assert asked == ["00000000", "00000001"]


def state_of(name: str, state: ShardState) -> ShardState:
    """The state of a shard with a key of its own name."""
    return replace(state, verifier=str(Signer(f"{LOG}/{name}", bytes(32)).verifier))


def test_another_history_at_a_size_ends_the_mirror(running: Running) -> None:
    node = running.nodes.add("n1", shown(DISK), writable=True)
    mirrors = running.make()
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == SIZE)
    mirrors.compare()
    assert shard.health.ok
    node.note = SIGNER.sign(str(Checkpoint("a/b", SIZE - 1, bytes(32))))
    mirrors.compare()
    assert not shard.health.ok and "another history" in shard.health.reason
    mark = read_mark(PosixDisk(), running.data, LOG, NAME)
    assert mark is not None and mark.problem == shard.problem
    assert list(mark.evidence) == [node.note, shard.checkpoint()]
    assert mirrors.status()[0].failures == {"contradiction": 1}


def test_what_is_not_mirrored(running: Running) -> None:
    """What this node writes, what is not of these logs, and what may not leave its jurisdiction."""
    node = running.nodes.add("n1", shown(DISK), writable=True)
    running.own.add((LOG, NAME))
    mirrors = running.make(jurisdiction="us")
    mirrors.look()
    assert mirrors.status() == [] and not running.added
    running.own.clear()
    node.residency = {LOG: "eu"}
    mirrors.look()
    (status,) = mirrors.status()
    assert status.state is MirrorState.REFUSED and "may not leave eu" in status.problem
    assert not (running.data / LOGS).exists()
    node.residency = {LOG: "us"}
    mirrors.look()
    assert len(running.added) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verifier": "no key"}, "verifier key"),
        ({"verifier": "a/c+00000000+AQ=="}, "key"),
    ],
)
def test_what_cannot_be_begun_says_so(
    running: Running, changes: dict[str, object], said: str
) -> None:
    running.nodes.add("n1", shown(DISK), **changes)
    mirrors = running.make()
    mirrors.look()
    (status,) = mirrors.status()
    assert status.state is MirrorState.REFUSED and said in status.problem


def test_a_shard_whose_beginning_has_expired_begins_where_that_ends(running: Running) -> None:
    node = running.nodes.add("n1", shown(SOURCE), writable=True, minimum=MINIMUM)
    node.pruned = pruned_note().note
    mirrors = running.make()
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == SIZE)
    assert shard.reader.minimum == MINIMUM
    assert mirrors.status()[0].problem == ""
    mirrors.stop()
    assert segments(running.data) == {path.name: data for path, data in SEGMENTS.items()}


def test_an_archive_whose_beginning_has_expired_is_not_begun_with(running: Running) -> None:
    store = archived()
    store.put(pruned_key(LOG, NAME, 261), b"a note")
    mirrors = running.make(store)
    mirrors.look()
    (status,) = mirrors.status()
    assert status.state is MirrorState.REFUSED and "begins with entry 261" in status.problem


def test_only_so_many(running: Running) -> None:
    running.nodes.add("n1", shown(DISK))
    mirrors = running.make(max_shards=0)
    mirrors.look()
    assert not running.added and mirrors.status() == []


def test_a_mirror_that_is_behind_what_has_expired_says_so(running: Running) -> None:
    node = running.nodes.add("n1", shown(live(LIFE[:4])), writable=True)
    mirrors = running.make()
    mirrors.look()
    (shard,) = running.added
    eventually(lambda: shard.size == node.shard.size)
    eventually(lambda: shard.place.segment == 0)
    node.minimum = 600
    node.shard = shown(DISK)
    eventually(lambda: "expired" in mirrors.status()[0].failures)
    status = mirrors.status()[0]
    assert status.state is MirrorState.WAITING and "begins with entry 600" in status.problem


def test_damaged_files_close_one_mirror_only(running: Running) -> None:
    running.nodes.add("n1", shown(DISK))
    mirrors = running.make()
    mirrors.look()
    eventually(lambda: running.added[0].size == SIZE)
    mirrors.stop()
    notes = running.data / LOGS / LOG / NAME / "checkpoints"
    notes.write_bytes(b"something else\n" * 9)
    again = running.make()
    assert again.open() == []
    again.look()
    (status,) = again.status()
    assert status.state is MirrorState.DAMAGED and "checkpoints" in status.problem
    assert notes.read_bytes() == b"something else\n" * 9


def peer(node: FakeNode, nodes: FakeNodes) -> Peer:
    return Peer(nodes.calls, node.url, SystemClock(), 0)


def test_what_came_before_a_connection_broke_counts() -> None:
    nodes = FakeNodes()
    node = nodes.add("n1", shown(DISK))
    node.change = broken_after(100)
    answer = peer(node, nodes).read(LOG, NAME, End(0, 0), 0)
    assert len(answer.data) == 100 and answer.size == SIZE
    node.change = broken_after(0)
    with pytest.raises(PeerFailing):
        peer(node, nodes).read(LOG, NAME, End(0, 0), 0)


def without_heads(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(200, content=answer.content)


def wrong_heads(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(200, headers={"muniment-segment-length": "-1"})


def too_much(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(200, content=bytes(MAX_PIECE + 1), headers=answer.headers)


def failing(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(503)


@pytest.mark.parametrize("change", [without_heads, wrong_heads, too_much, failing])
def test_an_answer_that_is_none(change: Callable[[httpx.Response], httpx.Response]) -> None:
    nodes = FakeNodes()
    node = nodes.add("n1", shown(DISK), change=change)
    with pytest.raises(PeerFailing):
        peer(node, nodes).read(LOG, NAME, End(0, 0), 0)


def test_a_node_that_is_behind_is_well() -> None:
    nodes = FakeNodes()
    node = nodes.add("n1", shown(DISK))
    answer = peer(node, nodes).read(LOG, NAME, End(SIZE + 5, 0), 0)
    assert (answer.data, answer.size) == (b"", SIZE)
