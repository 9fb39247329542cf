"""`muniment restore` and `muniment verify --store` as a person runs them, on a store of files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from archived_shard import FIRSTS, LOG, NAME, SIZE, WRITTEN, archive
from click.testing import CliRunner, Result

from muniment.cli import main
from muniment.data_directory import DataDirectory
from muniment.log.disk import PosixDisk
from muniment.settings.store import StoreSettings
from muniment.store.archive.recovery import evicted_item, note_evicted
from muniment.store.local import LocalStore
from muniment.store.names import segment_key, tree_key
from muniment.store.tree import Companion

CONFIG = """
logs = ["a"]
syslog = "off"
data = "{folder}/data"

[[store]]
url = "file://{folder}/primary"

[[store]]
name = "backup"
url = "file://{folder}/backup"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A primary store with everything, and a backup that has two segments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "muniment.toml").write_text(CONFIG.format(folder=tmp_path))
    for name, segments in (("primary", len(FIRSTS)), ("backup", 2)):
        url = {"url": f"file://{tmp_path}/{name}"}
        archive(LocalStore(StoreSettings.model_validate(url), name), segments=segments)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_store_is_restored_and_verified(folder: Path) -> None:
    answer = run("restore", "--from", "primary")
    assert answer.exit_code == 0, answer.output
    assert f"holds entries 0 to {SIZE - 1} of a/b" in answer.output
    assert f"{SIZE} entries indexed" in answer.output
    assert run("verify", folder / "data").exit_code == 0
    assert run("verify", "--store", "primary").exit_code == 0
    assert run("verify", "--store", f"file://{folder}/primary").exit_code == 0
    again = run("restore", "--from", "primary", "--no-index", "--json")
    assert json.loads(again.output)["shards"][0]["kept_segments"] == len(FIRSTS)


def test_a_lagging_store_says_what_the_others_have(folder: Path) -> None:
    answer = run("restore", "--from", "backup", "--no-index")
    assert answer.exit_code == 1
    missing = f"entries {FIRSTS[2]} to {SIZE - 1} are missing"
    assert f"(from the store primary) names {SIZE}: {missing}" in answer.output
    looked_at = run("verify", "--store", "backup")
    assert looked_at.exit_code == 0 and "lags behind primary" in looked_at.output
    whole = run("restore", "--from", "primary", "--no-index")
    assert whole.exit_code == 0, whole.output
    assert run("verify", folder / "data").exit_code == 0


def test_a_kept_receipt_says_more_than_any_store(folder: Path) -> None:
    (folder / "receipt").write_text(WRITTEN.receipts[-1])
    answer = run("restore", "--from", f"file://{folder}/backup", "--trust", "receipt", "--no-index")
    assert answer.exit_code == 1 and "(from --trust)" in answer.output


def test_damage_in_the_store_is_named(folder: Path) -> None:
    path = folder / "primary" / segment_key(LOG, NAME, FIRSTS[1])
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    answer = run("verify", "--store", "primary", "--json")
    assert answer.exit_code == 1 and segment_key(LOG, NAME, FIRSTS[1]) in answer.output
    answer = run("restore", "--from", "primary")
    assert answer.exit_code == 1
    assert f"but not {FIRSTS[1]} to {FIRSTS[2] - 1}" in answer.output


def test_a_directory_in_use_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muniment.data_directory.LOCK_PAUSE", 0)
    directory = DataDirectory(folder / "data", PosixDisk(), os.urandom)
    directory.claim()
    answer = run("restore", "--from", "primary")
    assert answer.exit_code != 0 and not any((folder / "data" / "logs").iterdir())
    directory.release()


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify",),
        ("verify", "data", "--store", "primary"),
        ("verify", "data", "--repair"),
        ("verify", "--store", "elsewhere"),
        ("restore", "--from", "elsewhere"),
        ("restore", "--from", "ftp://x"),
        ("restore", "--from", "primary", "--log", "none"),
    ],
)
def test_wrong_use_is_no_verdict(folder: Path, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code not in (0, 1) or run(*arguments).exception is not None
    assert not (folder / "data" / "logs" / "a").exists()


def test_a_directory_whose_segments_are_in_the_store_is_read_through_it(folder: Path) -> None:
    assert run("restore", "--from", "primary").exit_code == 0
    store = LocalStore(StoreSettings.model_validate({"url": f"file://{folder}/primary"}), "primary")
    data, items = folder / "data", {}
    for first in FIRSTS[:2]:
        tree = store.get(tree_key(LOG, NAME, first))
        companion = Companion.decode(tree, "")
        items[first] = evicted_item("primary", companion, tree, ("", ""), 0)
        (data / segment_key(LOG, NAME, first)).unlink()
    (data / "archive").mkdir()
    note_evicted(PosixDisk(), data / "archive", LOG, NAME, items)
    answer = run("verify", data)
    assert answer.exit_code == 0, answer.output
    (folder / "muniment.toml").rename(folder / "elsewhere.toml")
    answer = run("verify", data)
    assert answer.exit_code == 1 and "name the node's settings with --config" in answer.output
    assert run("verify", data, "--config", folder / "elsewhere.toml").exit_code == 0
