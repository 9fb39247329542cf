"""A node's disk is lost; its data directory is made anew from a store, and all of it holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from random import Random

import pytest

from muniment.settings.store import Connection
from muniment.store.names import segment_key
from muniment.store.opening import open_store

from .harness.ceph import Ceph
from .harness.cli import muniment
from .harness.s3_server import ACCESS_KEY, REGION, SECRET_KEY
from .harness.server import LOG, MunimentServer, serving, split_entry
from .harness.waiting import wait_for

COMMON = """
data = "{data}"
segment_age = "1s"
segment_size = "1MiB"
worm_check = "off"

"""
FILE_STORE = """
[[store]]
url = "file://{directory}/store"
"""
CEPH_STORE = """
[[store]]
url = "s3://{bucket}/node"
endpoint = "{endpoint}"
region = "{region}"
access_key = "{access}"
secret_key = "{secret}"
lock = "compliance"
timeout = 10

[retention.default]
minimum = "1h"
"""


class Lost:
    """A node with a store, what it was sent and what it promised."""

    def __init__(self, server: MunimentServer, store: Connection, directory: Path) -> None:
        self.server, self.directory = server, directory
        self.store = open_store(store, "primary")
        self.sent: list[bytes] = []
        self.receipts: list[str] = []
        self._random = Random(11)

    @property
    def config(self) -> Path:
        return self.server.output.with_suffix(".toml")

    def send(self, batches: int, lines: int = 1_000) -> None:
        """Sends batches of lines, a megabyte for about five, and keeps the receipts."""
        for _ in range(batches):
            part = [
                b'{"n":%d,"pad":"%s"}'
                % (len(self.sent) + number, self._random.randbytes(90).hex().encode())
                for number in range(lines)
            ]
            answer = self.server.accepted(b"\n".join(part), source="json")
            self.receipts.append(json.dumps(answer))
            self.sent += part

    def firsts(self, batches: set[int]) -> dict[int, int]:
        """The index of the first entry of some batches."""
        return {batch: int(json.loads(self.receipts[batch])["first"]) for batch in batches}

    def prove(self, index: int) -> Path:
        """Fetches an entry's proof, with the entry in it."""
        name = self.server.shard()["shard"]
        path = self.directory / f"{index}.tlog-proof"
        address = f"/api/v1/logs/{LOG}/shards/{name}/entries/{index}/proof"
        answer = self.server.http.get(address, params={"extra": "true"})
        assert answer.status_code == 200, answer.text
        path.write_text(answer.text)
        return path

    def wait_archived(self) -> None:
        """Waits until the store has confirmed everything; an idle segment is sealed by its age."""

        def archived() -> bool:
            (store,) = self.server.get("/api/v1/stores")["stores"]
            if any(lag["waiting"] for lag in store["lags"]):
                return False
            return self.in_store() >= int(self.server.shard()["size"])

        wait_for(archived, lambda: f"the archive: {self.server.get('/api/v1/stores')}", 120)

    def in_store(self) -> int:
        """How many entries the store holds, as its companions say."""
        from muniment.store.disk import StoreDisk
        from muniment.store.names import shard_prefix

        disk = StoreDisk(self.store)
        try:
            return disk.companions(Path(shard_prefix(LOG, self.shard))).size
        finally:
            disk.close()

    @property
    def shard(self) -> str:
        (path,) = (self.server.data / "logs" / LOG).iterdir()
        return path.name

    def lose_disk(self) -> None:
        """Kills the node and removes its data; its index may be written a moment longer."""
        self.server.kill()

        def gone() -> bool:
            shutil.rmtree(self.server.data, ignore_errors=True)
            return not self.server.data.exists()

        wait_for(gone, "the data directory to go")

    def run(self, *arguments: object) -> tuple[int, str]:
        """Runs a command with the node's settings."""
        return muniment(*arguments, cwd=self.directory)

    def restore(self, *arguments: object) -> tuple[int, str]:
        return self.run("restore", "--from", "primary", "--config", self.config, *arguments)

    def trust(self, receipt: str) -> Path:
        path = self.directory / "receipt.json"
        path.write_text(receipt)
        return path


@pytest.fixture(params=["file", "ceph"])
def lost(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lost]:
    config = COMMON.format(data=tmp_path / "data")
    if request.param == "file":
        config += FILE_STORE.format(directory=tmp_path)
        store = Connection(url=f"file://{tmp_path}/store")  # type: ignore[call-arg]
    else:
        ceph: Ceph = request.getfixturevalue("ceph")
        bucket = ceph.lock_bucket()
        config += CEPH_STORE.format(
            bucket=bucket,
            endpoint=ceph.endpoint,
            region=REGION,
            access=ACCESS_KEY,
            secret=SECRET_KEY,
        )
        store = ceph.connection(bucket, "node")
    with serving(tmp_path, config=config) as server:
        yield Lost(server, store, tmp_path)


