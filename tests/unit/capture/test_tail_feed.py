"""Following files: rotation, truncation, unfinished lines, long lines, and going on later."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest
from capture_parts import MemoryOutlet, SteppingClock
from hypothesis import given
from hypothesis import strategies as st

from muniment.capture.feeds.tail import Settings, finder
from muniment.capture.feeds.tail.feed import PIECE, Tail
from muniment.capture.feeds.tail.finder import Finder
from muniment.capture.feeds.tail.lines import Pattern, all_lines, grouped, whole_lines
from muniment.capture.parcel import MAX_RECORD
from muniment.capture.port import Stopped


class Following:
    """A tail that is moved by hand: each `look` is a second later."""

    def __init__(self, directory: Path, outlet: MemoryOutlet | None = None, **options: object):
        self.directory, self.clock = directory, SteppingClock()
        given_ = {"name": "access", "as": "text", "paths": ["*.log"], "parcel_age": 0.05, **options}
        settings = Settings.model_validate(given_, context={"folder": directory})
        self.outlet = outlet or MemoryOutlet()
        self.tail = Tail(settings, self.clock)
        self.finder = Finder(settings.paths, self.clock)
        self.tail._begin(self.finder, self.outlet)

    def look(self, times: int = 2, seconds: float = 1.0) -> list[bytes]:
        """Looks some times; returns all lines so far."""
        for _ in range(times):
            self.finder.look()
            while self.tail.round(self.finder, self.outlet):
                pass
            self.clock.seconds += seconds
        return self.outlet.records("text")

    def again(self, **options: object) -> Following:
        """Another run of the agent, behind what was put."""
        self.finder.close()
        return Following(self.directory, self.outlet, **options)

    def actions(self) -> list[str]:
        """What it said of itself."""
        return [event["action"] for event in self.outlet.events()]


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_lines_are_the_bytes_between_newlines(tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"one\r\n\n\xff\0two\n")
    following = Following(tmp_path)
    assert following.look() == [b"one\r", b"", b"\xff\0two"]
    append(tmp_path / "a.log", b"three\n")
    assert following.look()[3:] == [b"three"]
    assert following.outlet.puts[0][3] == {"file": str(tmp_path / "a.log")}


def test_an_unfinished_line_waits_for_its_end(tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"one\nhal")
    following = Following(tmp_path)
    assert following.look(5) == [b"one"]
    append(tmp_path / "a.log", b"f\n")
    assert following.look() == [b"one", b"half"]


def test_an_unfinished_line_is_taken_when_it_was_long_quiet(tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"one\nhalf")
    following = Following(tmp_path, idle=30)
    assert following.look(20) == [b"one"]
    assert following.look(20) == [b"one", b"half"]
    append(tmp_path / "a.log", b" and more\n")
    assert following.look() == [b"one", b"half", b" and more"]


def test_lines_wait_for_others_before_they_are_a_parcel(tmp_path: Path) -> None:
    following = Following(tmp_path, parcel_age=5)
    append(tmp_path / "a.log", b"one\n")
    assert following.look(3) == []
    append(tmp_path / "a.log", b"two\n")
    assert following.look(5) == [b"one", b"two"]
    assert len(following.outlet.puts) == 1


def test_a_renamed_file_is_read_to_its_end_before_the_new_one(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one\n")
    following = Following(tmp_path)
    following.look()
    append(log, b"two\n")
    log.rename(tmp_path / "a.log.1")
    append(log, b"new\n")
    assert following.look() == [b"one", b"two", b"new"]
    append(tmp_path / "a.log.1", b"late\nrest")
    assert following.look() == [b"one", b"two", b"new", b"late"]
    assert following.look(70)[4:] == [b"rest"]
    following.look(70)
    assert [file.path for file in following.finder.files] == [str(log)]
    assert following.actions() == []


def test_a_removed_file_is_read_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one\n")
    following = Following(tmp_path)
    following.look()
    append(log, b"two\n")
    log.unlink()
    assert following.look() == [b"one", b"two"]


def test_a_file_that_a_pattern_finds_under_its_new_name_is_the_same(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one\n")
    following = Following(tmp_path, paths=["a.log*"])
    following.look()
    log.rename(tmp_path / "a.log.1")
    append(log, b"two\n")
    (tmp_path / "a.log.2.gz").write_bytes(b"no line\n")
    assert following.look(100) == [b"one", b"two"]
    again = following.again(paths=["a.log*"])
    assert again.look(100) == [b"one", b"two"]


def test_a_cut_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one\ntwo\n")
    following = Following(tmp_path)
    following.look()
    os.truncate(log, 0)
    following.look()
    append(log, b"new\n")
    assert following.look() == [b"one", b"two", b"new"]
    assert following.actions() == ["capture.truncated"]


def test_a_cut_file_that_grew_back_is_noticed_by_its_first_bytes(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one\ntwo\n")
    following = Following(tmp_path)
    following.look()
    os.truncate(log, 0)
    append(log, b"another one\nand more of it\n")
    assert following.look() == [b"one", b"two", b"another one", b"and more of it"]


def test_another_run_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one\nhal")
    following = Following(tmp_path)
    following.look()
    append(log, b"f\nthree\n")
    log.rename(tmp_path / "old")
    append(log, b"four\n")
    again = following.again()
    assert again.look() == [b"one", b"half", b"three", b"four"]
    assert again.actions() == []


def test_a_file_that_went_while_nobody_looked_is_a_loss_that_is_told(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one\nunread")
    following = Following(tmp_path)
    following.look()
    inode = log.stat().st_ino
    log.unlink()
    again = following.again()
    assert again.look() == [b"one"]
    (event,) = again.outlet.events()
    assert event["action"] == "capture.lost"
    assert (event["file"], event["inode"]) == (str(log), inode)
    assert (event["read"], event["not_read"]) == (4, 6)
    again.again()
    assert len(again.outlet.events()) == 1, "it is told once"


def test_a_reused_inode_is_another_file(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"one\ntwo\n")
    following = Following(tmp_path)
    following.look()
    following.finder.close()
    log.write_bytes(b"other\nthings\nare here\n")  # the same inode, as after unlink and create
    again = following.again()
    assert again.look() == [b"one", b"two", b"other", b"things", b"are here"]
    assert again.actions() == ["capture.lost"]


def test_from_the_end_means_the_first_start_only(tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"old\nha")
    options = {"from": "end"}
    following = Following(tmp_path, **options)
    append(tmp_path / "a.log", b"lf\n")
    append(tmp_path / "b.log", b"new file\n")
    again = following.again(**options)
    append(tmp_path / "a.log", b"more\n")
    assert sorted(again.look()) == [b"half", b"more", b"new file"]


def test_a_line_that_no_record_can_hold_is_cut_and_told(tmp_path: Path) -> None:
    long = b"x" * (MAX_RECORD + 100)
    append(tmp_path / "a.log", b"one\n" + long + b"\ntwo\n")
    following = Following(tmp_path)
    found = following.look()
    assert [len(line) for line in found] == [3, MAX_RECORD, 100, 3]
    assert b"".join(found[1:3]) == long
    assert following.actions() == ["capture.cut"]


def test_a_line_longer_than_a_piece_is_one_record(tmp_path: Path) -> None:
    line = b"y" * (3 * PIECE + 17)
    append(tmp_path / "a.log", line + b"\nz\n")
    assert Following(tmp_path).look() == [line, b"z"]


def test_what_could_not_be_put_is_put_again(tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"one\n")
    following = Following(tmp_path)
    following.outlet.fail = Stopped()
    with pytest.raises(Stopped):
        following.look()
    assert following.look() == [b"one"]


def test_records_of_several_lines_begin_where_the_section_says(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"2026 one\n  at a\n  at b\n2026 two\n")
    following = Following(tmp_path, first_line="^2026")
    assert following.look() == [b"2026 one\n  at a\n  at b"]
    append(log, b"  at c\n")
    following.look(1)
    append(log, b"2026 three\n")
    expected = [b"2026 one\n  at a\n  at b", b"2026 two\n  at c"]
    assert following.look(2) == expected
    assert following.look(5) == [*expected, b"2026 three"]


def test_it_runs_in_a_thread_until_it_is_told_to_stop(tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"one\n")
    stopping = Event()

    class Stops(MemoryOutlet):
        def put(self, stream: str, source: str, records: object, **options: object) -> int:
            if records:
                stopping.set()
            return super().put(stream, source, records, **options)  # type: ignore[arg-type]

    outlet = Stops()
    settings = {"name": "access", "as": "text", "paths": [str(tmp_path / "*.log")]}
    Tail(Settings.model_validate(settings)).run(outlet, stopping)
    assert outlet.records("text") == [b"one"]


@pytest.mark.fuzz
@given(st.binary(max_size=200))
def test_no_byte_is_lost_between_lines(data: bytes) -> None:
    lines, taken = whole_lines(data)
    assert b"".join(line + b"\n" for line in lines) == data[:taken]
    assert b"\n" not in data[taken:]
    everything, size = all_lines(data)
    assert size == len(data)
    assert b"\n".join(everything).rstrip(b"\n") == data.rstrip(b"\n")


@pytest.mark.fuzz
@given(st.lists(st.sampled_from([b"2026 x", b" more", b"", b"2026"])))
def test_no_line_is_lost_between_records(lines: list[bytes]) -> None:
    import re

    first: Pattern = re.compile(rb"^2026")
    records, last = grouped(lines, first)
    assert b"\n".join(records) == b"\n".join(lines)
    assert all(first.match(record) for record in records[1:])
    assert last == (len(records[-1]) + 1 if records else 0)


@pytest.mark.fuzz
@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(["rename", "again"]))))
def test_all_bytes_of_a_rotated_file_are_captured(tmp_path_factory, steps: list) -> None:
    directory = tmp_path_factory.mktemp("logs")
    log = directory / "a.log"
    following = Following(directory)
    written, files = [b""], 0
    for step in steps:
        if step == "rename":
            if log.exists():
                files += 1
                log.rename(directory / f"a.log.{files}")
                written.append(b"")
        elif step == "again":
            following = following.again()
        else:
            append(log, step)
            written[-1] += step
        following.look(1)
    expected = [line for data in written for line in all_lines(data)[0]]
    assert sorted(following.look(200)) == sorted(expected)
    following.finder.close()


def test_what_rotates_while_the_spool_is_full_is_held_open(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    append(log, b"first\n")
    following = Following(tmp_path)
    for number in range(5):  # nothing is put meanwhile, but files are found
        append(log, b"file %d\n" % number)
        following.finder.look()
        log.rename(tmp_path / "old")
        (tmp_path / "old").unlink()
    expected = [b"first", *(b"file %d" % number for number in range(5))]
    assert following.look() == expected
    assert following.actions() == []


def test_files_beyond_the_bound_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muniment.capture.feeds.tail.finder.MAX_FILES", 2)
    for name in "abc":
        append(tmp_path / f"{name}.log", b"x\n")
    following = Following(tmp_path)
    assert following.look() == [b"x", b"x"]
    (event,) = following.outlet.events()
    assert event["action"] == "capture.not_followed"
    assert event["file"] == str(tmp_path / "c.log")


def test_a_name_that_is_no_utf_8_is_followed_like_any_other(tmp_path: Path) -> None:
    log = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.log"))
    append(log, b"one\n")
    following = Following(tmp_path)
    assert following.look() == [b"one"]
    append(log, b"two\n")
    again = following.again()
    assert again.look() == [b"one", b"two"]
    *_, (_, _, _, about) = again.outlet.puts
    assert about["file"].endswith("/caf\\udce9.log")
    following = again.again()
    log.unlink()
    gone = following.again()
    assert gone.actions() == ["capture.lost"]


def test_a_file_that_may_not_be_read_for_a_while_goes_on_behind_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, log = tmp_path / "a.log", tmp_path / "b.log"
    append(other, b"a1\n")
    append(log, b"b1\n")
    following = Following(tmp_path)
    following.look()
    append(other, b"a2\n")
    append(log, b"b2\n")
    opened = finder._open

    def refuse(path: str) -> int:
        if path == str(log):
            raise PermissionError(13, "Permission denied")
        return opened(path)

    monkeypatch.setattr(finder, "_open", refuse)
    again = following.again().again()
    assert again.look() == [b"a1", b"b1", b"a2"], "the others are read meanwhile"
    assert set(again.actions()) == {"capture.not_followed"}
    monkeypatch.setattr(finder, "_open", opened)
    assert again.look() == [b"a1", b"b1", b"a2", b"b2"]
    assert again.again().look() == [b"a1", b"b1", b"a2", b"b2"]


def test_what_cannot_be_opened_keeps_no_other_from_being_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path / "a.log", b"a\n")
    append(tmp_path / "b.log", b"b\n")
    opened = finder._open

    def fail(path: str) -> int:
        if path.endswith("a.log"):
            raise OSError(5, "Input/output error")
        return opened(path)

    monkeypatch.setattr(finder, "_open", fail)
    following = Following(tmp_path)
    assert following.look() == [b"b"]
    (event,) = following.outlet.events()
    assert (event["action"], event["reason"]) == ("capture.not_followed", "Input/output error")


def test_another_device_number_after_a_reboot_is_no_other_file(tmp_path: Path) -> None:
    append(tmp_path / "a.log", b"one\n")
    following = Following(tmp_path)
    following.look()
    (file,) = following.outlet.positions["access"]["files"]
    file["device"] += 1
    again = following.again()
    assert again.look() == [b"one"]
    assert again.actions() == []


def test_many_rotated_files_are_left_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.capture.feeds.tail.finder.MAX_FILES", 4)
    monkeypatch.setattr("muniment.capture.feeds.tail.feed.MAX_FILES", 4)
    following = Following(tmp_path)
    for number in range(20):
        append(tmp_path / "a.log", b"line %d\n" % number)
        following.look(3)
        (tmp_path / "a.log").rename(tmp_path / f"old.{number}")
    assert following.look() == [b"line %d" % number for number in range(20)]
    assert following.actions() == []
