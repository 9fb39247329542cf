"""Two real processes that both believe they own a shard never both commit.

On a local directory (link(2) fences there) and on a real Ceph RADOS gateway. What each process was
told is compared with the chain that a third one finds in the end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from muniment.clock import SystemClock
from muniment.errors import Fenced, SettingsError
from muniment.log.replica import Append
from muniment.settings.store import Connection, WalSettings
from muniment.store.opening import open_store
from muniment.store.wal import Claim, Node, check_wal_store, claim
from muniment.store.wal.header import NOTHING

from .harness import wal_writer
from .harness.ceph import Ceph
from .harness.process import Process
from .harness.waiting import wait_for

Start = Callable[[str], Process]


@pytest.fixture(params=["local", "ceph"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Connection:
    """A store of its own for a test."""
    if request.param == "local":
        return Connection.model_validate({"url": f"file://{tmp_path}/wal"})
    ceph: Ceph = request.getfixturevalue("ceph")
    return ceph.connection(ceph.plain_bucket())


@pytest.fixture
def start(connection: Connection, tmp_path: Path) -> Iterator[Start]:
    """Starts writers; ends them all."""
    given = connection.model_dump(mode="json", exclude_none=True)
    if connection.secret_key is not None:
        given["secret_key"] = connection.secret_key.get_secret_value()
    settings = WalSettings.model_validate(given)
    text = settings.model_dump_json(exclude_none=True).replace(
        '"**********"', f'"{given.get("secret_key", "")}"'
    )
    processes: list[Process] = []

    def begin(node: str) -> Process:
        command = [sys.executable, wal_writer.__file__, text, node]
        process = Process(command, tmp_path / f"{len(processes)}.out")
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.end_group()
        process.stop()


def said(process: Process, word: str) -> list[str]:
    """What a process printed behind a word, of whole lines."""
    lines = process.printed().split("\n")[:-1]
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{word} ")]


def wait_stored(process: Process, count: int) -> None:
    have = len(said(process, "stored"))
    wait_for(
        lambda: len(said(process, "stored")) >= have + count,
        lambda: f"{count} more appends of {process.printed()[-2000:]}",
    )


def last_claim(connection: Connection, node: str = "last", *, take_over: bool = True) -> Claim:
    return claim(
        open_store(connection, "wal"),
        "test.example",
        "default",
        "aa",
        Node(node, sha256(node.encode()).digest()[:16]),
        clock=SystemClock(),
        randomness=os.urandom,
        take_over=take_over,
    )


def check_history(connection: Connection, processes: list[Process]) -> list[Append]:
    """The chain holds all that anybody was told of, once, in order, in one tree."""
    made = last_claim(connection)
    history = list(made.appends(0))
    root = NOTHING
    for number, append in enumerate(history):
        root = sha256(root + append.frames).digest()
        assert (append.first, append.root) == (number, root)
    assert made.size == len(history) and made.root == root
    places = {append.frames.decode(): append.first for append in history}
    assert len(places) == len(history), "an append is there twice"
    for process in processes:
        stored = [places[frames] for frames in said(process, "stored")]
        assert stored == sorted(stored)
    return history


def test_a_stopped_writer_that_wakes_up_is_fenced(connection: Connection, start: Start) -> None:
    old = start("old")
    wait_stored(old, 30)
    os.killpg(old.pid, signal.SIGSTOP)
    new = start("new")
    wait_stored(new, 30)
    os.killpg(old.pid, signal.SIGCONT)
    wait_for(lambda: said(old, "fenced"), "the old writer to be fenced")
    assert "the node 'new' took aa over at 20" in said(old, "fenced")[0]
    wait_stored(new, 10)
    with pytest.raises(Fenced, match="'new'"):
        last_claim(connection, "old", take_over=False)
    new.kill()
    check_history(connection, [old, new])


def test_a_writer_at_full_speed_is_taken_over(connection: Connection, start: Start) -> None:
    first = start("first")
    wait_stored(first, 50)
    second = start("second")
    wait_for(lambda: said(first, "fenced"), "the first writer to be fenced")
    wait_stored(second, 20)
    second.kill()
    check_history(connection, [first, second])


def test_kills_stops_and_takeovers_at_random(connection: Connection, start: Start) -> None:
    random, processes = Random(6), list[Process]()
    for number in range(8):
        process = start(f"node-{number}")
        processes.append(process)
        wait_stored(process, random.randrange(1, 40))
        match random.randrange(3):
            case 0:
                process.kill()
            case 1:
                os.killpg(process.pid, signal.SIGSTOP)
            case _:
                pass  # it goes on until it meets the next one's fence
    for process in processes[:-1]:
        if process.running:
            os.killpg(process.pid, signal.SIGCONT)
    for process in processes[:-1]:
        wait_for(lambda one=process: said(one, "fenced") or not one.running, "every fence")
    processes[-1].kill()
    check_history(connection, processes)


def test_a_versioned_bucket_of_ceph_is_refused(ceph: Ceph) -> None:
    for bucket in (ceph.versioned_bucket(), ceph.lock_bucket()):
        with pytest.raises(SettingsError, match="without versioning"):
            check_wal_store(open_store(ceph.connection(bucket), "wal"))
    check_wal_store(open_store(ceph.connection(ceph.plain_bucket()), "wal"))
