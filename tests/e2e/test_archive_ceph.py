"""A node whose sealed segments go to a real gateway with Object Lock, and leave its disk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from muniment.log.disk import PosixDisk
from muniment.log.history import segment_names
from muniment.log.verify import verify_shard
from muniment.query.evicted import tiered_disk
from muniment.settings import StoreSettings
from muniment.store.names import segment_key
from muniment.store.opening import open_store
from muniment.store.port import Mode

from .harness.ceph import Ceph
from .harness.s3_server import ACCESS_KEY, REGION, SECRET_KEY
from .harness.server import LOG, MunimentServer, serving, split_entry
from .harness.waiting import wait_for

CONFIG = """
segment_age = "1s"
segment_size = "1MiB"
cache_age = "1s"
worm_check = "off"

[[store]]
name = "primary"
url = "s3://{bucket}/node"
endpoint = "{endpoint}"
region = "{region}"
access_key = "{access}"
secret_key = "{secret}"
lock = "compliance"
timeout = 10

[[store]]
name = "backup"
url = "file://{backup}/store"

[retention.default]
minimum = "1h"
"""


class Archived:
    """A node, its two stores, and what was sent to it."""

    def __init__(self, server: MunimentServer, store: StoreSettings, backup: Path) -> None:
        self.server, self.store, self.backup = server, store, backup
        self.sent: list[bytes] = []
        self._random = Random(7)

    def send(self, batches: int) -> None:
        """Sends batches of lines that do not compress, some megabytes in all."""
        for _ in range(batches):
            lines = [self._random.randbytes(100).hex().encode() for _ in range(2_000)]
            self.server.accepted(b"\n".join(lines))
            self.sent += lines

    def seal(self, segments: int) -> None:
        """Sends so long that this many segments are sealed one after the other."""
        for _ in range(segments):
            before = self.sealed()
            self.send(1)
            wait_for(lambda: self.sealed() > before, "a segment to come to the backup")  # noqa: B023

    def sealed(self) -> int:
        """How many segments have come to the backup."""
        return len(list(self.backup.rglob("*.seg")))

    @property
    def directory(self) -> Path:
        return self.server.data / "logs" / LOG / str(self.server.shard()["shard"])

    def local(self) -> list[str]:
        return segment_names(PosixDisk(), self.directory)

    def lags(self, store: int) -> int:
        return sum(lag["waiting"] for lag in self.stores()["stores"][store]["lags"])

    def stores(self) -> dict[str, list[dict[str, object]]]:
        return dict(self.server.get("/api/v1/stores"))  # type: ignore[arg-type]

    def wait_carried(self, most: int = 3) -> None:
        """Waits until so many segments stay at most; those without checkpoints stay as well."""
        wait_for(
            lambda: self.lags(0) == self.lags(1) == 0 and len(self.local()) <= most,
            lambda: f"all to be carried and evicted: {self.local()}, {self.stores()}",
            120,
        )

    def lines(self) -> list[bytes]:
        """The lines in the log, read through the primary store where they are there only."""
        self.server.disk = tiered_disk(self.server.data, self.store)
        entries = (split_entry(entry) for entry in self.server.stored())
        return [raw for header, raw in entries if b'"via":"http"' in header]


@pytest.fixture
def archived(ceph: Ceph, tmp_path: Path) -> Iterator[Archived]:
    bucket = ceph.lock_bucket()
    config = CONFIG.format(
        bucket=bucket,
        endpoint=ceph.endpoint,
        region=REGION,
        access=ACCESS_KEY,
        secret=SECRET_KEY,
        backup=tmp_path,
    )
    fields = ceph.connection(bucket, "node").model_dump() | {"name": "primary"}
    store = StoreSettings.model_validate(fields)
    with serving(tmp_path, config=config) as server:
        yield Archived(server, store, tmp_path / "store")


def test_segments_are_locked_evicted_and_read_from_the_store(archived: Archived) -> None:
    archived.seal(5)
    archived.wait_carried()
    assert archived.lines() == archived.sent
    store = open_store(archived.store, "primary")
    key = segment_key(LOG, archived.directory.name, 0)
    state = store.write_once.state(key)
    assert state.lock is not None
    assert state.lock.mode is Mode.COMPLIANCE
    copied = sorted(path.relative_to(archived.backup) for path in archived.backup.rglob("*.seg"))
    assert [str(path) for path in copied] == sorted(
        one.key for one in store.list("logs/") if one.key.endswith(".seg")
    )
    assert (archived.backup / key).read_bytes() == store.get(key)
    modified = store.head(key)
    assert modified is not None and modified.modified is not None
    assert abs(state.lock.until - modified.modified - timedelta(hours=1)) < timedelta(minutes=5)
    archived.server.stop()
    disk = tiered_disk(archived.server.data, archived.store)
    (directory,) = (archived.server.data / "logs" / LOG).iterdir()
    assert verify_shard(directory, disk=disk).findings == []


def test_a_gateway_that_is_gone_refuses_what_is_evicted_and_nothing_else(
    archived: Archived, ceph: Ceph
) -> None:
    archived.seal(5)
    archived.wait_carried()
    server = archived.server
    ceph.stop_gateway()
    try:
        server.restart()  # it starts without its store, and has nothing in memory
        shard = server.shard()
        path = f"/api/v1/logs/{LOG}/shards/{shard['shard']}/entries"
        answer = server.http.get(f"{path}/0")
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:muniment:problem:store-failing"
        assert server.http.get(f"{path}/{shard['size'] - 1}").status_code == 200
        archived.seal(2)
        wait_for(lambda: archived.lags(0) > 0 and archived.lags(1) == 0, "the backup to be ahead")
        ready = server.get("/readyz")
        assert [one["ok"] for one in ready["stores"]] == [False, True]
    finally:
        ceph.start_gateway()
    assert server.entry(0)
    archived.wait_carried()
    assert archived.lines() == archived.sent


def test_a_node_that_is_killed_at_random_goes_on(archived: Archived) -> None:
    random = Random(11)
    for _ in range(5):
        archived.send(2)
        wait_for(lambda: archived.stores()["stores"], "the stores")
        wait_for(lambda: random.random() < 0.2, "a moment")
        archived.server.kill()
        archived.server.start()
    archived.wait_carried(most=6)
    assert archived.lines() == archived.sent
    store = open_store(archived.store, "primary")
    versions = [one.key for one in store.write_once.versions("logs/") if one.key.endswith(".seg")]
    assert len(versions) == len(set(versions))
    assert all(not one["conflicts"] for one in archived.stores()["stores"])
