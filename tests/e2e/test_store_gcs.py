"""The Google store against fake-gcs-server: bytes, conditions, generations, failures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

pytest.importorskip("google.cloud.storage", reason="google-cloud-storage is not installed")

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from muniment.errors import StoreFailing
from muniment.settings.store import Connection
from muniment.store.gcs import GcsStore

from .harness.fake_gcs import fake_gcs
from .harness.process import free_port
from .harness.suites import StoreBehaviour

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as url:
        yield url


def made(service: str, *, versioned: bool = False) -> Connection:
    """A new bucket, and the connection to it."""
    client = storage.Client("p", AnonymousCredentials(), client_options={"api_endpoint": service})
    bucket = client.bucket(f"evidence-{next(NUMBERS)}")
    bucket.versioning_enabled = versioned
    client.create_bucket(bucket)
    return Connection(url=f"gs://{bucket.name}/below/this", endpoint=service, timeout=20)


@pytest.fixture
def connection(service: str) -> Connection:
    return made(service)


@pytest.fixture
def store(connection: Connection) -> Iterator[GcsStore]:
    store = GcsStore(connection, "gcs")
    yield store
    store.close()


class TestGcsStore(StoreBehaviour):
    cannot: ClassVar = {}


def test_the_emulator_cannot_lock_and_that_is_seen(store: GcsStore) -> None:
    state = store.write_once.bucket()
    assert (state.versioned, state.lockable) == (False, False)
    assert state.notes


def test_generations_of_a_versioned_bucket(service: str) -> None:
    store = GcsStore(made(service, versioned=True), "gcs")
    assert store.write_once.bucket().versioned
    first, second = store.put("a", b"first"), store.put("a", b"second")
    assert int(second) > int(first)
    assert (store.get("a"), store.get("a", version=first)) == (b"second", b"first")
    assert store.get_range("a", 1, 3, version=first) == b"irs"
    assert store.fences("probe")


def test_no_such_bucket(connection: Connection) -> None:
    other = connection.model_copy(update={"url": "gs://nobody-made-this"})
    with pytest.raises(StoreFailing, match="no such bucket"):
        GcsStore(other, "gcs").put("a", b"x")


def test_a_service_that_is_gone(connection: Connection) -> None:
    gone = connection.model_copy(update={"endpoint": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(StoreFailing) as caught:
        GcsStore(gone, "gcs").put("a", b"x")
    assert (caught.value.reason, caught.value.unknown) == ("unreachable", False)


def test_more_than_one_request_holds(store: GcsStore, tmp_path: Path) -> None:
    body = bytes(range(256)) * (20 << 12)
    path = tmp_path / "body"
    path.write_bytes(body)
    assert store.put_if_absent("big", path) is not None
    assert store.put_if_absent("big", path) is None
    assert store.get("big") == body
