"""Search returns each row that matches once, page by page, whatever happens meanwhile."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from query_fixture import BASE, append, ask, every_page, index_in, places, row

from muniment.errors import Overloaded, QueryError
from muniment.index import IndexDamaged
from muniment.index.log_index import LogIndex
from muniment.query.cursor import decode_cursor
from muniment.query.engine import Engine
from muniment.query.search import Request, search

SHARDS = ("aaaa", "bbbb")
STEP = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from(SHARDS),
        st.lists(st.integers(0, 12), min_size=1, max_size=8),
    ),
    st.tuples(st.just("flush")),
    st.tuples(st.just("merge")),
)


def do(index: LogIndex, step: tuple[object, ...]) -> None:
    match step:
        case ("add", str(shard), list(times)):
            first = index.next_index(shard)
            append(
                index,
                [
                    row(first + n, shard=shard, time_ms=BASE + t, http_response={"code": 200 + t})
                    for n, t in enumerate(times)
                ],
            )
        case ("flush",):
            index.flush()
        case ("merge",):
            index.merge()


def expected(index: LogIndex, newest: bool = True) -> list[tuple[str, int]]:
    """The order that is promised: time, then shard, then index."""
    rows = []
    for recent in index.snapshot.recent:
        rows += recent.table.select(["time", "shard", "index"]).to_pylist()
    from pyarrow.parquet import ParquetFile

    for part in index.snapshot.parts:
        file = ParquetFile(index.trusted(part))
        rows += file.read(columns=["time", "shard", "index"]).to_pylist()
    sign = -1 if newest else 1
    rows.sort(key=lambda r: (sign * r["time"], r["shard"], sign * r["index"]))
    return [(r["shard"], r["index"]) for r in rows]


@pytest.fixture
def _merging_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muniment.index.merge.FAN_IN", 2)


@settings(max_examples=40)
@given(
    before=st.lists(STEP, max_size=10),
    after=st.lists(STEP, max_size=6),
    limit=st.integers(1, 7),
    newest=st.booleans(),
)
@pytest.mark.usefixtures("_merging_soon")
def test_pages_hold_each_row_once_while_rows_are_added(
    engine: Engine, before: list[object], after: list[object], limit: int, newest: bool
) -> None:
    order = "newest" if newest else "oldest"
    folder = Path(tempfile.mkdtemp())
    try:
        with index_in(folder) as index:
            for step in before:
                do(index, step)  # type: ignore[arg-type]
            wanted = expected(index, newest)
            steps = iter(after)
            found: list[tuple[str, int]] = []
            cursor = None
            while True:
                page = ask(index, engine, limit=limit, cursor=cursor, order=order)
                assert len(page.rows) <= limit
                found += places(page)
                cursor = page.next
                if cursor is None:
                    break
                do(index, next(steps, ("flush",)))  # type: ignore[arg-type]
            assert found == wanted
    finally:
        shutil.rmtree(folder)


def fill(index: LogIndex) -> None:
    """60 rows of two shards in parts and in memory, a status for every one."""
    for start in range(0, 30, 10):
        for shard in SHARDS:
            append(
                index,
                [
                    row(n, shard=shard, http_response={"code": 200 + n}, status_id=n % 3)
                    for n in range(start, start + 10)
                ],
            )
        if start < 20:
            index.flush()


def test_only_rows_that_match_are_found(index: LogIndex, engine: Engine) -> None:
    fill(index)
    assert places(ask(index, engine, "status:>=228")) == [
        ("aaaa", 29),
        ("bbbb", 29),
        ("aaaa", 28),
        ("bbbb", 28),
    ]
    assert places(ask(index, engine, "status:205 shard:bbbb")) == [("bbbb", 5)]
    assert places(ask(index, engine, "index:7", order="oldest")) == [("aaaa", 7), ("bbbb", 7)]
    assert places(ask(index, engine, '"line 3 of a"')) == [("aaaa", 3)]
    assert len(every_page(index, engine, "outcome:success", limit=3)) == 20


def test_time_ranges_leave_out_their_end(index: LogIndex, engine: Engine) -> None:
    fill(index)
    page = ask(index, engine, start=BASE + 3_000, end=BASE + 5_000, order="oldest")
    assert places(page) == [("aaaa", 3), ("bbbb", 3), ("aaaa", 4), ("bbbb", 4)]
    assert ask(index, engine, start=BASE + 60_000).rows == []
    assert ask(index, engine, start=5, end=5).rows == []


def test_a_row_is_nested_json_without_nulls(index: LogIndex, engine: Engine) -> None:
    append(index, [row(0, actor={"user": {"name": "a", "uid": None}}, src_endpoint={"ip": None})])
    expected_row = {
        "log": "edge",
        "shard": "aaaa",
        "index": 0,
        "time": BASE,
        "time_dt": "2026-03-01T10:00:00.000000Z",
        "received": "2026-03-01T12:00:00.000000Z",
        "source": "json",
        "class_uid": 4002,
        "actor": {"user": {"name": "a"}},
        "raw_data": "line 0 of aaaa",
    }
    (text,) = ask(index, engine).rows
    assert orjson.loads(text) == expected_row
    index.flush()
    (text,) = ask(index, engine).rows
    assert orjson.loads(text) == expected_row


def test_a_page_is_bounded_in_bytes(
    index: LogIndex, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.query.search.MAX_PAGE_BYTES", 2_000)
    fill(index)
    page = ask(index, engine, limit=60)
    assert 1 < len(page.rows) < 60
    assert page.next is not None
    assert len(every_page(index, engine, limit=60)) == 60


class SlowClock:
    """Time passes with every look at the clock, once it has been set going."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_a_search_that_runs_out_of_time_goes_on_with_its_cursor(index: LogIndex) -> None:
    clock = SlowClock()
    engine = Engine(clock=clock)
    for start in range(0, 50, 10):
        append(index, [row(n) for n in range(start, start + 10)])
        index.flush()
    clock.step = 0.4
    found: list[tuple[str, int]] = []
    cursor, partial = None, 0
    while True:
        request = Request(limit=30, cursor=cursor)
        page = search(index, index.snapshot, engine, request, seconds=1.0)
        found += places(page)
        partial += page.partial
        cursor = page.next
        if cursor is None:
            break
    assert found == [("aaaa", n) for n in range(49, -1, -1)]
    assert partial > 0
    engine.close()


