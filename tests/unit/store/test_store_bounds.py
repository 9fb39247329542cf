"""What a store sends is bounded before it takes memory, and a secret goes to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_server import bad_server, connection
from http_double import Answer, Asked, served
from simulator import SimulatedStore

from muniment.errors import Corrupt, NoSuchObject, SettingsError, StoreFailing
from muniment.replication import Replication
from muniment.settings.store import Connection
from muniment.store.archive.port import Destination
from muniment.store.bounded import get_at_most
from muniment.store.disk import MAX_SMALL, StoreDisk
from muniment.store.inventory import Inventory
from muniment.store.local import LocalStore
from muniment.store.names import policy_key, verifier_key
from muniment.store.port import Mode, Store
from muniment.store.retention.spread import MAX_POLICY, recorded_in
from muniment.store.s3 import S3Store
from muniment.store.s3_policy import MAX_EMPTY
from muniment.store.wal.keys import MAX_SEALED, get_shard_key

HUGE = b"x" * (MAX_SMALL + 2)


class Counting(SimulatedStore):
    """Refuses to give a whole object of a size that nobody has looked at."""

    def get(self, key: str, *, version: str = "") -> bytes:
        raise AssertionError(f"all of {key} was asked for")


def test_an_object_is_read_to_its_bound_and_no_further() -> None:
    store = SimulatedStore()
    store.put("a", b"12345")
    assert get_at_most(store, "a", 5) == b"12345"
    with pytest.raises(Corrupt, match="4 bytes at most"):
        get_at_most(store, "a", 4)
    with pytest.raises(NoSuchObject):
        get_at_most(store, "b", 4)


def test_a_private_key_is_bounded() -> None:
    store = Counting()
    store.put("keys/web/a", b"MUNIKEY1" + bytes(MAX_SEALED))
    with pytest.raises(Corrupt):
        get_shard_key(store, b"s" * 32, "origin", "web", "a")


def test_a_policy_is_bounded() -> None:
    store = Counting()
    store.put(policy_key("web", 1), b" " * (MAX_POLICY + 1))
    with pytest.raises(Corrupt):
        recorded_in(Destination(store, Mode.OFF), "web")


def test_small_objects_of_a_shard_are_bounded() -> None:
    store = Counting()
    key = verifier_key("web", "a")
    store.put(key, HUGE)
    disk = StoreDisk(store, Inventory.of(store, ""))
    with pytest.raises(Corrupt):
        disk.object(key)
    with pytest.raises(Corrupt):
        disk.read(Path(key))
    assert disk.read(Path(key), 0, 3) == b"xxx"
    disk.close()


def test_a_local_file_is_read_to_the_bound_of_all_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(Connection.model_validate({"url": f"file://{tmp_path}/s"}), "local")
    store.put("a", b"12345")
    assert store.get("a") == b"12345"
    monkeypatch.setattr("muniment.store.local.MAX_OBJECT", 4)
    with pytest.raises(StoreFailing, match="over 4 bytes"):
        store.get("a")


def test_an_s3_server_cannot_send_more_than_the_part_that_was_asked_for() -> None:
    with bad_server(lambda *_: (206, {}, b"x" * 10_000)) as server:
        store = S3Store(connection(server.port), "primary")
        with pytest.raises(StoreFailing, match="over 9 bytes"):
            store.get_range("a", 0, 9)
        store.close()


def _s3(url: str) -> Store:
    port = int(url.rpartition(":")[2])
    return S3Store(connection(port), "primary")


def _azure(url: str) -> Store:
    pytest.importorskip("azure.storage.blob", reason="azure-storage-blob is not installed")
    from muniment.store.azure import AzureStore

    fields = {"url": "az://c", "endpoint": f"{url}/account", "timeout": 2}
    secret = {"access_key": "account", "secret_key": "sv=1&sig=SHOWN"}
    return AzureStore(Connection.model_validate(fields | secret), "azure")


def _gcs(url: str) -> Store:
    pytest.importorskip("google.cloud.storage", reason="google-cloud-storage is not installed")
    from muniment.store.gcs import GcsStore

    return GcsStore(Connection.model_validate({"url": "gs://b", "endpoint": url}), "gcs")


@pytest.mark.parametrize("opened", [_s3, _azure, _gcs])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nobody_is_sent_elsewhere(opened, status: int) -> None:  # type: ignore[no-untyped-def]
    asked: list[Asked] = []

    def other(request: Asked) -> Answer:
        asked.append(request)
        return Answer(200, b"stolen")

    with (
        served(other) as elsewhere,
        served(lambda _: Answer(status, headers={"Location": f"{elsewhere}/x"})) as url,
    ):
        store = opened(url)
        for call in (lambda: store.get("a"), lambda: store.put("a", b"secret")):
            with pytest.raises((StoreFailing, NoSuchObject)):
                call()
        store.close()
    assert asked == []


@pytest.mark.parametrize("endpoint", ["http://account.example", "ftp://x", "https://u:p@host"])
def test_a_connection_string_does_not_lead_past_tls(endpoint: str, tmp_path: Path) -> None:
    pytest.importorskip("azure.storage.blob", reason="azure-storage-blob is not installed")
    from muniment.store.azure_client import client_of

    file = tmp_path / "secret"
    file.write_text(f"BlobEndpoint={endpoint};AccountName=a;AccountKey=bXVuaW1lbnQ=\n")
    given = Connection.model_validate({"url": "az://c", "credentials": file})
    with pytest.raises(SettingsError, match="https") as caught:
        client_of(given)
    assert "bXVu" not in str(caught.value)
    file.write_text("BlobEndpoint=https://x.example;AccountName=a;AccountKey=bXVuaW1lbnQ=\n")
    assert client_of(given).url.startswith("https://x.example")


def test_pages_with_nothing_on_them_come_to_an_end() -> None:
    pages = iter(range(10_000))

    def page(*_: object) -> tuple[int, dict[str, str], bytes]:
        more = f"<IsTruncated>true</IsTruncated><NextKeyMarker>p/{next(pages)}</NextKeyMarker>"
        return 200, {}, f"<ListVersionsResult>{more}</ListVersionsResult>".encode()

    with bad_server(page) as server:
        store = S3Store(connection(server.port), "primary")
        with pytest.raises(StoreFailing, match="circles"):
            list(store.write_once.versions())
        store.close()
    assert next(pages) <= MAX_EMPTY + 1


def test_a_key_that_names_no_shard_is_passed_over() -> None:
    replication = object.__new__(Replication)
    replication.store = SimulatedStore()
    for name in ("a", "../../x", "a/b", "A b", ".a"):
        replication.store.put(f"keys/web/{name}", b"")
    assert replication.shards("web") == ["a"]
