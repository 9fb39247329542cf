"""The write-ahead store is gone, hangs, is busy, is full, loses answers, or knows the key no more.

A replicated node keeps its promise meanwhile (it waits, then answers 503), says what is wrong, and
goes on by itself; what was acknowledged is there, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from .harness.ceph import Ceph
from .harness.fleet import Fleet
from .harness.losing_proxy import losing_proxy
from .harness.server import MunimentServer
from .harness.story import Story, assert_in_order, assert_nothing_twice
from .harness.waiting import wait_for
from .harness.writers import Kept, Writer

USER = "--uid=muniment"

Trouble = Callable[[Ceph], AbstractContextManager[None]]


@contextmanager
def gone(ceph: Ceph) -> Iterator[None]:
    ceph.stop_gateway()
    try:
        yield
    finally:
        ceph.start_gateway()


@contextmanager
def hanging(ceph: Ceph) -> Iterator[None]:
    ceph.freeze()
    try:
        yield
    finally:
        ceph.thaw()


@contextmanager
def full(ceph: Ceph) -> Iterator[None]:
    quota = ("--quota-scope=user", USER)
    ceph.admin("quota", "set", *quota, "--max-size=1K")
    ceph.admin("quota", "enable", *quota)
    try:
        yield
    finally:
        ceph.admin("quota", "disable", *quota)


@contextmanager
def without_rights(ceph: Ceph) -> Iterator[None]:
    ceph.admin("user", "suspend", USER)
    try:
        yield
    finally:
        ceph.admin("user", "enable", USER)


TROUBLES = (gone, hanging, full, without_rights)


@pytest.fixture
def node(tmp_path: Path, ceph: Ceph) -> Iterator[MunimentServer]:
    fleet = Fleet(tmp_path, ceph)
    server = fleet.node()
    server.start()
    yield server
    fleet.close()


def start_writers(server: MunimentServer, name: str, most: int = 9) -> list[Writer]:
    found = [Writer(f"{name}-{n}", server.url, most, Random(n)) for n in range(3)]
    for writer in found:
        writer.start()
    return found


_numbers = count(1)


def refusal(server: MunimentServer) -> dict[str, Any] | None:
    """Sends one more entry; returns the problem that it is refused with, if it is."""
    line = f"another {next(_numbers)}".encode()
    with suppress(httpx.ReadTimeout):  # it waits with those before it
        answer = httpx.post(
            f"{server.url}/api/v1/logs/default/entries",
            content=line,
            headers={"Content-Type": "text/plain"},
            timeout=1,
        )
        assert answer.status_code in (201, 503), answer.text
        return answer.json() if answer.status_code == 503 else None
    return None


def trouble_of(server: MunimentServer) -> str:
    """What the probe of readiness says is wrong."""
    answer = server.http.get("/readyz")
    return "" if answer.status_code == 200 else str(answer.json()["detail"])


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_a_node_waits_refuses_says_why_and_goes_on(
    trouble: Trouble, node: MunimentServer, ceph: Ceph
) -> None:
    clients = start_writers(node, trouble.__name__)
    wait_for(lambda: all(client.kept for client in clients), "answers")
    with trouble(ceph):
        answer = wait_for(lambda: refusal(node), "a refusal")
        assert answer["type"].endswith("store-failing")
        wait_for(lambda: "the write-ahead store" in trouble_of(node), "the node to say so")
        counts = [len(client.kept) for client in clients]
    wait_for(
        lambda: all(len(c.kept) > n for c, n in zip(clients, counts, strict=True)),
        "answers again",
        120,
    )
    wait_for(lambda: trouble_of(node) == "", "the node to be ready")
    for client in clients:
        client.finish()
        assert client.unanswered is None
        assert {answer.status_code for answer in client.refused} <= {503}
        assert_in_order(client.kept)
    assert_kept(node, [kept for client in clients for kept in client.kept])


def test_lost_answers_double_nothing(tmp_path: Path, ceph: Ceph) -> None:
    """The store did what was asked, and nobody was told: again and again."""
    with losing_proxy(ceph.port) as proxy:
        fleet = Fleet(tmp_path, ceph, endpoint=f"http://127.0.0.1:{proxy.port}")
        server = fleet.node()
        server.start()
        clients = start_writers(server, "lost")
        for round_ in range(5):
            wait_for(lambda n=round_: all(len(c.kept) > 3 * n for c in clients), "answers", 120)
            before = proxy.lost
            proxy.losing = True
            wait_for(lambda b=before: proxy.lost > b + 2, "answers to be lost", 120)
            proxy.losing = False
        for client in clients:
            client.finish()
        assert_kept(server, [kept for client in clients for kept in client.kept])
        fleet.close()


def test_a_node_without_replication_takes_entries_while_its_stores_are_gone(
    tmp_path: Path, ceph: Ceph
) -> None:
    fleet = Fleet(tmp_path, ceph)
    server = fleet.local_node()
    server.start()
    server.accepted(b"before", kind="text/plain")

    def stores() -> list[dict[str, object]]:
        return list(server.get("/readyz")["stores"])

    with gone(ceph):
        for number in range(20):
            server.accepted(f"during {number}".encode(), kind="text/plain")
        wait_for(lambda: not stores()[0]["ok"], "the archive to say that its store is gone", 120)
        assert "reason" in stores()[0]
    server.accepted(b"after", kind="text/plain")
    wait_for(lambda: stores()[0]["ok"], "the archive to go on", 120)
    wait_for(lambda: waiting(server) == 0, "everything sealed to be archived", 120)
    fleet.close()


def waiting(server: MunimentServer) -> int:
    """Segments that the primary has not confirmed."""
    lines = server.http.get("/metrics").text.splitlines()
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in lines
        if line.startswith("muniment_store_waiting{")
    )


def assert_kept(server: MunimentServer, promised: list[Kept]) -> None:
    """What was acknowledged is there, at its place, and nothing is there twice."""
    story = Story(server, 1)
    story.kept = promised
    story.check(0)
    assert_nothing_twice(server)