def test_a_search_that_gets_nowhere_says_so(index: LogIndex) -> None:
    clock = SlowClock()
    engine = Engine(clock=clock)
    fill(index)
    clock.step = 10
    with pytest.raises(Overloaded, match="ran out of time"):
        search(index, index.snapshot, engine, Request(), seconds=1.0)
    engine.close()


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"limit": 1_001}, {"order": "random"}, {"q": "nofield:1"}, {"q": "status:x"}],
)
def test_wrong_requests_are_refused(
    index: LogIndex, engine: Engine, wrong: dict[str, object]
) -> None:
    with pytest.raises(QueryError):
        search(index, index.snapshot, engine, Request(**wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"q": "index:>3"}, {"start": 1}, {"end": 1}, {"order": "oldest"}]
)
def test_a_cursor_belongs_to_its_query(
    index: LogIndex, engine: Engine, change: dict[str, object]
) -> None:
    fill(index)
    cursor = ask(index, engine, limit=5).next
    with pytest.raises(QueryError, match="another query"):
        ask(index, engine, cursor=cursor, limit=5, **change)  # type: ignore[arg-type]


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda b: b.hex()))
def test_any_text_is_no_cursor(text: str) -> None:
    with pytest.raises(QueryError):
        decode_cursor(text, "key")


def test_a_damaged_part_is_not_answered_from(index: LogIndex, engine: Engine) -> None:
    fill(index)
    part = index.snapshot.parts[0]
    path = index.directory / part.path
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    with pytest.raises(IndexDamaged):
        every_page(index, engine)


def test_hostile_times_do_not_hide_rows(index: LogIndex, engine: Engine) -> None:
    year = 31_536_000_000
    times = [BASE, BASE + 7_000 * year, BASE - 60 * year, BASE + 1]
    append(index, [row(n, time_ms=t) for n, t in enumerate(times)])
    index.flush()
    append(index, [row(4, time_ms=BASE + 2)])
    found = [("aaaa", 1), ("aaaa", 4), ("aaaa", 3), ("aaaa", 0), ("aaaa", 2)]
    assert every_page(index, engine, limit=2) == found


def test_very_long_lines_fit_a_page(index: LogIndex, engine: Engine) -> None:
    long = ["x" * 60_000 + str(n) for n in range(200)]
    append(index, [row(n, raw_data=text) for n, text in enumerate(long)])
    index.flush()
    assert len(every_page(index, engine, limit=1_000)) == 200
