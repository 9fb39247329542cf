"""Real nodes behind the edge: what gets through is judged there once more."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.harness.edge_fleet import TEXT, WRITE, EdgeFleet
from tests.e2e.harness.waiting import wait_for

MANY = 18 << 20
"""Bytes, over the 16 MiB that edges and nodes take by default."""


@pytest.fixture(scope="module")
def fleet(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeFleet]:
    """Two nodes over mutual TLS and an edge; all of them are gone afterwards."""
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        beside = Path(sys.executable).parent  # where the PyPI package puts Envoy
        patch.setenv("PATH", f"{beside}:{os.environ['PATH']}")
        found = EdgeFleet(kind, tmp_path_factory.mktemp(kind), stack)
        found.add_node("n1")
        found.add_node("n2")
        found.describe()
        found.start()
        yield found


def token(fleet: EdgeFleet, name: str, scope: str) -> str:
    """A token of the fleet that may do one thing."""
    command = [sys.executable, "-m", "muniment", "tokens", "--file", str(fleet.tokens)]
    command += ["create", name, "--scope", scope]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip().splitlines()[-1]


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_chunks_without_a_length_are_bounded_somewhere(fleet: EdgeFleet) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MANY // 65_536):
            yield b"x" * 65_536

    with fleet.client() as client:
        with contextlib.suppress(httpx.TransportError):  # not to listen any more is a refusal too
            assert client.post(WRITE, content=chunks(), headers=TEXT).status_code == 413
        assert client.post(WRITE, content=b"after it", headers=TEXT).status_code == 201


def test_a_token_that_may_write_reads_nothing(fleet: EdgeFleet) -> None:
    writing, reading = token(fleet, "writer", "write"), token(fleet, "reader", "read")
    with fleet.client() as owner, fleet.client(token=False) as client:
        receipt = owner.post(WRITE, content=b"for readers", headers=TEXT).json()
        entry = f"/api/v1/logs/default/shards/{receipt['shard']}/entries/{receipt['first']}"
        for _ in range(6):  # until any cache has it
            owner.get(entry)

        def known() -> bool:
            """Nodes look at the file of the tokens now and then; so often, each is asked."""
            headers = {**TEXT, **bearer(writing)}
            answers = [client.get("/api/v1/logs", headers=bearer(reading)) for _ in range(16)]
            answers += [client.post(WRITE, content=b"w", headers=headers) for _ in range(16)]
            return {one.status_code for one in answers} <= {200, 201}

        wait_for(known, "all nodes to know the new tokens")
        for path in (entry, "/api/v1/logs", "/api/v1/logs/default/search", "/api/v1/tokens"):
            answer = client.get(path, headers=bearer(writing))
            assert answer.status_code in (401, 403), (path, answer.text)
        assert client.get("/api/v1/tokens", headers=bearer(reading)).status_code == 403
        refused = client.post(WRITE, content=b"x", headers={**TEXT, **bearer(reading)})
        assert refused.status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "a.localhost"])
def test_nobody_becomes_local_behind_the_edge(host: str, fleet: EdgeFleet) -> None:
    """A node trusts who is on its own loopback; here the edge is, and everybody behind it."""
    forged = {"Host": host, "X-SSL-Client-CN": "agent", "X-Forwarded-For": "127.0.0.1"}
    with fleet.client(token=False) as client:
        for path in ("/api/v1/logs", "/api/v1/logs/default/search", "/api/v1/tokens"):
            assert client.get(path, headers=forged).status_code == 401
        assert client.post(WRITE, content=b"x", headers={**TEXT, **forged}).status_code == 401


def test_what_nodes_ask_each_other_is_asked_by_nobody_else(fleet: EdgeFleet) -> None:
    with fleet.client() as client:
        (log,) = client.get("/api/v1/logs").json()["logs"]
        shard = log["shards"][0]["shard"]
        for path in (
            "/metrics",
            "/api/v1/node",
            f"/api/v1/logs/default/shards/{shard}/segments",
            f"/api/v1/logs/default/shards/{shard}/segments/00000000000000000000.seg",
        ):
            assert client.get(path).status_code == 404, path
