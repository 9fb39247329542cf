"""`worm check` over the real SDK against moto, whose known lies it must find.

moto is no proof of anything: shortening, softer modes, dates in the past and damaged bytes
succeed. So it shows that the S3 probes ask what they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

pytest.importorskip("moto")
pytest.importorskip("boto3")

from moto.server import ThreadedMotoServer

from muniment.settings.store import Connection
from muniment.store.opening import open_store
from muniment.store.port import Mode
from muniment.store.s3_client import client_of
from muniment.store.worm import Expected, Report, Verdict, check_archive, check_wal

LOG = {"default": timedelta(days=365)}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def connection(endpoint: str, bucket: str, **lock: bool) -> Connection:
    found = Connection.model_validate(
        {
            "url": f"s3://{bucket}/evidence",
            "endpoint": endpoint,
            "region": "us-east-1",
            "access_key": "test",
            "secret_key": "test-secret",
        }
    )
    client_of(found).create_bucket(Bucket=bucket, **lock)
    return found


def check(found: Connection, mode: Mode) -> Report:
    store = open_store(found, "primary")
    return check_archive(store, found, Expected(mode, LOG), length=timedelta(seconds=20))


def test_the_known_lies_of_moto_are_found(endpoint: str) -> None:
    found = connection(endpoint, "locked", ObjectLockEnabledForBucket=True)
    report = check(found, Mode.COMPLIANCE)
    broken = {probe.name for probe in report.broken}
    assert {"shorten", "soften", "past", "checksum"} <= broken, list(map(str, report.probes))
    kept = {probe.name for probe in report.probes if probe.verdict is Verdict.KEPT}
    assert {"put", "overwrite", "delete-key", "delete-version", "versioning"} <= kept


def test_a_bucket_without_lock(endpoint: str) -> None:
    found = connection(endpoint, "plain")
    broken = {probe.name for probe in check(found, Mode.COMPLIANCE).broken}
    assert broken >= {"versioning", "object-lock"}
    assert {probe.name for probe in check(found, Mode.OFF).broken} == {"checksum"}
    assert check_wal(open_store(found, "wal")).ok
