"""A node that keeps entries for seconds: they go on record; what is held or locked stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from muniment.errors import StoreLocked
from muniment.settings.store import Connection
from muniment.store.local_attribute import set_immutable
from muniment.store.opening import open_store
from muniment.store.port import Lock, Mode, Store

from .harness.ceph import Ceph
from .harness.cli import muniment
from .harness.s3_server import ACCESS_KEY, SECRET_KEY
from .harness.server import LOG, MunimentServer
from .harness.waiting import wait_for

COMMON = """
segment_age = "1s"
retention_interval = "1s"
worm_check = "off"
completeness = false
[retention.default]
minimum = "3s"
maximum = "{maximum}s"
"""
LOCAL = """
[[store]]
url = "file://{folder}"
lock = "compliance"
"""
S3 = """
[[store]]
url = "s3://{bucket}/evidence"
endpoint = "{endpoint}"
region = "us-east-1"
access_key = "{key}"
secret_key = "{secret}"
lock = "compliance"
"""


def started(tmp_path: Path, store: str, cache: str = "", maximum: int = 6) -> MunimentServer:
    config = cache + COMMON.format(maximum=maximum) + store
    server = MunimentServer(tmp_path / "data", tmp_path / "server.txt", config=config)
    server.start()
    return server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "store"
    found.mkdir()
    return found


@pytest.fixture
def node(request: pytest.FixtureRequest, tmp_path: Path, folder: Path) -> Iterator[MunimentServer]:
    """A node with a store in a directory; a parameter is its `maximum`."""
    maximum = getattr(request, "param", 6)
    server = started(tmp_path, LOCAL.format(folder=folder), maximum=maximum)
    try:
        yield server
    finally:
        server.close()
        _release(folder)


def _release(folder: Path) -> None:
    """Takes the immutable attribute off, so that the folder can be removed."""
    for path in folder.rglob("*"):
        if path.is_file():
            set_immutable(path, False)


def write(server: MunimentServer, word: str, waves: int = 3) -> None:
    """Writes 40 entries a wave, a little over a segment's age apart."""
    for wave in range(waves):
        server.accepted(b"\n".join(b"%s %d %d" % (word.encode(), wave, n) for n in range(40)))
        time.sleep(1.2)


def retention(server: MunimentServer) -> dict[str, Any]:
    answer = server.http.get(f"/api/v1/logs/{LOG}/retention")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def minimum(server: MunimentServer) -> int:
    return int(retention(server)["shards"][0]["minimum"])


def found(server: MunimentServer, query: str) -> list[int]:
    answer = server.http.get(f"/api/v1/logs/{LOG}/search", params={"q": query, "limit": 1000})
    assert answer.status_code == 200, answer.text
    return sorted(row["index"] for row in answer.json()["rows"])


def segments(store: Store, ending: str) -> list[int]:
    names = [one.key.rpartition("/")[2] for one in store.list("logs/")]
    return sorted(int(name.removesuffix(ending)) for name in names if name.endswith(ending))


def assert_old_go(server: MunimentServer, store: Store, tmp_path: Path) -> None:
    write(server, "early")
    write(server, "late", 1)
    shard = server.http.get("/api/v1/logs").json()["logs"][0]["shards"][0]
    index = shard["size"] - 5
    path = f"/api/v1/logs/{LOG}/shards/{shard['shard']}/entries/{index}/proof"
    proof = server.http.get(path, params={"extra": "true"}).text
    (tmp_path / "kept.proof").write_text(proof)
    wait_for(lambda: minimum(server) > 40, "the first segments to expire", 60)
    first = minimum(server)
    entry = f"/api/v1/logs/{LOG}/shards/{shard['shard']}/entries"
    assert server.http.get(f"{entry}/0").status_code == 410
    assert server.http.get(f"{entry}/0").json()["type"].endswith(":expired")
    wait_for(lambda: not [i for i in found(server, "early") if i < first], "the index", 30)
    wait_for(lambda: min(segments(store, ".seg"), default=first) >= first, "the store", 60)
    assert min(segments(store, ".tree")) == 0, "companions stay"
    assert any("/pruned/" in one.key for one in store.list("logs/"))
    wait_for(lambda: found(server, "action:retention.expired"), "the record of it", 30)
    for target in (server.data, server.url):
        status, printed = muniment("verify", target, cwd=tmp_path)
        assert status == 0, printed
    status, printed = muniment(
        "check", tmp_path / "kept.proof", "--key", shard["verifier"], cwd=tmp_path
    )
    assert status == 0, printed
    assert "muniment_shard_minimum{" in server.http.get("/metrics").text
    server.restart()
    assert minimum(server) >= first
    server.stop()
    status, printed = muniment("verify", server.data, cwd=tmp_path)
    assert status == 0, printed


def test_old_segments_go(node: MunimentServer, folder: Path, tmp_path: Path) -> None:
    store = open_store(Connection(url=f"file://{folder}"), "primary")
    assert_old_go(node, store, tmp_path)
    new = tmp_path / "new"
    status, printed = muniment("restore", "--from", store.url, "--data", new, cwd=tmp_path)
    assert "have expired" in printed, printed
    status, printed = muniment("verify", new, cwd=tmp_path)
    assert status == 0, printed


