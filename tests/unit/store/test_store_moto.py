"""The behaviour suite on moto's S3, for breadth only: it lets through what real servers do not.

What it does wrong is named below; the same tests run on real servers in tests/e2e.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from types import MappingProxyType

import pytest
from behaviour import StoreBehaviour
from behaviour_s3 import LockedBucketBehaviour

from muniment.settings.store import Connection
from muniment.store.port import Store
from muniment.store.s3 import S3Store
from muniment.store.s3_client import client_of

server = pytest.importorskip("moto.server", reason="moto[server] is not installed")

_prefixes = count(1)
_CHECKS = "moto 5.2 keeps the SHA-256 that it is told, and does not compare"
_UNLOCKED = "moto 5.2 answers 500 to GetObjectRetention of an object without a retention"
_CANNOT = {
    "check sha256": _CHECKS,
    "refuse the past": "moto 5.2 takes a retention that has ended",
    "test_says_that_nothing_is_locked": _UNLOCKED,
    "test_locks_what_was_not": _UNLOCKED,
    "test_a_hold_keeps": _UNLOCKED,
    "test_a_deleted_object_is_hidden_and_comes_back": "moto 5.2 lists markers behind versions",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


def connection(endpoint: str, bucket: str, prefix: str = "") -> Connection:
    return Connection.model_validate(
        {
            "url": f"s3://{bucket}/{prefix}",
            "endpoint": endpoint,
            "region": "us-east-1",
            "access_key": "moto",
            "secret_key": "moto",
        }
    )


@pytest.fixture(scope="module")
def buckets(endpoint: str) -> dict[str, str]:
    """A plain bucket, and one with Object Lock."""
    client = client_of(connection(endpoint, "any"))
    client.create_bucket(Bucket="plain")
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    return {"plain": "plain", "locked": "locked"}


def opened(endpoint: str, bucket: str) -> Iterator[Store]:
    store = S3Store(connection(endpoint, bucket, f"p/{next(_prefixes)}"), "moto")
    yield store
    store.close()


class TestPlainBucket(StoreBehaviour):
    cannot = MappingProxyType({"check sha256": _CHECKS})

    @pytest.fixture
    def store(self, endpoint: str, buckets: dict[str, str]) -> Iterator[Store]:
        yield from opened(endpoint, buckets["plain"])


class TestLockedBucket(LockedBucketBehaviour):
    cannot = _CANNOT

    @pytest.fixture
    def store(self, endpoint: str, buckets: dict[str, str]) -> Iterator[Store]:
        yield from opened(endpoint, buckets["locked"])
