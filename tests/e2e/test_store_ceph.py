"""The behaviour suite on a real Ceph RADOS gateway: plain, versioned, and with Object Lock."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from muniment.store.port import Store
from muniment.store.s3 import S3Store

from .harness.ceph import Ceph
from .harness.suites import LockedBucketBehaviour, StoreBehaviour

_NOT_FENCED = "Ceph 16 takes If-None-Match in a versioned bucket and ignores it"
_CANNOT = {"fence": _NOT_FENCED, "put if absent": _NOT_FENCED}
_prefixes = count(1)


@pytest.fixture(scope="module")
def buckets(ceph: Ceph) -> dict[str, str]:
    """One bucket of each kind."""
    return {
        "plain": ceph.plain_bucket(),
        "versioned": ceph.versioned_bucket(),
        "locked": ceph.lock_bucket(),
    }


def opened(ceph: Ceph, bucket: str) -> Iterator[Store]:
    store = S3Store(ceph.connection(bucket, f"p/{next(_prefixes)}"), "ceph")
    yield store
    store.close()


class TestPlainBucket(StoreBehaviour):
    @pytest.fixture
    def store(self, ceph: Ceph, buckets: dict[str, str]) -> Iterator[Store]:
        yield from opened(ceph, buckets["plain"])


class TestVersionedBucket(StoreBehaviour):
    cannot = _CANNOT

    @pytest.fixture
    def store(self, ceph: Ceph, buckets: dict[str, str]) -> Iterator[Store]:
        yield from opened(ceph, buckets["versioned"])


class TestLockedBucket(LockedBucketBehaviour):
    cannot = _CANNOT

    @pytest.fixture
    def store(self, ceph: Ceph, buckets: dict[str, str]) -> Iterator[Store]:
        yield from opened(ceph, buckets["locked"])
