"""`worm check` on other real servers and on emulators: what each breaks is found, and named.

versitygw keeps compliance, but deletes a version on hold whose retention is over. Azurite and
fake-gcs-server are emulators without any lock: of these only the rest is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from muniment.settings.store import Connection
from muniment.store.opening import open_store
from muniment.store.port import Mode
from muniment.store.worm import Expected, Report, Verdict, check_archive, check_wal

from .harness.azurite import ACCOUNT, KEY, azurite
from .harness.fake_gcs import fake_gcs
from .harness.versitygw import VersityGateway, versity_gateway

LOG = {"default": timedelta(days=365)}


def check(connection: Connection, mode: Mode) -> Report:
    store = open_store(connection, "primary")
    try:
        return check_archive(store, connection, Expected(mode, LOG))
    finally:
        store.close()


def broken(report: Report) -> set[str]:
    return {probe.name for probe in report.broken}


@pytest.fixture(scope="module")
def versity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersityGateway]:
    with versity_gateway(tmp_path_factory.mktemp("versity")) as running:
        yield running


def test_versitygw(versity: VersityGateway) -> None:
    connection = versity.connection(versity.lock_bucket(), "evidence")
    report = check(connection, Mode.COMPLIANCE)
    told = "\n".join(map(str, report.probes))
    assert broken(report) == {"hold"}, told
    kept = {probe.name for probe in report.probes if probe.verdict is Verdict.KEPT}
    shown = {"overwrite", "delete-key", "delete-version", "delete-many", "shorten", "soften"}
    assert shown | {"unlock", "checksum", "past", "if-absent"} <= kept, told


def test_a_bucket_of_versitygw_without_lock_keeps_nothing_of_the_check(
    versity: VersityGateway,
) -> None:
    connection = versity.connection(versity.plain_bucket(), "evidence")
    assert broken(check(connection, Mode.COMPLIANCE)) >= {"object-lock", "versioning", "put"}
    store = open_store(connection, "primary")
    assert not list(store.list("check/")), "it answers 400 and keeps the object all the same"
    assert check_wal(store).ok


def test_azurite(tmp_path: Path) -> None:
    blob = pytest.importorskip("azure.storage.blob", reason="azure-storage-blob is not installed")
    with azurite(tmp_path) as running:
        account = {"account_name": ACCOUNT, "account_key": KEY}
        with blob.BlobServiceClient(running.endpoint, account) as service:
            service.create_container("evidence")
        connection = Connection.model_validate(
            {
                "url": "az://evidence/below/this",
                "endpoint": running.endpoint,
                "account": ACCOUNT,
                "access_key": ACCOUNT,
                "secret_key": KEY,
            }
        )
        report = check(connection, Mode.OFF)
        assert report.ok, "\n".join(map(str, report.probes))
        assert not list(open_store(connection, "primary").list("check/"))
        assert broken(check(connection, Mode.COMPLIANCE)) >= {"object-lock"}


def test_fake_gcs(tmp_path: Path) -> None:
    pytest.importorskip("google.cloud.storage", reason="google-cloud-storage is not installed")
    import httpx

    with fake_gcs(tmp_path) as endpoint:
        made = httpx.post(f"{endpoint}/storage/v1/b", json={"name": "evidence"}, timeout=20)
        assert made.status_code == 200, made.text
        connection = Connection.model_validate({"url": "gs://evidence/x", "endpoint": endpoint})
        report = check(connection, Mode.OFF)
        assert report.ok, "\n".join(map(str, report.probes))
        assert not list(open_store(connection, "primary").list("check/"))
        assert broken(check(connection, Mode.COMPLIANCE)) >= {"object-lock"}
