"""The behaviour suite on a second real S3 server, versitygw."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from muniment.store.port import Store
from muniment.store.s3 import S3Store

from .harness.suites import LockedBucketBehaviour, StoreBehaviour
from .harness.versitygw import VersityGateway, versity_gateway

_prefixes = count(1)
_CANNOT = {
    "nested keys": "an object is a file, and a file is no folder",
    "refuse locks": "versitygw 1.8.0 answers 400 InvalidRequest and stores the object, unlocked",
    "hold on": "versitygw 1.8.0 deletes a version on hold once its retention has ended",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersityGateway]:
    with versity_gateway(tmp_path_factory.mktemp("versitygw")) as started:
        yield started


@pytest.fixture(scope="module")
def buckets(gateway: VersityGateway) -> dict[str, str]:
    """One bucket of each kind."""
    return {
        "plain": gateway.plain_bucket(),
        "versioned": gateway.versioned_bucket(),
        "locked": gateway.lock_bucket(),
    }


def opened(gateway: VersityGateway, bucket: str) -> Iterator[Store]:
    store = S3Store(gateway.connection(bucket, f"p/{next(_prefixes)}"), "versitygw")
    yield store
    store.close()


class TestPlainBucket(StoreBehaviour):
    cannot = _CANNOT

    @pytest.fixture
    def store(self, gateway: VersityGateway, buckets: dict[str, str]) -> Iterator[Store]:
        yield from opened(gateway, buckets["plain"])


class TestVersionedBucket(StoreBehaviour):
    cannot = _CANNOT

    @pytest.fixture
    def store(self, gateway: VersityGateway, buckets: dict[str, str]) -> Iterator[Store]:
        yield from opened(gateway, buckets["versioned"])


class TestLockedBucket(LockedBucketBehaviour):
    cannot = _CANNOT

    @pytest.fixture
    def store(self, gateway: VersityGateway, buckets: dict[str, str]) -> Iterator[Store]:
        yield from opened(gateway, buckets["locked"])
