"""Books say what they were told, are written whole, and can be anything without doing harm."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from carried_shard import LOG, SHARD, Node, settle
from hypothesis import given
from hypothesis import strategies as st

from muniment.log.disk import PosixDisk
from muniment.store.archive.books import FLUSH_SECONDS, Books, Copy, Item, Thing, read_items
from muniment.store.archive.catalog import remote_of

DIGEST = "ab" * 32
FIRST = f"{7:020d}"


def item(evicted: bool = False) -> Item:
    copies = {"primary": Copy(["v1", "v2"], 5, 6)}
    return Item([Thing(1, DIGEST), Thing(2, DIGEST)], 4, 9, evicted, copies)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path, clock = tmp_path / "archive" / "edge.ab.json", Clock()
    books = Books(PosixDisk(), path, clock)
    with books.change() as items:
        items[FIRST] = item(evicted=True)
    books.flush()
    again = Books(PosixDisk(), path, clock)
    assert again.items() == [(FIRST, item(evicted=True))]
    assert path.stat().st_mode & 0o777 == 0o600
    assert again.forget(FIRST)
    assert not again.forget(FIRST)
    again.flush()
    assert read_items(PosixDisk(), path) == {}


def test_they_are_not_written_too_often_unless_it_matters(tmp_path: Path) -> None:
    path, clock = tmp_path / "edge.ab.json", Clock()
    books = Books(PosixDisk(), path, clock)
    with books.change() as items:
        items[FIRST] = item()
    books.flush()
    with books.change() as items:
        items[FIRST].evicted = True
    books.flush()
    assert read_items(PosixDisk(), path) == {FIRST: item()}
    books.flush(now=True)
    assert read_items(PosixDisk(), path) == {FIRST: item(evicted=True)}
    before = path.stat().st_ino
    clock.now += FLUSH_SECONDS
    books.flush(now=True)
    assert path.stat().st_ino == before  # nothing has changed


class SlowDisk(PosixDisk):
    """A disk whose syncs of a directory take until they may end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = Event(), Event()

    def sync_directory(self, path: Path) -> None:
        self.begun.set()
        assert self.may_end.wait(60)
        super().sync_directory(path)


def test_nobody_but_who_writes_waits_for_the_disk(tmp_path: Path) -> None:
    path, disk = tmp_path / "edge.ab.json", SlowDisk()
    books = Books(disk, path, Clock())

    def put(evicted: bool) -> list[tuple[str, Item]]:
        with books.change() as items:
            items[FIRST] = item(evicted)
        return books.items()

    put(False)
    with ThreadPoolExecutor(2) as pool:
        try:
            writing = pool.submit(books.flush, now=True)
            assert disk.begun.wait(60)
            assert pool.submit(put, True).result(10) == [(FIRST, item(evicted=True))]
        finally:
            disk.may_end.set()
        writing.result(60)
    assert read_items(disk, path) == {FIRST: item()}
    books.flush(now=True)
    assert read_items(disk, path) == {FIRST: item(evicted=True)}, "what came meanwhile is not lost"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(DIGEST),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@pytest.mark.fuzz
@given(st.sampled_from(["", "things", "since", "size", "evicted", "copies"]), values, st.text())
def test_any_file_is_books_or_none(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: object, name: str
) -> None:
    """Of sound books one field is another, or the whole file is."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    sound = {
        "things": [{"length": 1, "digest": DIGEST}, {"length": 2, "digest": DIGEST}],
        "since": 4,
        "size": 9,
        "evicted": True,
        "copies": {"primary": {"versions": ["v1", "v2"], "until": 5, "confirmed": 6}},
    }
    whole = {FIRST: sound | {field: value}, name: sound} if field else value
    path.write_text(json.dumps(whole), "utf-8", "replace")
    items = read_items(PosixDisk(), path)
    if items is not None:
        assert set(remote_of(items, "primary")) <= {7}


def test_books_of_another_shape_are_found_out_again(node: Node) -> None:
    settle(node.archive())
    path = node.books / f"{LOG}.{SHARD}.json"
    items = json.loads(path.read_bytes())
    items["x"] = items.pop("verifier")
    path.write_text(json.dumps(items))
    archive = node.archive()
    settle(archive)
    assert archive.covered(LOG, SHARD) == node.size


def test_a_listener_that_fails_is_told_again(node: Node) -> None:
    from dataclasses import replace

    from muniment.errors import StoreFailing

    archive = node.archive()
    failing = [True]

    def confirmed(log: str, shard: str, size: int) -> None:
        if failing[0]:
            raise StoreFailing("the write-ahead store is away")
        node.covered.append(size)

    archive._rules = replace(archive._rules, confirmed=confirmed)
    settle(archive)
    assert archive.status().stores[0].trouble == ""
    assert node.covered == []
    failing[0] = False
    settle(archive)
    assert node.covered == [node.size]
