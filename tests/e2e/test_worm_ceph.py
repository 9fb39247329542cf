"""`worm check` on a real Ceph gateway: compliance, governance, a bucket without lock, and sabotage.

The gateway enforces Object Lock. What it does not do is said, and is no broken promise: it does
not fence in versioned buckets.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from muniment.settings.store import Connection
from muniment.store.names import segment_key
from muniment.store.opening import open_store
from muniment.store.port import Lock, Mode, Store
from muniment.store.worm import Expected, Report, Verdict, check_archive, check_wal
from muniment.store.worm.bench import LOCK

from .harness.ceph import Ceph

YEAR = timedelta(days=365)
SHORT = timedelta(seconds=16)
"""Of the lock of a check that has to be over soon; half of it must be enough for the check."""


def check(
    store: Store, connection: Connection, mode: Mode, *, length: timedelta = LOCK, **how: bool
) -> Report:
    expected = Expected(mode, {"default": YEAR})
    return check_archive(store, connection, expected, length=length, **how)


def verdicts(report: Report) -> dict[str, Verdict]:
    return {probe.name: probe.verdict for probe in report.probes}


def broken(report: Report) -> set[str]:
    return {probe.name for probe in report.broken}


def opened(ceph: Ceph, bucket: str) -> tuple[Store, Connection]:
    connection = ceph.connection(bucket, "evidence")
    return open_store(connection, "primary"), connection


def put(store: Store, first: int, mode: Mode, body: bytes = b"sealed") -> str:
    key = segment_key("default", "ab", first)
    lock = Lock(mode, datetime.now(UTC).replace(microsecond=0) + YEAR)
    store.put(key, body, sha256=sha256(body).digest(), lock=lock)
    return key


def test_compliance(ceph: Ceph) -> None:
    store, connection = opened(ceph, ceph.lock_bucket())
    put(store, 0, Mode.COMPLIANCE)
    report = check(store, connection, Mode.COMPLIANCE)
    assert report.ok, "\n".join(map(str, report.probes))
    found = verdicts(report)
    shown = {"put", "lock", "overwrite", "delete-key", "delete-version", "delete-version-bypass"}
    shown |= {"delete-many", "shorten", "soften", "unlock", "hold", "checksum", "past", "locks"}
    assert {name for name in shown if found[name] is not Verdict.KEPT} == set()
    assert found["if-absent"] is Verdict.NOT_SHOWN, "Ceph 16 does not fence where it locks"


def test_governance(ceph: Ceph) -> None:
    store, connection = opened(ceph, ceph.lock_bucket(mode="governance", days=1))
    put(store, 0, Mode.GOVERNANCE)
    report = check(store, connection, Mode.GOVERNANCE)
    assert report.ok, "\n".join(map(str, report.probes))
    found = verdicts(report)
    assert found["delete-version"] is Verdict.KEPT
    assert found["delete-version-bypass"] is found["soften"] is Verdict.NOT_SHOWN
    assert found["hold"] is Verdict.KEPT, "governance with bypass, and the hold holds"
    assert not list(store.write_once.versions("check/")), "governance leaves nothing"


def test_a_bucket_without_lock(ceph: Ceph) -> None:
    store, connection = opened(ceph, ceph.plain_bucket())
    assert check(store, connection, Mode.OFF).ok
    assert not list(store.list())
    assert broken(check(store, connection, Mode.COMPLIANCE)) >= {"object-lock", "versioning", "put"}
    assert not list(store.list())


def test_what_is_configured_must_be_what_is_there(ceph: Ceph) -> None:
    store, connection = opened(ceph, ceph.lock_bucket())
    put(store, 0, Mode.GOVERNANCE)
    report = check(store, connection, Mode.COMPLIANCE, everything=True)
    assert broken(report) == {"lock-of", "locks"}


def test_leftovers_go_once_their_lock_is_over(ceph: Ceph) -> None:
    store, connection = opened(ceph, ceph.lock_bucket())
    assert check(store, connection, Mode.COMPLIANCE, length=SHORT).ok
    left = list(store.write_once.versions("check/"))
    assert left, "compliance keeps what is locked"
    states = [store.write_once.state(one.key, version=one.version) for one in left]
    assert all(state.lock is not None and not state.hold for state in states)
    time.sleep(SHORT.total_seconds() + 2)
    assert check(store, connection, Mode.COMPLIANCE, length=SHORT).ok
    names = {one.version for one in store.write_once.versions("check/")}
    assert not names & {one.version for one in left}


def test_sabotage_is_found_and_undone(ceph: Ceph) -> None:
    bucket = ceph.lock_bucket()
    store, connection = opened(ceph, bucket)
    hidden, forged = (put(store, first, Mode.COMPLIANCE) for first in range(2))
    client = ceph.client(bucket)
    client.delete_object(Bucket=bucket, Key=f"evidence/{hidden}")
    client.put_object(Bucket=bucket, Key=f"evidence/{forged}", Body=b"forged")
    assert broken(check(store, connection, Mode.COMPLIANCE)) == {"hidden", "overwritten"}
    assert check(store, connection, Mode.COMPLIANCE, repair=True).repaired == 2
    assert store.get(hidden) == store.get(forged) == b"sealed"
    assert check(store, connection, Mode.COMPLIANCE).ok


def test_a_lifecycle_rule_is_found(ceph: Ceph) -> None:
    bucket = ceph.lock_bucket()
    store, connection = opened(ceph, bucket)
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
    ceph.client(bucket).put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
    )
    assert broken(check(store, connection, Mode.COMPLIANCE)) == {"lifecycle"}


@pytest.mark.parametrize("kind", ["plain", "versioned", "lock"])
def test_the_wal_store(ceph: Ceph, kind: str) -> None:
    bucket = getattr(ceph, f"{kind}_bucket")()
    report = check_wal(open_store(ceph.connection(bucket, "wal"), "wal"))
    assert report.ok is (kind == "plain"), "\n".join(map(str, report.probes))
