"""Azure's versions, immutability policies and holds, against a stand-in made from its reference.

No emulator has them. Whether Azure itself does what its reference says was not tried.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

pytest.importorskip("azure.storage.blob", reason="azure-storage-blob is not installed")

from azure.core.exceptions import ClientAuthenticationError
from azure_double import AzureDouble, failed
from behaviour import keys_of
from behaviour_locks import LockBehaviour
from http_double import Answer, Asked, served

from muniment.errors import (
    MunimentError,
    NoSuchObject,
    SettingsError,
    StoreFailing,
    StoreLocked,
)
from muniment.settings.store import Connection
from muniment.store.azure import AzureStore
from muniment.store.azure_errors import translating
from muniment.store.port import Store

KEY = "bXVuaW1lbnQncyBvd24ga2V5IGZvciB0ZXN0cyBvbmx5ISEh"


def opened(url: str) -> AzureStore:
    return AzureStore(
        Connection(
            url="az://evidence/below",
            endpoint=f"{url}/account",
            access_key="account",
            secret_key=KEY,
            timeout=30,
        ),
        "azure",
    )


class TestAzureLocks(LockBehaviour):
    cannot: ClassVar = {"markers": "Azure has none; a deletion is undone by a copy: see below"}

    @pytest.fixture
    def lockable(self) -> Iterator[Store]:
        self.double = AzureDouble()
        with served(self.double.answer) as url:
            store = opened(url)
            yield store
            store.close()

    def test_a_deleted_blob_is_shown_and_comes_back(self, lockable: Store) -> None:
        version = lockable.put("a", b"evidence", lock=self.lock())
        self.double.bucket.hide("below/a")
        assert lockable.head("a") is None
        assert keys_of(lockable) == []
        assert lockable.get("a", version=version) == b"evidence"
        marker, first = lockable.write_once.versions()
        assert (marker.version, marker.marker, marker.latest) == ("deleted", True, True)
        assert (first.version, first.latest) == (version, False)
        lockable.write_once.remove_version("a", marker.version)
        assert lockable.get("a") == b"evidence"
        copy, first = lockable.write_once.versions()
        assert (copy.latest, copy.marker, first.version) == (True, False, version)


@pytest.mark.parametrize(
    ("status", "code", "wanted", "reason", "unknown"),
    [
        (404, "BlobNotFound", NoSuchObject, "", False),
        (404, "ContainerNotFound", StoreFailing, "refused", False),
        (409, "BlobImmutableDueToPolicy", StoreLocked, "", False),
        (409, "BlobImmutableDueToLegalHold", StoreLocked, "", False),
        (401, "InvalidAuthenticationInfo", StoreFailing, "credentials", False),
        (403, "AuthorizationFailure", StoreFailing, "credentials", False),
        (429, "TooManyRequests", StoreFailing, "busy", False),
        (503, "ServerBusy", StoreFailing, "busy", False),
        (500, "OperationTimedOut", StoreFailing, "slow", True),
        (500, "InternalError", StoreFailing, "busy", True),
        (507, "InsufficientStorage", StoreFailing, "full", False),
        (400, "InvalidHeaderValue", StoreFailing, "refused", False),
    ],
)
def test_errors(
    status: int, code: str, wanted: type[MunimentError], reason: str, unknown: bool
) -> None:
    asked: list[Asked] = []

    def answer(request: Asked) -> Answer:
        asked.append(request)
        return failed(status, code)

    with served(answer) as url, pytest.raises(wanted) as caught:
        opened(url).put("a", b"bytes")
    assert len(asked) == 1
    if isinstance(caught.value, StoreFailing):
        assert (caught.value.reason, caught.value.unknown) == (reason, unknown)


def test_the_bytes_go_with_their_md5() -> None:
    asked: list[Asked] = []
    double = AzureDouble()

    def answer(request: Asked) -> Answer:
        asked.append(request)
        return double.answer(request)

    with served(answer) as url:
        opened(url).put("a", b"bytes")
    assert asked[0].headers["content-md5"] == "SzpiGLs+OnMD6KFxpg/Pkg=="


def test_secrets_are_in_no_error(tmp_path: Path) -> None:
    file = tmp_path / "sas"
    file.write_text("sv=2024-01-01&sp=rw&sig=SECRET\n")
    connection = Connection(
        url="az://evidence", endpoint="http://127.0.0.1:9/a", account="a", credentials=file
    )
    with pytest.raises(StoreFailing) as caught:
        AzureStore(connection, "azure").put("a", b"x")
    told = "".join(traceback.format_exception(caught.value))
    assert "SECRET" not in told.replace(file.read_text(), "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("", "one line"), ("a\nb", "one line"), ("\xff", "no ASCII")],
)
def test_a_file_of_credentials_that_is_none(tmp_path: Path, text: str, wanted: str) -> None:
    file = tmp_path / "secret"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(SettingsError, match=wanted):
        AzureStore(Connection(url="az://evidence", account="a", credentials=file), "azure")


def test_a_connection_string(tmp_path: Path) -> None:
    double = AzureDouble()
    file = tmp_path / "connection"
    with served(double.answer) as url:
        file.write_text(f"AccountName=account;AccountKey={KEY};BlobEndpoint={url}/account;")
        AzureStore(Connection(url="az://evidence", credentials=file), "azure").put("a", b"x")
    assert double.bucket.contents() == {"a": b"x"}


def test_the_account_must_be_named() -> None:
    with pytest.raises(SettingsError, match="set account"):
        AzureStore(Connection(url="az://evidence"), "azure")


def test_a_machine_without_an_identity() -> None:
    """As azure-identity says it: an error of authentication that no service answered."""
    with pytest.raises(StoreFailing) as caught, translating("az://evidence/a", write=True):
        raise ClientAuthenticationError("DefaultAzureCredential failed: SECRET")
    assert (caught.value.reason, caught.value.unknown) == ("credentials", False)
    assert "SECRET" not in str(caught.value)
