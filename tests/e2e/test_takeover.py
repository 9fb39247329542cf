"""Two nodes that both believe they own a shard: the one that was taken over commits no more."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from .harness.ceph import Ceph
from .harness.fleet import Fleet
from .harness.server import MunimentServer, split_entry
from .harness.waiting import wait_for
from .harness.writers import Kept, Writer


@pytest.fixture
def fleet(tmp_path: Path, ceph: Ceph) -> Iterator[Fleet]:
    found = Fleet(tmp_path, ceph)
    yield found
    found.close()


def writers(server: MunimentServer, name: str) -> list[Writer]:
    """Clients that write to a node from now on."""
    found = [Writer(f"{name}-{n}", server.url, most, Random(n)) for n, most in enumerate((1, 1, 9))]
    for writer in found:
        writer.start()
    return found


def kept(clients: list[Writer], seconds: float = 0.0) -> list[Kept]:
    """Ends the clients after some seconds; returns what they were promised."""
    time.sleep(seconds)
    for client in clients:
        client.finish()
    return [one for client in clients for one in client.kept]


def test_a_node_that_was_asleep_finds_the_fence_and_says_so(fleet: Fleet) -> None:
    old, new = fleet.node(), fleet.node()
    old.start()
    shard = old.shard()["shard"]
    clients = writers(old, "old")
    wait_for(lambda: all(client.kept for client in clients), "answers")
    old.process.send(signal.SIGSTOP)
    fleet.takeover(new)
    new.start()
    assert new.shard()["shard"] == shard
    later = writers(new, "new")
    wait_for(lambda: all(client.kept for client in later), "answers of the new owner")
    old.process.send(signal.SIGCONT)
    wait_for(lambda: all(is_fenced(client) for client in clients), "the old owner to refuse")
    promised = kept(clients, 0.3) + kept(later)
    refused = [answer for client in clients for answer in client.refused]
    assert {answer.status_code for answer in refused} == {503}
    assert refused[-1].json()["type"].endswith("fenced")
    assert "node-2" in refused[-1].text
    assert_all_there(new, promised)
    new.stop()
    fleet.verify(new, [one.answer["receipt"] for one in promised])
    assert_comes_back_beside(old, shard)


def is_fenced(client: Writer) -> bool:
    """Whether the last refusal names the fence; a store that was slow may be named before it."""
    return bool(client.refused) and client.refused[-1].json()["type"].endswith("fenced")


def assert_all_there(server: MunimentServer, promised: list[Kept]) -> None:
    """Every entry that either node acknowledged stands at its place in the new owner's shard."""
    stored = server.stored()
    places: dict[int, bytes] = {}
    for one in promised:
        for index, line in one.places().items():
            assert places.setdefault(index, line) == line, "two nodes promised one place"
            assert split_entry(stored[index])[1] == line


def assert_comes_back_beside(server: MunimentServer, shard: str) -> None:
    """The old owner, started again, shows what it had and writes to a shard of its own."""
    server.restart()
    answer = server.accepted(b"here again", kind="text/plain")
    assert answer["shard"] != shard
    (log,) = server.get("/api/v1/logs")["logs"]
    sizes = {one["shard"]: one["size"] for one in log["shards"]}
    assert sizes[shard] > 0
    assert server.entry(0, shard)
    server.stop()


def test_a_takeover_without_the_secret_is_refused(fleet: Fleet) -> None:
    old, new = fleet.node(), fleet.node()
    old.start()
    old.accepted(b"one", kind="text/plain")
    config = new.data.parent / "serve.toml"
    secret = new.data.parent / "another"
    secret.write_bytes(b"x" * 32)
    secret.chmod(0o600)
    lines = [
        f'takeover_secret = "{secret}"' if line.startswith("takeover_secret") else line
        for line in config.read_text().splitlines()
    ]
    config.write_text("\n".join(lines))
    with pytest.raises(AssertionError, match="secret"):
        fleet.takeover(new)
    old.accepted(b"two", kind="text/plain")  # it was not fenced for nothing