def test_segments_that_are_in_the_store_only_go_too(tmp_path: Path, folder: Path) -> None:
    server = started(tmp_path, LOCAL.format(folder=folder), cache='cache_age = "1s"\n')
    try:
        write(server, "early")
        shard = server.http.get("/api/v1/logs").json()["logs"][0]["shards"][0]["shard"]
        there = server.data / "logs" / LOG / shard
        wait_for(
            lambda: not list(there.glob(f"{0:020d}.seg")) and minimum(server) == 0,
            "the first segment to be evicted",
            30,
        )
        store = open_store(Connection(url=f"file://{folder}"), "primary")
        wait_for(lambda: minimum(server) > 40, "the first segments to expire", 60)
        first = minimum(server)
        wait_for(lambda: min(segments(store, ".seg"), default=first) >= first, "the store", 60)
        assert server.http.get("/api/v1/stores").json()["stores"][0]["conflicts"] == []
        status, printed = muniment("verify", server.url, cwd=tmp_path)
        assert status == 0, printed
        server.restart()
        assert minimum(server) >= first
    finally:
        server.close()
        _release(folder)


def on_ceph(ceph: Ceph, bucket: str) -> str:
    """The settings of a store in a bucket of the gateway."""
    return S3.format(bucket=bucket, endpoint=ceph.endpoint, key=ACCESS_KEY, secret=SECRET_KEY)


def test_old_segments_go_from_a_ceph_gateway(ceph: Ceph, tmp_path: Path) -> None:
    bucket = ceph.lock_bucket()
    server = started(tmp_path, on_ceph(ceph, bucket))
    try:
        store = open_store(ceph.connection(bucket, "evidence"), "primary")
        assert_old_go(server, store, tmp_path)
        hidden = [one for one in store.write_once.versions("logs/") if one.marker]
        assert hidden == [], "versions are removed, not hidden"
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["local", "ceph"])
def test_what_is_locked_stays(
    kind: str, tmp_path: Path, folder: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "ceph":
        ceph: Ceph = request.getfixturevalue("ceph")
        bucket = ceph.lock_bucket()
        text = on_ceph(ceph, bucket)
        store = open_store(ceph.connection(bucket, "evidence"), "primary")
    else:
        text = LOCAL.format(folder=folder)
        store = open_store(Connection(url=f"file://{folder}"), "primary")
    server = started(tmp_path, text, maximum=10)
    try:
        write(server, "early", 2)
        wait_for(lambda: segments(store, ".seg"), "a segment in the store", 30)
        key = next(one.key for one in store.list("logs/") if one.key.endswith(".seg"))
        version = next(one.version for one in store.write_once.versions(key))
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=20)
        store.write_once.extend(key, Lock(Mode.COMPLIANCE, until), version=version)
        wait_for(lambda: "is locked" in retention(server)["shards"][0]["kept_back"], "the lock", 60)
        assert minimum(server) == 0
        with pytest.raises(StoreLocked):
            store.write_once.remove_version(key, version)
        wait_for(lambda: minimum(server) > 0, "the lock to end", 60)
        assert datetime.now(UTC) >= until
        wait_for(lambda: store.head(key) is None, "the store", 30)
    finally:
        server.close()
        _release(folder)


@pytest.mark.parametrize("node", [15], indirect=True)  # time enough to place the hold
def test_what_is_held_stays(node: MunimentServer, folder: Path, tmp_path: Path) -> None:
    token = node.admin_token
    admin = ("--url", node.url, "--token", token)
    said = ("case-7", "--reason", "a lawsuit", "--query", "early")
    write(node, "early", 1)
    node.wait_indexed()
    first = min(found(node, "early"))
    status, printed = muniment("hold", "place", *said, *admin, cwd=tmp_path)
    assert (status, "case-7" in printed, "40 entries" in printed) == (0, True, True), printed
    other = ("case-8", *said[1:])
    assert muniment("hold", "place", *other, "--url", node.url, cwd=tmp_path)[0] != 0
    write(node, "late", 2)
    wait_for(lambda: "legal hold" in retention(node)["shards"][0]["kept_back"], "the hold", 60)
    time.sleep(3)
    assert minimum(node) <= first
    assert len(found(node, "early")) >= 40
    store = open_store(Connection(url=f"file://{folder}"), "primary")
    begin = max(index for index in segments(store, ".seg") if index <= first)
    key = next(one.key for one in store.list("logs/") if one.key.endswith(f"{begin:020d}.seg"))
    wait_for(lambda: store.write_once.state(key).hold, "the hold in the store", 30)
    assert "a lawsuit" in muniment("hold", "list", *admin, cwd=tmp_path)[1]
    assert "on legal hold" in muniment("retention", *admin, cwd=tmp_path)[1]
    node.restart()
    assert minimum(node) <= first
    status, printed = muniment(
        "hold", "release", "case-7", "--reason", "settled", *admin, cwd=tmp_path
    )
    assert status == 0, printed
    wait_for(lambda: found(node, "action:hold.release"), "the release on record", 60)
    wait_for(lambda: minimum(node) > first, "what was held to expire", 60)
    status, printed = muniment("verify", node.data, cwd=tmp_path)
    assert status == 0, printed


def test_a_shorter_retention_is_refused_at_start(node: MunimentServer, tmp_path: Path) -> None:
    node.stop()
    config = COMMON.format(maximum=5)
    other = MunimentServer(tmp_path / "data", tmp_path / "other.txt", config=config)
    other.start(ready=False)
    try:
        wait_for(lambda: not other.process.running, "the server to refuse", 30)
        assert "is shorter than minimum 3s, maximum 6s" in other.process.printed()
    finally:
        other.close()
