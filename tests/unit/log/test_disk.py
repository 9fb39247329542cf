"""One behaviour of all disks, the real one and the simulated one; and what the latter may lose."""

from __future__ import annotations

import stat
from pathlib import Path
from random import Random

import pytest
from simulated_disk import Fault, PowerLoss, SimulatedDisk, at_first, at_step

from muniment.log.disk import Disk, PosixDisk, write_file


@pytest.fixture(params=["posix", "simulated"])
def disk_and_folder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Disk, Path]:
    disk: Disk = PosixDisk() if request.param == "posix" else SimulatedDisk()
    folder = (tmp_path if request.param == "posix" else Path()) / "a" / "b"
    disk.make_directory(folder)
    return disk, folder


Place = tuple[Disk, Path]


def test_a_file_grows_at_its_end(disk_and_folder: Place) -> None:
    disk, folder = disk_and_folder
    file = disk.create(folder / "f")
    file.write(b"one")
    file.write(b"")
    file.write(b"two")
    file.sync()
    assert file.size() == 6
    file.close()
    more = disk.append(folder / "f")
    more.write(b"three" * 1000)
    assert disk.size(folder / "f") == more.size() == 5006
    more.truncate(5)
    more.write(b"!")
    more.close()
    assert disk.read(folder / "f") == b"onetw!"


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, None, b"0123456789"),
        (3, 4, b"3456"),
        (8, 9, b"89"),
        (10, 1, b""),
        (99, 1, b""),
        (99, None, b""),
        (0, 0, b""),
    ],
)
def test_reads(disk_and_folder: Place, offset: int, length: int | None, expected: bytes) -> None:
    disk, folder = disk_and_folder
    write_file(disk, folder / "f", b"0123456789")
    assert disk.read(folder / "f", offset, length) == expected


def test_names_are_sorted_and_follow_renames_and_removals(disk_and_folder: Place) -> None:
    disk, folder = disk_and_folder
    for name in ("c", "a", "b"):
        disk.create(folder / name).close()
    disk.rename(folder / "c", folder / "a")
    assert disk.names(folder) == ["a", "b"]
    disk.remove(folder / "b")
    disk.sync_directory(folder)
    assert disk.names(folder) == ["a"]
    disk.rename(folder, folder.with_name("other"))
    assert disk.names(folder.parent) == ["other"]
    assert disk.names(folder.with_name("other")) == ["a"]


def test_what_is_there_or_not_there_raises(disk_and_folder: Place) -> None:
    disk, folder = disk_and_folder
    disk.create(folder / "f").close()
    with pytest.raises(FileExistsError):
        disk.create(folder / "f")
    for call in (disk.append, disk.read, disk.size, disk.remove, disk.names, disk.seal):
        with pytest.raises(FileNotFoundError):
            call(folder / "gone")
    with pytest.raises(FileNotFoundError):
        disk.create(folder / "gone" / "f")


def test_folders_are_made_with_all_above_them_and_once(disk_and_folder: Place) -> None:
    disk, folder = disk_and_folder
    disk.make_directory(folder / "c" / "d")
    disk.create(folder / "c" / "d" / "f").close()
    disk.make_directory(folder / "c" / "d")
    assert disk.names(folder / "c" / "d") == ["f"]


def test_a_file_is_put_whole_in_the_place_of_another(disk_and_folder: Place) -> None:
    disk, folder = disk_and_folder
    disk.create(folder / ".f.new").close()
    for data in (b"old", b"newer"):
        write_file(disk, folder / "f", data)
        assert disk.names(folder) == ["f"] and disk.read(folder / "f") == data
    disk.seal(folder / "f")
    write_file(disk, folder / "f", b"newest")
    assert disk.read(folder / "f") == b"newest"


def test_modes_on_a_real_disk(tmp_path: Path) -> None:
    disk = PosixDisk()
    write_file(disk, tmp_path / "private", b"", 0o600)
    write_file(disk, tmp_path / "public", b"")
    disk.seal(tmp_path / "public")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "public")]
    assert modes == [0o600, 0o444]


def test_writing_a_file_anew_leaves_the_old_or_the_new_one_whatever_happens() -> None:
    path = Path("f")
    for number in range(5):
        for fault in Fault:
            disk = SimulatedDisk()
            disk.poke(path, b"old" * 100)
            disk.plan = at_step(number, fault)
            try:
                write_file(disk, path, b"new" * 100)
            except (OSError, PowerLoss):
                disk = disk.killed()
            for seed in range(20):
                found = disk.after_power_loss(Random(seed)).read(path)
                assert found in (b"old" * 100, b"new" * 100)


def states(disk: SimulatedDisk, path: Path) -> set[bytes | None]:
    """What a power loss can leave of a file."""
    disks = [disk.after_power_loss(Random(seed)) for seed in range(300)]
    return {disk.read(path) if disk.exists(path) else None for disk in disks}


def test_the_simulated_disk_keeps_what_was_synced_and_no_more() -> None:
    disk, path = SimulatedDisk(), Path("f")
    file = disk.create(path)
    file.write(b"a" * 200)
    assert {None, b"", b"a" * 200} < states(disk, path)
    disk.sync_directory(Path())
    assert None not in states(disk, path) and b"" in states(disk, path)
    file.sync()
    assert states(disk, path) == {b"a" * 200}
    file.write(b"b" * 200)
    found = states(disk, path)
    assert all(data is not None and data.startswith(b"a" * 200) for data in found)
    torn = {data.rstrip(b"b") for data in found if data is not None}
    assert b"a" * 200 in torn and len(torn) > 1, "zeros where a page was lost"
    assert len(found) > 20
    file.truncate(100)
    assert {b"a" * 100, b"a" * 200} < states(disk, path)
    file.sync()
    assert states(disk, path) == {b"a" * 100}


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.DROPPED])
def test_after_a_failed_sync_later_ones_promise_nothing_for_what_was_there(fault: Fault) -> None:
    disk, path = SimulatedDisk(), Path("f")
    file = disk.create(path)
    disk.sync_directory(Path())
    file.write(b"a")
    disk.plan = at_first("sync", path, fault)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    assert disk.read(path) == (b"a" if fault is Fault.FAILED else b"")
    file.write(b"b")
    file.sync()
    assert (len(states(disk, path)) > 1) == (fault is Fault.FAILED)
    assert {data[-1:] for data in states(disk, path) if data is not None} == {b"b"}
