"""A batch that went to two nodes is found once at a query node, also after that was killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from .harness.cli import muniment
from .harness.process import alive, free_port
from .harness.server import LOG, MunimentServer
from .harness.waiting import wait_for

CONFIG = """
node = "{node}"
roles = ["{role}"]
drain = 0.1

[fleet]
url = "http://127.0.0.1:{port}"
members = {members}
heartbeat = 0.2
lost_after = 2.0
"""


@dataclass
class Nodes:
    """Two ingest nodes, and a query node that mirrors them."""

    a: MunimentServer
    b: MunimentServer
    query: MunimentServer

    def counts(self) -> dict[str, int]:
        """Rows by shard at the query node."""
        statement = "SELECT shard, count(*) FROM events GROUP BY shard"
        return {str(shard): int(count) for shard, count in self.query.sql(statement)}

    def mirrored(self) -> None:
        """Waits until the query node has indexed all of both shards."""
        sizes = {one.shard()["shard"]: one.shard()["size"] for one in (self.a, self.b)}

        def there() -> bool:
            logs = self.query.get("/readyz")["search"].get("logs", {})
            shards = logs.get(LOG, {}).get("shards", {})
            return {name: one["indexed"] for name, one in shards.items()} == sizes

        wait_for(there, "both shards to be indexed")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    ports = {name: free_port() for name in ("a", "b", "query")}
    found = {}
    for name, port in ports.items():
        others = [f"http://127.0.0.1:{other}" for other in ports.values() if other != port]
        config = CONFIG.format(
            node=name,
            role="query" if name == "query" else "ingest",
            port=port,
            members=json.dumps(others),
        )
        (tmp_path / name).mkdir()
        found[name] = MunimentServer(
            tmp_path / name / "data", tmp_path / name / "serve.txt", port=port, config=config
        )
        found[name].start()
    yield Nodes(**found)
    for server in reversed(found.values()):
        server.close()


def put(server: MunimentServer, lines: list[str], key: str = "") -> None:
    """Puts a batch, under a key where there is one."""
    answer = httpx.post(
        f"{server.url}/api/v1/logs/{LOG}/entries",
        content="\n".join(lines).encode(),
        headers={"content-type": "text/plain"} | ({"idempotency-key": key} if key else {}),
        timeout=60,
    )
    assert answer.status_code == 201, answer.text


def test_a_batch_that_went_to_two_nodes_is_found_once(nodes: Nodes, tmp_path: Path) -> None:
    first, second = [f"first {n}" for n in range(20)], [f"second {n}" for n in range(20)]
    put(nodes.a, first, "k1")
    put(nodes.b, first, "k1")
    put(nodes.b, ["same"])
    put(nodes.a, ["same"])
    nodes.mirrored()
    assert sum(nodes.counts().values()) == 22

    pid = nodes.query.query_pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid), "the query process to die")
    put(nodes.b, second, "k2")
    put(nodes.a, second, "k2")
    put(nodes.b, first, "k3")
    put(nodes.a, [*first, "and more"], "k3")
    nodes.mirrored()
    assert sum(nodes.counts().values()) == 22 + 20 + 20 + 21
    expected = {
        f'muniment_index_duplicates_total{{log="{LOG}"}} 40.0',
        f'muniment_index_conflicts_total{{log="{LOG}"}} 1.0',
    }
    wait_for(
        lambda: expected <= set(nodes.query.http.get("/metrics").text.splitlines()),
        "the copies to be counted",
    )

    nodes.query.stop()
    data = nodes.query.data
    for command in (["verify", data], ["index", "rebuild", "--data", data], ["verify", data]):
        status, printed = muniment(*command, cwd=tmp_path)
        assert status == 0, printed
    nodes.query.start()
    nodes.mirrored()
    assert sum(nodes.counts().values()) == 83
