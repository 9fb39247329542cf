"""Attachments of a data directory: on the disk, or in the store behind it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from archived_shard import LOG, NAME
from simulator import SimulatedStore
from small_shard import DIRECTORY
from test_verify_store_attachments import BODY, KEY, WRITTEN

from muniment.log.report import Report, ShardReport
from muniment.trust.local_attachments import find_attachments


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """A data directory in `tmp_path` whose first entry names an attachment that is not there."""
    folder = tmp_path / "logs" / LOG / NAME
    for path, data in WRITTEN.disk.files().items():
        place = folder / path.relative_to(DIRECTORY)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return Report([ShardReport(str(folder), size=len(WRITTEN.entries))])


def found(data: Path, report: Report, store: SimulatedStore | None) -> list[str]:
    return [str(one) for one in find_attachments(data, report, None, lambda: store)]


def test_what_is_nowhere_is_found(tmp_path: Path, report: Report) -> None:
    (problem,) = found(tmp_path, report, None)
    assert f"{NAME}/0" in problem and "which is not there" in problem
    assert found(tmp_path, report, SimulatedStore("primary")) == [problem]


def test_what_is_in_the_store_is_read_there(tmp_path: Path, report: Report) -> None:
    store = SimulatedStore("primary")
    store.put(KEY, BODY)
    assert found(tmp_path, report, store) == []
    store.backing.poke(KEY, BODY[:-1] + b"!")
    (problem,) = found(tmp_path, report, store)
    assert "SHA-256" in problem


def test_what_is_on_the_disk_needs_no_store(tmp_path: Path, report: Report) -> None:
    name = sha256(BODY).hexdigest()
    place = tmp_path / "attachments" / LOG / name[:2] / name
    place.parent.mkdir(parents=True)
    place.write_bytes(BODY)
    store = SimulatedStore("primary")
    assert found(tmp_path, report, store) == []
    assert store.calls == []
