"""A query node mirrors an ingest node: the same bytes, whatever happens to either of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from muniment.log.verify import verify_shard

from .harness.cli import muniment
from .harness.process import free_port
from .harness.server import LOG, MunimentServer
from .harness.waiting import wait_for

CONFIG = """
node = "{node}"
roles = [{roles}]
segment_size = "1MiB"
drain = 0.1

[fleet]
url = "http://127.0.0.1:{port}"
members = ["http://127.0.0.1:{other}"]
heartbeat = 0.2
lost_after = 2.0
"""


class Pair:
    """An ingest node and a query node that mirrors it."""

    def __init__(self, folder: Path) -> None:
        ports = free_port(), free_port()
        self.ingest = _node(folder, "ingest", '"ingest"', *ports)
        self.query = _node(folder, "query", '"query"', *reversed(ports))

    def shard(self) -> str:
        return str(self.ingest.shard()["shard"])

    def mirrored(self) -> dict[str, Any]:
        """What the query node says of the one mirror; empty before it is there."""
        found = self.query.get("/api/v1/mirrors")["mirrors"]
        return dict(found[0]) if found else {}

    def caught_up(self, size: int) -> dict[str, Any]:
        return dict(
            wait_for(
                lambda: (found := self.mirrored()).get("size") == size and found,
                f"{size} entries to be mirrored",
            )
        )

    def files(self, server: MunimentServer, shard: str) -> dict[str, bytes]:
        folder = server.data / "logs" / LOG / shard
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".seg"}


def _node(folder: Path, name: str, roles: str, port: int, other: int) -> MunimentServer:
    config = CONFIG.format(node=name, roles=roles, port=port, other=other)
    (folder / name).mkdir()
    return MunimentServer(
        folder / name / "data", folder / name / "serve.txt", port=port, config=config
    )


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    found = Pair(tmp_path)
    yield found
    found.query.close()
    found.ingest.close()


def send(server: MunimentServer, first: int, count: int, length: int = 0) -> None:
    noise = random.Random(first)
    lines = [f"entry {n} {noise.randbytes(length).hex()}" for n in range(first, first + count)]
    server.accepted("\n".join(lines).encode())


def test_the_mirror_has_the_same_bytes_and_proves_them(pair: Pair, tmp_path: Path) -> None:
    pair.ingest.start()
    pair.query.start()
    for number in range(30):
        send(pair.ingest, number * 100, 100, length=600)
    status = pair.caught_up(3_000)
    shard = pair.shard()
    assert (status["state"], status["lag"], status["problem"]) == ("following", 0, "")
    assert status["source"] == pair.ingest.url and status["checkpoint"].startswith("muniment")
    assert pair.query.entry(2_999, shard) == pair.ingest.entry(2_999, shard)
    path = f"/api/v1/logs/{LOG}/shards/{shard}/entries/1234/proof"
    assert pair.query.http.get(path).status_code == 200
    assert len(pair.ingest.get(f"/api/v1/logs/{LOG}/shards/{shard}/segments")["segments"]) > 1
    wait_for(
        lambda: pair.files(pair.ingest, shard) == pair.files(pair.query, shard), "the same files"
    )
    wait_for(lambda: pair.query.search("2999")["rows"], "the mirrored entries to be found")
    code, printed = muniment("mirror", "status", "--json", "--url", pair.query.url, cwd=tmp_path)
    assert code == 0 and json.loads(printed)["mirrors"][0]["size"] == 3_000
    assert pair.query.stop() == 0
    assert verify_shard(pair.query.data / "logs" / LOG / shard).findings == []
    code, printed = muniment("verify", pair.query.data, cwd=tmp_path)
    assert code == 0, printed


def test_the_mirror_answers_when_the_source_is_gone_and_goes_on_when_it_is_back(
    pair: Pair,
) -> None:
    pair.ingest.start()
    pair.query.start()
    send(pair.ingest, 0, 50)
    pair.caught_up(50)
    shard = pair.shard()
    pair.ingest.kill()
    wait_for(lambda: pair.mirrored()["state"] == "waiting", "the mirror to see that it is gone")
    assert pair.query.entry(49, shard).endswith(b"entry 49 ")
    pair.query.restart()
    assert pair.query.entry(49, shard).endswith(b"entry 49 ")
    assert pair.mirrored()["size"] == 50
    pair.ingest.start()
    send(pair.ingest, 50, 10)
    pair.caught_up(60)


@pytest.mark.parametrize("round_", range(3))
def test_the_mirror_is_killed_in_the_middle(pair: Pair, round_: int) -> None:
    """kill -9 while it pulls: what is torn is mended, and pulling goes on where the files end."""
    pair.ingest.start()
    for number in range(20):
        send(pair.ingest, number * 50, 50, length=1_000)
    for _ in range(3):
        pair.query.start(ready=False)
        wait_for(lambda: _bytes(pair) > 10_000 * (round_ + 1), "the mirror to have begun")
        pair.query.kill()
        send(pair.ingest, random.Random(round_).randrange(1_000_000), 25, length=500)
    pair.query.start()
    pair.caught_up(1_075)
    shard = pair.shard()
    wait_for(
        lambda: pair.files(pair.ingest, shard) == pair.files(pair.query, shard), "the same files"
    )
    assert pair.query.stop() == 0
    assert verify_shard(pair.query.data / "logs" / LOG / shard).findings == []


def _bytes(pair: Pair) -> int:
    return sum(path.stat().st_size for path in pair.query.data.glob("logs/*/*/*.seg"))


def test_a_source_that_was_put_back_and_tells_another_history_is_found_out(
    pair: Pair, tmp_path: Path
) -> None:
    """A backup of the ingest node's disk is put back, and the same key signs other entries."""
    import shutil

    pair.ingest.start()
    pair.query.start()
    send(pair.ingest, 0, 20)
    pair.caught_up(20)
    pair.ingest.stop()
    shutil.copytree(pair.ingest.data, tmp_path / "backup")
    pair.ingest.start()
    send(pair.ingest, 20, 20)
    pair.caught_up(40)
    shard = pair.shard()
    pair.ingest.stop()
    shutil.rmtree(pair.ingest.data)
    (tmp_path / "backup").rename(pair.ingest.data)
    pair.ingest.start()
    send(pair.ingest, 1_000, 50)
    status = wait_for(
        lambda: (found := pair.mirrored())["state"] == "damaged" and found, "the split view", 90
    )
    assert pair.ingest.url in status["problem"] and shard in status["problem"]
    assert status["size"] == 40
    assert pair.query.entry(39, shard).endswith(b"entry 39 ")
    code, printed = muniment("mirror", "status", "--url", pair.query.url, cwd=tmp_path)
    assert code == 1 and "damaged" in printed
    metrics = pair.query.http.get("/metrics").text
    assert f'muniment_mirror_ok{{log="{LOG}",shard="{shard}"}} 0.0' in metrics
