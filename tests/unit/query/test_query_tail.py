"""The tail gives every row that matches once, in the order of the log."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from query_fixture import append, index_in, row

from muniment.errors import QueryError
from muniment.index.log_index import LogIndex
from muniment.query.engine import Engine
from muniment.query.tail import Tail, tail

SHARDS = ("aaaa", "bbbb")
STEP = st.one_of(
    st.tuples(st.sampled_from(SHARDS), st.integers(1, 9)),
    st.just(("flush", 0)),
    st.just(("merge", 0)),
)


def ask(
    index: LogIndex,
    engine: Engine,
    q: str = "",
    after: Mapping[str, int] | None = None,
    limit: int = 50,
) -> Tail:
    return tail(index, index.snapshot, engine, q, shards=SHARDS, after=after or {}, limit=limit)


def do(index: LogIndex, name: str, count: int) -> None:
    if name == "flush":
        index.flush()
    elif name == "merge":
        index.merge()
    else:
        first = index.next_index(name)
        append(
            index,
            [
                row(n, shard=name, status_id=n % 3, time_ms=n * 7919 % 60_000)
                for n in range(first, first + count)
            ],
        )


def read(found: Tail) -> list[tuple[str, int]]:
    rows = [orjson.loads(text) for text in found.rows]
    return [(r["shard"], r["index"]) for r in rows]


@settings(max_examples=40)
@given(steps=st.lists(STEP, max_size=14), limit=st.integers(1, 6), filtered=st.booleans())
def test_every_row_comes_once_and_in_order(
    engine: Engine, steps: list[tuple[str, int]], limit: int, filtered: bool
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        with index_in(folder) as index, pytest.MonkeyPatch.context() as patch:
            patch.setattr("muniment.index.merge.FAN_IN", 2)
            q = "outcome:failure" if filtered else ""
            after: dict[str, int] = dict.fromkeys(SHARDS, -1)
            found: list[tuple[str, int]] = []
            for name, count in [*steps, *[("flush", 0)] * 200]:
                do(index, name, count)
                answer = ask(index, engine, q, after, limit)
                assert len(answer.rows) <= limit
                found += read(answer)
                after = answer.after
                reached = {shard: index.next_index(shard) - 1 for shard in SHARDS}
                if name == "flush" and after == reached:
                    break
            for shard in SHARDS:
                every = range(index.next_index(shard))
                expected = [n for n in every if not filtered or n % 3 == 2]
                assert [n for name, n in found if name == shard] == expected
    finally:
        shutil.rmtree(folder)


def test_without_a_place_it_begins_now(index: LogIndex, engine: Engine) -> None:
    do(index, "aaaa", 5)
    first = ask(index, engine)
    assert (first.rows, first.after) == ([], {"aaaa": 4, "bbbb": -1})
    do(index, "aaaa", 2)
    do(index, "bbbb", 1)
    assert read(ask(index, engine, after=first.after)) == [("aaaa", 5), ("aaaa", 6), ("bbbb", 0)]


def test_a_busy_shard_does_not_starve_the_others(index: LogIndex, engine: Engine) -> None:
    do(index, "aaaa", 9)
    do(index, "aaaa", 9)
    do(index, "bbbb", 3)
    found = read(ask(index, engine, after=dict.fromkeys(SHARDS, -1), limit=4))
    assert found == [("aaaa", 0), ("aaaa", 1), ("bbbb", 0), ("bbbb", 1)]


def test_an_answer_is_bounded_in_bytes(
    index: LogIndex, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.query.tail.MAX_BYTES", 3_000)
    monkeypatch.setattr("muniment.query.tail._FETCH", 2)
    append(index, [row(n, raw_data="x" * 1_000) for n in range(9)])
    after: Mapping[str, int] = {"aaaa": -1}
    seen: list[int] = []
    while len(seen) < 9:
        answer = ask(index, engine, after=after)
        assert 0 < len(answer.rows) <= 4
        seen += [number for _, number in read(answer)]
        after = answer.after
    assert seen == list(range(9))


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 1_001}, {"q": "x:y"}])
def test_wrong_requests_are_refused(
    index: LogIndex, engine: Engine, wrong: dict[str, object]
) -> None:
    with pytest.raises(QueryError):
        ask(index, engine, **wrong)  # type: ignore[arg-type]
