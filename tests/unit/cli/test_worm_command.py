"""`muniment worm check` from settings: what it prints, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment.store.local_attribute import set_immutable

from .conftest import Run


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """Settings with a store in a directory."""
    path = tmp_path / "muniment.toml"
    path.write_text(f'[[store]]\nname = "primary"\nurl = "file://{tmp_path}/store"\n')
    yield path
    for file in tmp_path.rglob("*"):
        if file.is_file() and not file.is_symlink():
            set_immutable(file, False)


def test_each_line_says_what_was_tried(run: Run, config: Path) -> None:
    result = run("worm", "check", "--config", config)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("primary file://")
    assert "put with lock and checksum, read back: must give the same bytes" in result.output
    assert "not shown here" in result.output and "BROKEN" not in result.output


def test_as_json(run: Run, config: Path) -> None:
    (store,) = json.loads(run("worm", "check", "--config", config, "--json").stdout)["stores"]
    assert store["store"] == "primary" and store["ok"] is True
    assert {"probe", "tried", "must", "happened", "verdict", "key"} == set(store["probes"][0])


def test_a_broken_promise_is_exit_code_1(run: Run, config: Path) -> None:
    with config.open("a") as file:
        file.write('lock = "compliance"\n')  # and no minimum: nothing is ever locked
    result = run("worm", "check", "--config", config)
    assert result.exit_code == 1
    assert "BROKEN" in result.output and "nothing locks it" in result.output


@pytest.mark.parametrize("named", ["primary", "url"])
def test_one_store_by_name_or_url(run: Run, config: Path, tmp_path: Path, named: str) -> None:
    with config.open("a") as file:
        file.write(f'[[store]]\nname = "backup"\nurl = "file://{tmp_path}/none/such"\n')
    assert run("worm", "check", "--config", config).exit_code == 2, "one cannot be asked"
    name = f"file://{tmp_path}/store" if named == "url" else named
    assert run("worm", "check", "--config", config, "--store", name).exit_code == 0


def test_no_store(run: Run, config: Path, tmp_path: Path) -> None:
    result = run("worm", "check", "--config", config, "--store", "other")
    assert result.exit_code == 2 and "'other'" in result.output
    config.write_text("")
    result = run("worm", "check", "--config", config)
    assert result.exit_code == 2 and "no store" in result.output
    assert run("worm", "check", "--config", tmp_path / "nothing.toml").exit_code == 2
