"""What the store says while a real gateway is gone, hangs, is full, or knows the key no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from muniment.errors import StoreFailing, StoreLocked
from muniment.store.port import Lock, Mode, Store
from muniment.store.s3 import S3Store

from .harness.ceph import Ceph
from .harness.losing_proxy import losing_proxy
from .harness.s3_server import ACCESS_KEY, SECRET_KEY


@pytest.fixture(scope="module")
def bucket(ceph: Ceph) -> str:
    return ceph.plain_bucket()


@pytest.fixture
def store(ceph: Ceph, bucket: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store whose time-out is short; the gateway answers again after the test."""
    opened = S3Store(ceph.connection(bucket, request.node.name, timeout=2), "primary")
    yield opened
    opened.close()


def failed(call: Callable[[], object]) -> tuple[str, bool]:
    """Returns why a call fails, and whether it may have happened all the same."""
    with pytest.raises(StoreFailing) as caught:
        call()
    assert SECRET_KEY not in str(caught.value) and ACCESS_KEY not in str(caught.value)
    return caught.value.reason, caught.value.unknown


def test_a_gateway_that_is_gone_and_comes_back(ceph: Ceph, store: Store) -> None:
    store.put("before", b"1")
    ceph.stop_gateway()
    try:
        reason, _ = failed(lambda: store.put("during", b"2"))
        assert reason == "unreachable"
        assert failed(lambda: store.get("before")) == ("unreachable", False)
        assert failed(lambda: list(store.list())) == ("unreachable", False)
    finally:
        ceph.start_gateway()
    assert store.get("before") == b"1"
    assert store.put_if_absent("after", b"3") is not None
    assert [found.key for found in store.list()] == ["after", "before"]


def test_a_gateway_that_hangs_and_goes_on(ceph: Ceph, store: Store) -> None:
    store.put("before", b"1")
    ceph.freeze()
    try:
        assert failed(lambda: store.put_if_absent("during", b"2")) == ("slow", True)
        assert failed(lambda: store.get("before")) == ("slow", False)
        assert failed(store.write_once.bucket) == ("slow", False)
    finally:
        ceph.thaw()
    assert store.get("before") == b"1"
    store.put_if_absent("during", b"2")  # whether or not the one that waited came first
    assert store.get("during") == b"2"


def test_a_lost_answer(ceph: Ceph, bucket: str) -> None:
    with losing_proxy(ceph.port) as proxy:
        store = S3Store(
            ceph.connection(bucket, "lost", endpoint=f"http://127.0.0.1:{proxy.port}"), "wal"
        )
        assert store.put_if_absent("a", b"first") is not None
        proxy.losing = True
        assert failed(lambda: store.put_if_absent("b", b"mine")) == ("unreachable", True)
        proxy.losing = False
        assert proxy.lost == 1
        assert store.put_if_absent("b", b"mine") is None
        assert store.get("b") == b"mine"
        store.close()


def test_a_quota_is_reached(ceph: Ceph, store: Store) -> None:
    quota = ("--uid=muniment", "--quota-scope=user")
    ceph.admin("quota", "set", *quota, "--max-size=1K")
    ceph.admin("quota", "enable", *quota)
    try:
        body = Random(1).randbytes(1 << 20)
        assert failed(lambda: store.put("big", body)) == ("full", False)
        assert store.head("big") is None
    finally:
        ceph.admin("quota", "disable", *quota)
    store.put("big", body)
    assert store.get("big") == body


def test_a_key_that_is_taken_away(ceph: Ceph, bucket: str) -> None:
    ceph.admin("user", "create", "--uid=other", "--display-name=other")
    added = ("--uid=other", "--access-key=OTHERKEY", "--secret=OTHERSECRET", "--key-type=s3")
    ceph.admin("key", "create", *added)
    policy = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":'
        '{"AWS":["arn:aws:iam:::user/other"]},"Action":["s3:PutObject","s3:GetObject"],'
        f'"Resource":["arn:aws:s3:::{bucket}/other/*"]}}]}}'
    )
    ceph.client().put_bucket_policy(Bucket=bucket, Policy=policy)
    fields = {"access_key": "OTHERKEY", "secret_key": "OTHERSECRET"}
    store = S3Store(ceph.connection(bucket, "other", **fields), "primary")
    store.put("a", b"1")
    elsewhere = S3Store(ceph.connection(bucket, "elsewhere", **fields), "primary")
    assert failed(lambda: elsewhere.put("a", b"1")) == ("credentials", False)
    ceph.admin("user", "suspend", "--uid=other")
    assert failed(lambda: store.put("a", b"2")) == ("credentials", False)
    assert failed(lambda: store.get("a")) == ("credentials", False)
    ceph.admin("user", "enable", "--uid=other")
    assert store.get("a") == b"1"
    ceph.client().delete_bucket_policy(Bucket=bucket)


def test_a_default_retention_is_seen_and_kept(ceph: Ceph) -> None:
    name = ceph.lock_bucket(mode="compliance", days=2)
    store = S3Store(ceph.connection(name, "p"), "primary")
    state = store.write_once.bucket()
    assert (state.versioned, state.lockable) == (True, True)
    assert (state.default_mode, state.default_days) == (Mode.COMPLIANCE, 2)
    assert not state.expires
    version = store.put("a", b"evidence")
    lock = store.write_once.state("a").lock
    assert lock is not None and lock.mode is Mode.COMPLIANCE
    assert abs(lock.until - datetime.now(UTC) - timedelta(days=2)) < timedelta(minutes=10)
    with pytest.raises(StoreLocked):
        store.write_once.remove_version("a", version, bypass=True)
    assert not store.fences("probe"), "and it leaves its objects: the store keeps them"


def test_rules_that_delete_are_seen(ceph: Ceph) -> None:
    name = ceph.versioned_bucket()
    rule = {
        "ID": "tidy",
        "Status": "Enabled",
        "Filter": {"Prefix": "p/"},
        "Expiration": {"Days": 30},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
    }
    ceph.client().put_bucket_lifecycle_configuration(
        Bucket=name, LifecycleConfiguration={"Rules": [rule]}
    )
    for prefix, seen in (("p", 2), ("q", 0)):
        state = S3Store(ceph.connection(name, prefix), "primary").write_once.bucket()
        assert len(state.expires) == seen
        assert (state.versioned, state.lockable) == (True, False)


def test_a_segment_goes_up_as_one_object(ceph: Ceph, bucket: str, tmp_path: Path) -> None:
    """Larger than what SDKs put in one request: the server checks one SHA-256 of it all."""
    path, digest = tmp_path / "segment", sha256()
    with path.open("wb") as stream:
        for number in range(12):
            block = Random(number).randbytes(8 << 20)
            digest.update(block)
            stream.write(block)
    name = ceph.lock_bucket()
    store = S3Store(ceph.connection(name), "primary")
    until = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    version = store.put("s.seg", path, sha256=digest.digest(), lock=Lock(Mode.COMPLIANCE, until))
    found = store.head("s.seg")
    assert found is not None and (found.size, found.version) == (96 << 20, version)
    again = sha256()
    for offset in range(0, found.size, 16 << 20):
        again.update(store.get_range("s.seg", offset, 16 << 20))
    assert again.digest() == digest.digest()
    with pytest.raises(StoreFailing):
        store.put("t.seg", path, sha256=bytes(32))
    assert store.head("t.seg") is None