def rows(server: MunimentServer) -> tuple[int, str]:
    """How many rows search has of the lines that were sent, and a hash of what they say."""
    lines = "md5(string_agg(raw_data, chr(10) order by raw_data))"
    statement = f'select count(*), {lines} from "{LOG}" where raw_data like \'%"pad"%\''
    ((count, digest),) = server.sql(statement)
    return int(count), str(digest)


def expected(lines: list[bytes]) -> tuple[int, str]:
    """What `rows` gives where search has just these lines."""
    return len(lines), md5(b"\n".join(sorted(lines)), usedforsecurity=False).hexdigest()


def test_a_node_whose_disk_is_lost_comes_back_from_its_store(lost: Lost) -> None:
    lost.send(12)
    places = {index: 1_000 * batch for batch, index in lost.firsts({0, 4, 11}).items()}
    proofs = [lost.prove(index) for index in places]
    lost.server.wait_indexed()
    before = expected(lost.sent)
    assert rows(lost.server) == before
    lost.wait_archived()
    old, size = lost.shard, int(lost.server.shard()["size"])
    key = lost.server.shard()["verifier"]
    lost.lose_disk()

    receipt = lost.trust(lost.receipts[-1])
    status, printed = lost.restore("--trust", receipt)
    assert status == 0, printed
    assert f"holds entries 0 to {size - 1:,} of {LOG}/{old}" in printed
    status, printed = lost.run("verify", lost.server.data, "--trust", receipt)
    assert status == 0, printed
    status, printed = lost.run("verify", "--store", "primary", "--config", lost.config)
    assert status == 0, printed
    for proof in proofs:
        status, printed = lost.run("check", proof, "--key", key)
        assert status == 0, printed

    lost.server.start()
    wait_for(lambda: rows(lost.server) == before, "the same rows")
    logs = {log["name"]: log["shards"] for log in lost.server.get("/api/v1/logs")["logs"]}
    shards = {shard["shard"]: shard for shard in logs[LOG]}
    assert len(shards) == 2 and shards[old]["size"] == size
    address = f"/api/v1/logs/{LOG}/shards/{old}/entries"
    for index, line in places.items():
        answer = lost.server.http.get(f"{address}/{index}")
        assert split_entry(answer.content)[1] == lost.sent[line]
        assert lost.server.http.get(f"{address}/{index}/proof").status_code == 200

    answer = lost.server.accepted(b'{"n":12000,"pad":"new"}', source="json")
    assert answer["shard"] != old
    after = expected([*lost.sent, b'{"n":12000,"pad":"new"}'])
    wait_for(lambda: rows(lost.server) == after, "the new row beside the old ones")
    status, printed = lost.run("verify", lost.server.url, "--trust", receipt)
    assert status == 0, printed
    lost.server.stop()
    assert lost.run("verify", lost.server.data)[0] == 0


@pytest.mark.parametrize("lost", ["file"], indirect=True)
def test_what_a_lagging_store_does_not_have_is_named_by_entry(lost: Lost) -> None:
    lost.send(6)
    lost.wait_archived()
    archived = lost.in_store()
    lost.send(1)
    old = lost.shard
    lost.lose_disk()
    newer = int(json.loads(lost.receipts[-1])["first"]) + 1_000
    for path in (lost.directory / "store").rglob("*.seg"):
        if int(path.stem) >= archived:
            path.chmod(0o600)
            path.unlink()
            path.with_suffix(".tree").unlink()

    status, printed = lost.restore("--trust", lost.trust(lost.receipts[-1]), "--no-index")
    assert status == 1, printed
    told = " ".join(printed.split())
    assert f"holds entries 0 to {archived - 1:,} of {LOG}/{old}" in told
    assert f"names {newer:,}: entries {archived:,} to {newer - 1:,} are missing" in told


def test_a_running_node_is_left_alone(lost: Lost) -> None:
    lost.send(1)
    status, printed = lost.restore()
    assert status == 2 and "in use" in printed, printed


@pytest.mark.parametrize("lost", ["ceph"], indirect=True)
def test_a_hidden_segment_is_found_and_shown_again(lost: Lost) -> None:
    """What an operator with the right to delete can do to a bucket with Object Lock."""
    lost.send(6)
    lost.wait_archived()
    key = segment_key(LOG, lost.shard, 0)
    store = lost.store
    store._wire.send("delete", "DELETE", store._folder + key)  # type: ignore[attr-defined]
    verify = ("verify", "--store", "primary", "--config", lost.config)
    status, printed = lost.run(*verify)
    assert status == 1 and "hidden at" in printed, printed
    status, printed = lost.run(*verify, "--repair")
    assert status == 0 and "was removed" in printed, printed
    assert lost.run(*verify)[0] == 0 and store.head(key) is not None
