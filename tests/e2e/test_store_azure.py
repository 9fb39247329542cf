"""The Azure store against Azurite, as far as that goes: bytes, conditions, pages, failures.

Azurite 3.37 has no blob versions, no immutability policies and no legal holds: what Muniment does
with those is tried in tests/unit/store/test_azure_policy.py, against the documented protocol only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

pytest.importorskip("azure.storage.blob", reason="azure-storage-blob is not installed")

from azure.storage.blob import BlobServiceClient, generate_container_sas
from pydantic import SecretStr

from muniment.errors import StoreFailing
from muniment.settings.store import Connection
from muniment.store.azure import AzureStore
from muniment.store.port import Mode, Store

from .harness.azurite import ACCOUNT, KEY, Azurite, azurite
from .harness.process import free_port
from .harness.suites import StoreBehaviour

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture
def connection(service: Azurite) -> Connection:
    container = f"evidence-{next(NUMBERS)}"
    with BlobServiceClient(service.endpoint, {"account_name": ACCOUNT, "account_key": KEY}) as made:
        made.create_container(container)
    return Connection(
        url=f"az://{container}/below/this",
        endpoint=service.endpoint,
        account=ACCOUNT,
        access_key=ACCOUNT,
        secret_key=KEY,
        timeout=20,
    )


@pytest.fixture
def store(connection: Connection) -> Iterator[AzureStore]:
    store = AzureStore(connection, "azure")
    yield store
    store.close()


class TestAzureStore(StoreBehaviour):
    cannot: ClassVar = {"every character": "Azure takes a backslash for a slash"}

    def test_keeps_a_lock_or_refuses_it(self, store: Store) -> None:
        """Azurite does neither: it takes the headers of a lock, and forgets them. That is seen."""
        store.put("a", b"bytes", lock=self.lock(Mode.GOVERNANCE))
        assert store.write_once.state("a").lock is None


@pytest.mark.parametrize("key", ["a\\b", "a./b", "a/..", "a/", "a."])
def test_names_that_azure_would_change_are_refused(store: AzureStore, key: str) -> None:
    with pytest.raises(StoreFailing, match="cannot be the name"):
        store.put(key, b"x")
    assert list(store.list()) == []


def test_most_characters_stand_for_themselves(store: AzureStore) -> None:
    signs = set(map(chr, range(0x20, 0x7F))) - set("\\./")
    keys = [f"k/a{sign}b" for sign in signs] + ["k/%41", "k/a b+c%20d"]
    for key in keys:
        store.put(key, key.encode())
    assert [found.key for found in store.list("k/")] == sorted(keys)
    for key in keys:
        assert store.get(key) == key.encode()


def test_azurite_cannot_lock_and_that_is_seen(store: AzureStore) -> None:
    state = store.write_once.bucket()
    assert (state.versioned, state.lockable) == (False, False)
    assert state.notes


def test_a_wrong_key_is_a_matter_of_credentials(connection: Connection) -> None:
    wrong = connection.model_copy(update={"secret_key": SecretStr("b3RoZXI=")})
    with pytest.raises(StoreFailing) as caught:
        AzureStore(wrong, "azure").put("a", b"x")
    assert (caught.value.reason, caught.value.unknown) == ("credentials", False)


@pytest.mark.parametrize(("permission", "allowed"), [("rwdlc", True), ("rl", False)])
def test_a_sas_in_a_file(
    connection: Connection, tmp_path: Path, permission: str, allowed: bool
) -> None:
    sas = generate_container_sas(
        ACCOUNT,
        connection.bucket,
        KEY,
        permission=permission,
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    file = tmp_path / "sas"
    file.write_text(f"?{sas}\n")
    update = {"access_key": None, "secret_key": None, "credentials": file}
    store = AzureStore(connection.model_copy(update=update), "azure")
    if allowed:
        store.put("a", b"x")
        assert store.get("a") == b"x"
        return
    with pytest.raises(StoreFailing) as caught:
        store.put("a", b"x")
    assert caught.value.reason == "credentials"
    assert "sig" not in f"{caught.value!r} {caught.value.__cause__} {caught.value.__context__}"


def test_no_such_container(connection: Connection) -> None:
    other = connection.model_copy(update={"url": "az://nobody-made-this"})
    with pytest.raises(StoreFailing, match="ContainerNotFound"):
        AzureStore(other, "azure").put("a", b"x")


def test_a_service_that_is_gone(connection: Connection) -> None:
    gone = connection.model_copy(update={"endpoint": f"http://127.0.0.1:{free_port()}/{ACCOUNT}"})
    with pytest.raises(StoreFailing) as caught:
        AzureStore(gone, "azure").put("a", b"x")
    assert (caught.value.reason, caught.value.unknown) == ("unreachable", False)
    assert KEY not in str(caught.value)


def test_more_than_one_request_holds(store: AzureStore, tmp_path: Path) -> None:
    body = bytes(range(256)) * (66 << 12)
    path = tmp_path / "body"
    path.write_bytes(body)
    assert store.put_if_absent("big", path) is not None
    assert store.put_if_absent("big", path) is None
    assert store.get("big") == body
    assert store.get_range("big", 65 << 20, 10) == body[65 << 20 :][:10]
