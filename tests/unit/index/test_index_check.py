"""The check of an index finds every change to any file, and nothing where nothing is wrong."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from index_fixture import Clock, add, open_index

from muniment.index import IndexDamaged, check_index
from muniment.index import table as table_module
from muniment.index.manifest import LOCK, NAME, PENDING

FLIPS_A_FILE = 24


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An index with commits, a checkpoint, a merge, and files that the merge has replaced."""
    directory = tmp_path_factory.mktemp("index") / "edge"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("muniment.index.merge.FAN_IN", 3)
        patch.setattr(table_module, "_CHECKPOINT_EVERY", 5)
        index = open_index(directory, Clock())
        for number in range(7):
            add(index, 3, day=number // 5)
            index.flush()
            index.merge()
        index.close()
    assert any((directory / "_delta_log").glob("*.checkpoint.parquet"))
    assert len(list(directory.glob("day=*/*"))) > len(index.snapshot.parts)
    yield directory


@pytest.fixture
def damaged(healthy: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(healthy, tmp_path / "edge"))


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file() and path.name != LOCK)


def named(directory: Path) -> set[str]:
    return {finding.file for finding in check_index(directory)}


def test_a_healthy_index_has_no_findings(healthy: Path) -> None:
    assert check_index(healthy) == []


def test_no_index_at_all_is_no_damage(tmp_path: Path) -> None:
    assert check_index(tmp_path / "none") == []


def test_every_flipped_bit_is_found_in_its_file(damaged: Path) -> None:
    draw = random.Random(7)
    for file in files(damaged):
        good = file.read_bytes()
        for bit in draw.sample(range(len(good) * 8), FLIPS_A_FILE):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            file.write_bytes(bad)
            assert check_index(damaged), f"bit {bit} of {file.name}"
            if file.name != NAME:
                assert str(file) in named(damaged), f"bit {bit} of {file.name}"
        file.write_bytes(good)
    assert check_index(damaged) == []


def test_every_truncation_is_found(damaged: Path) -> None:
    draw = random.Random(8)
    for file in files(damaged):
        good = file.read_bytes()
        for length in {0, 1, len(good) - 1, *(draw.randrange(len(good)) for _ in range(4))}:
            file.write_bytes(good[:length])
            assert check_index(damaged), f"{file.name} cut to {length}"
        file.write_bytes(good)


def test_a_manifest_without_its_last_lines_is_found(damaged: Path) -> None:
    good = (damaged / NAME).read_bytes()
    lines = good.splitlines(keepends=True)
    for count in range(len(lines)):
        (damaged / NAME).write_bytes(b"".join(lines[:count]))
        assert check_index(damaged), f"the first {count} lines"


def test_every_removed_file_is_found_unless_it_was_replaced(healthy: Path, damaged: Path) -> None:
    live = {path for path in files(healthy) if path.parent.name == "_delta_log"}
    live |= {healthy / part for part in parts_of(healthy)}
    live.add(healthy / NAME)
    for file in files(damaged):
        good = file.read_bytes()
        file.unlink()
        assert bool(check_index(damaged)) == (healthy / file.relative_to(damaged) in live)
        file.write_bytes(good)


def parts_of(directory: Path) -> set[str]:
    copy = directory.parent / "opened"
    shutil.copytree(directory, copy)
    index = open_index(copy)
    found = {part.path for part in index.snapshot.parts}
    index.close()
    shutil.rmtree(copy)
    return found


def test_every_pair_of_swapped_files_is_found(damaged: Path) -> None:
    every = files(damaged)
    for number, one in enumerate(every):
        for other in every[number + 1 :]:
            ours, theirs = one.read_bytes(), other.read_bytes()
            one.write_bytes(theirs)
            other.write_bytes(ours)
            assert check_index(damaged), f"{one.name} and {other.name}"
            one.write_bytes(ours)
            other.write_bytes(theirs)


@pytest.mark.parametrize(
    "name",
    ["stranger", "_delta_log/stranger", "day=2026-03-01/stranger", "day=2026-03-01/x.tmp"],
)
def test_every_extra_file_is_found(damaged: Path, name: str) -> None:
    (damaged / name).write_bytes(b"x")
    assert named(damaged) == {str(damaged / name)}


def test_a_second_copy_of_a_part_is_found(damaged: Path) -> None:
    part = sorted(damaged.glob("day=2026-03-01/*"))[0]
    copy = damaged / "day=2026-03-02" / part.name
    shutil.copy(part, copy)
    assert named(damaged) == {str(copy)}


def test_an_extra_folder_is_found(damaged: Path) -> None:
    (damaged / "more").mkdir()
    assert named(damaged) == {str(damaged / "more")}


@pytest.mark.parametrize("name", [LOCK, PENDING])
def test_the_empty_files_must_be_empty(damaged: Path, name: str) -> None:
    (damaged / name).write_bytes(b"x")
    assert str(damaged / name) in named(damaged)


def test_every_file_put_back_to_an_older_state_is_found(tmp_path: Path) -> None:
    directory, older = tmp_path / "edge", tmp_path / "older"
    index = open_index(directory)
    add(index, 3)
    index.flush()
    shutil.copytree(directory, older)
    add(index, 3)
    index.flush()
    index.close()
    changed = [
        path
        for path in files(older)
        if path.read_bytes() != (directory / path.relative_to(older)).read_bytes()
    ]
    assert [path.name for path in changed] == [NAME]
    shutil.copy(older / NAME, directory / NAME)
    assert named(directory) == {str(directory / "_delta_log" / f"{2:020d}.json")}


def test_an_index_is_not_used_when_its_delta_log_is_damaged(damaged: Path) -> None:
    file = sorted((damaged / "_delta_log").glob("*.json"))[-1]
    file.write_bytes(file.read_bytes().replace(b"numRecords", b"numRecorbs"))
    with pytest.raises(IndexDamaged, match="run `muniment index rebuild edge`"):
        open_index(damaged)


def test_an_index_is_not_used_when_a_part_is_missing_or_cut(healthy: Path, damaged: Path) -> None:
    for path in sorted(parts_of(healthy)):
        good = (damaged / path).read_bytes()
        (damaged / path).write_bytes(good[:-1])
        with pytest.raises(IndexDamaged, match="bytes instead of"):
            open_index(damaged)
        (damaged / path).unlink()
        with pytest.raises(IndexDamaged, match="is missing"):
            open_index(damaged)
        (damaged / path).write_bytes(good)


def test_a_damaged_part_is_not_read(damaged: Path) -> None:
    index = open_index(damaged)
    part = index.snapshot.parts[0]
    data = bytearray((damaged / part.path).read_bytes())
    data[len(data) // 2] ^= 1
    (damaged / part.path).write_bytes(data)
    with pytest.raises(IndexDamaged, match="SHA-256"):
        index.trusted(part)
    assert index.damage is not None
    index.close()


def test_every_flipped_bit_of_the_manifest_is_found(damaged: Path) -> None:
    good = (damaged / NAME).read_bytes()
    for place in range(len(good) * 8):
        data = bytearray(good)
        data[place // 8] ^= 1 << place % 8
        (damaged / NAME).write_bytes(data)
        assert check_index(damaged), place
