"""The journal: what was sent is recorded durably, by one process at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muniment.cli.sending.journal import Destination, Flight, InUse, Journal, Sent
from muniment.cli.sending.source import Identity
from muniment.errors import SettingsError

TO = Destination("http://127.0.0.1:8470", "default", "haproxy", "text/plain")
FILE = Identity(5, 1234, "/var/log/a.log")

texts = st.text(max_size=20)
numbers = st.integers(0, 1 << 62)
records = st.builds(
    Sent,
    device=numbers,
    inode=numbers,
    path=texts,
    head=st.tuples(numbers, texts),
    tail=st.tuples(numbers, texts),
    offset=numbers,
    lines=numbers,
    open_line=st.booleans(),
    generation=texts,
    shard=texts,
    next=numbers,
    receipt=texts,
    flight=st.none() | st.builds(Flight, offset=numbers, end=numbers, digest=texts, id=texts),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(records)
def test_a_record_is_read_as_it_was_written(tmp_path: Path, sent: Sent) -> None:
    with Journal.lock(tmp_path, TO, FILE) as journal:
        journal.write(sent)
    with Journal.lock(tmp_path, TO, FILE) as journal:
        assert journal.sent == replace(sent, path=FILE.path)


def test_another_destination_or_file_has_a_record_of_its_own(tmp_path: Path) -> None:
    with Journal.lock(tmp_path, TO, FILE) as journal:
        journal.write(Sent(5, 1234, FILE.path, offset=7))
    for to, file in (
        (replace(TO, log="other"), FILE),
        (replace(TO, source="nginx"), FILE),
        (replace(TO, url="http://elsewhere"), FILE),
        (TO, replace(FILE, inode=99)),
        (TO, replace(FILE, device=6, path="/mnt/other/a.log")),
    ):
        with Journal.lock(tmp_path, to, file) as journal:
            assert journal.sent is None


def test_a_file_is_known_by_its_path_when_device_numbers_change(tmp_path: Path) -> None:
    with Journal.lock(tmp_path, TO, FILE) as journal:
        journal.write(Sent(5, 1234, FILE.path, offset=7))
    with Journal.lock(tmp_path, TO, replace(FILE, device=6)) as journal:
        assert journal.sent is not None and journal.sent.offset == 7


def test_a_second_process_is_turned_away(tmp_path: Path) -> None:
    with (
        Journal.lock(tmp_path, TO, FILE),
        pytest.raises(InUse, match="another process"),
        Journal.lock(tmp_path, TO, FILE),
    ):
        pass


def test_a_damaged_record_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with Journal.lock(tmp_path, TO, FILE) as journal:
        journal.write(Sent(5, 1234, FILE.path, offset=7))
    (path,) = tmp_path.glob("*.json")
    path.write_text(path.read_text()[:-9])
    with (
        pytest.raises(SettingsError, match="remove it to send the file"),
        Journal.lock(tmp_path, TO, FILE),
    ):
        pass


def test_the_id_of_a_batch_depends_on_file_place_content_and_generation() -> None:
    sent = Sent(1, 2, "a", head=(3, "x"))
    ids = {
        sent.batch_id(0, "d"),
        sent.batch_id(1, "d"),
        sent.batch_id(0, "e"),
        replace(sent, generation="g").batch_id(0, "d"),
        replace(sent, inode=3).batch_id(0, "d"),
        replace(sent, head=(3, "y")).batch_id(0, "d"),
    }
    assert len(ids) == 6
    assert sent.batch_id(0, "d") == replace(sent, path="renamed").batch_id(0, "d")
