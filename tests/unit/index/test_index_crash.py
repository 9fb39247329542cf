"""A crash or a failed sync at any step of a commit: nothing doubled, nothing missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from index_fixture import SHARD, add, all_rows, expected_rows, open_index

from muniment.index import IndexDamaged, IndexInUse, check_index
from muniment.index import manifest as manifest_module
from muniment.index import table as table_module


class PowerCut(BaseException):
    """The process is gone at this point."""


class FailingSync:
    """Fails at the `at`th call, and is fine before and after."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.calls = 0
        self._at = at
        self._error = error

    def __call__(self, handle: int) -> None:
        self.calls += 1
        if self.calls == self._at:
            raise self._error


def a_life(directory: Path, sync: Callable[[int], None]) -> None:
    """Three flushes of several rows, a merge and a checkpoint."""
    index = open_index(directory, sync=sync)
    try:
        for _ in range(3):
            add(index, 4)
            index.flush()
        index.merge()
        add(index, 2)
        index.flush()
    finally:
        os.close(index._table._handle)


def syncs_of_a_life(tmp_path: Path) -> int:
    counter = FailingSync(0, PowerCut())
    a_life(tmp_path / "counted", counter)
    return counter.calls


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muniment.index.merge.FAN_IN", 3)
    monkeypatch.setattr(table_module, "_CHECKPOINT_EVERY", 4)


def finish(directory: Path) -> list[tuple[str, int, str]]:
    """What the next process does: open, take up at the cursor, and end in order."""
    index = open_index(directory)
    add(index, 14 - index.next_index(SHARD))
    index.flush()
    rows = all_rows(index)
    index.close()
    return rows


def test_a_crash_at_any_sync_loses_and_doubles_nothing(tmp_path: Path) -> None:
    steps = syncs_of_a_life(tmp_path)
    assert steps > 25
    for step in range(1, steps + 1):
        directory = tmp_path / str(step)
        with pytest.raises(PowerCut):
            a_life(directory, FailingSync(step, PowerCut()))
        assert check_index(directory) == [], f"before the restart, step {step}"
        assert finish(directory) == expected_rows(14), f"step {step}"
        assert check_index(directory) == [], f"after the restart, step {step}"


def test_a_failed_sync_is_overcome_in_the_same_process(tmp_path: Path) -> None:
    for step in range(1, syncs_of_a_life(tmp_path) + 1):
        directory = tmp_path / str(step)
        sync = FailingSync(step, OSError(28, "no space"))
        try:
            index = open_index(directory, sync=sync)
        except OSError:
            index = open_index(directory, sync=sync)
        while index.next_index(SHARD) < 14:
            add(index, 2)
            try:
                index.flush()
                index.merge()
            except OSError:
                index.reopen()
        index.close()
        assert finish(directory) == expected_rows(14), f"step {step}"
        assert check_index(directory) == [], f"step {step}"


def test_a_torn_commit_file_is_dropped(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    add(index, 5)
    index.flush()
    index.close()
    (tmp_path / manifest_module.PENDING).touch()
    (tmp_path / "_delta_log" / f"{2:020d}.json").write_bytes(b'{"add":{"path":"x"')
    assert finish(tmp_path) == expected_rows(14)


def test_a_torn_line_of_the_manifest_is_mended_only_after_a_crash(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    add(index, 5)
    index.flush()
    index.close()
    manifest = tmp_path / manifest_module.NAME
    manifest.write_bytes(manifest.read_bytes()[:-20])
    with pytest.raises(IndexDamaged, match="index damaged: edge: SHA256SUMS: line 2 is not whole"):
        open_index(tmp_path)
    (tmp_path / manifest_module.PENDING).touch()
    assert finish(tmp_path) == expected_rows(14)
    assert check_index(tmp_path) == []


def test_one_process_at_a_time_has_the_index_open(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    with pytest.raises(IndexInUse):
        open_index(tmp_path)
    index.close()
    open_index(tmp_path).close()
