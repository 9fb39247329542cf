"""Google's generations, retentions and holds, against a stand-in made from its reference.

No emulator enforces them. Whether Google itself does what its reference says was not tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

pytest.importorskip("google.cloud.storage", reason="google-cloud-storage is not installed")

from behaviour import keys_of
from behaviour_locks import LockBehaviour
from gcs_double import GcsDouble, failed
from http_double import Answer, Asked, served

from muniment.errors import (
    MunimentError,
    NoSuchObject,
    SettingsError,
    StoreFailing,
    StoreLocked,
)
from muniment.settings.store import Connection
from muniment.store.gcs import GcsStore
from muniment.store.port import Mode, Store


def opened(url: str) -> GcsStore:
    return GcsStore(Connection(url="gs://evidence/below", endpoint=url, timeout=30), "gcs")


class TestGcsLocks(LockBehaviour):
    cannot: ClassVar = {"markers": "Google has none; a deletion is undone by a copy: see below"}

    @pytest.fixture
    def lockable(self) -> Iterator[Store]:
        self.double = GcsDouble()
        with served(self.double.answer) as url:
            store = opened(url)
            yield store
            store.close()

    def test_a_deleted_object_is_shown_and_comes_back(self, lockable: Store) -> None:
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
    ("status", "reason", "message", "wanted", "told", "unknown"),
    [
        (404, "notFound", "The specified bucket does not exist.", StoreFailing, "refused", False),
        (403, "retentionPolicyNotMet", "no", StoreLocked, "", False),
        (403, "forbidden", "Object is under active Temporary hold", StoreLocked, "", False),
        (403, "forbidden", "no access", StoreFailing, "credentials", False),
        (
            403,
            "forbidden",
            "x has no storage.objects.setRetention",
            StoreFailing,
            "credentials",
            False,
        ),
        (401, "authError", "no", StoreFailing, "credentials", False),
        (429, "rateLimitExceeded", "no", StoreFailing, "busy", False),
        (503, "backendError", "no", StoreFailing, "busy", False),
        (500, "backendError", "no", StoreFailing, "busy", True),
        (504, "backendError", "no", StoreFailing, "slow", True),
        (403, "quotaExceeded", "no", StoreFailing, "full", False),
        (400, "invalid", "no", StoreFailing, "refused", False),
    ],
)
def test_errors(
    status: int, reason: str, message: str, wanted: type[MunimentError], told: str, unknown: bool
) -> None:
    asked: list[Asked] = []

    def answer(request: Asked) -> Answer:
        asked.append(request)
        return failed(status, reason, message)

    with served(answer) as url, pytest.raises(wanted) as caught:
        opened(url).put("a", b"bytes")
    assert len(asked) == 1
    if isinstance(caught.value, StoreFailing):
        assert (caught.value.reason, caught.value.unknown) == (told, unknown)


def test_the_retention_of_the_bucket_counts_for_its_objects() -> None:
    double = GcsDouble(
        retentionPolicy={"retentionPeriod": str(30 * 86_400), "isLocked": True},
        lifecycle={"rule": [{"action": {"type": "Delete"}, "condition": {"age": 400}}]},
    )
    expires = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)

    def answer(request: Asked) -> Answer:
        found = double.answer(request)
        if request.path.endswith("/below%2Fa"):
            late = f'"retentionExpirationTime": "{expires:%Y-%m-%dT%H:%M:%SZ}", "name"'
            return Answer(200, found.body.replace(b'"name"', late.encode(), 1), found.headers)
        return found

    with served(answer) as url:
        store = opened(url)
        state = store.write_once.bucket()
        assert (state.default_mode, state.default_days) == (Mode.COMPLIANCE, 30)
        assert state.expires == ("Delete where {'age': 400}",)
        store.put("a", b"x")
        lock = store.write_once.state("a").lock
    assert lock is not None and (lock.mode, lock.until) == (Mode.COMPLIANCE, expires)


def test_no_such_generation() -> None:
    with served(GcsDouble().answer) as url:
        store = opened(url)
        store.put("a", b"x")
        for version in ("nonsense", "999"):
            with pytest.raises(NoSuchObject):
                store.get("a", version=version)
            assert store.head("a", version=version) is None


def test_a_key_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text('{"private_key": "SECRET"}')
    store = GcsStore(Connection(url="gs://evidence", credentials=file), "gcs")
    with pytest.raises(SettingsError, match="no service account's key") as caught:
        store.get("a")
    assert "SECRET" not in str(caught.value)
