"""Counting for completeness: alike in parts and in recent rows, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from query_fixture import BASE, index_in, row, table

from muniment.errors import QueryError, Unavailable
from muniment.query.stretch import HEAD_MS, MARGIN_MS, tally
from muniment.query.tally import sequences, tally_entries


def put(index, rows: list[dict[str, Any]]) -> None:
    shards = sorted({one["shard"] for one in rows})
    for shard in shards:
        own = [one for one in rows if one["shard"] == shard]
        index.append(shard, table(own), own[-1]["index"] + 1)


def entry(number: int, time: int, *, shard: str = "aaaa", took: int | None = None, head=None):
    more = {"load_balancer": {"name": "web"}, "duration": took}
    if head is not None:
        more["timings"] = {"request": head}
    return row(number, time_ms=time, shard=shard, **more)


def stretch(one: dict[str, Any]) -> tuple[int, int]:
    head = (one.get("timings") or {}).get("request") or 0
    cut = 1_000 if one["time"] % 1000 == 0 else 0
    begin = one["time"] - max(0, one["duration"] or 0) - MARGIN_MS
    return begin, one["time"] + min(max(0, head), HEAD_MS) + cut + MARGIN_MS


def asked(index, engine, borders, settled=0, since=None, until=None, q="frontend:web"):
    snapshot = index.snapshot
    until = until if until is not None else dict(snapshot.cursors)
    return tally_entries(
        index,
        snapshot,
        engine,
        q,
        borders=borders,
        settled=settled,
        since=since if since is not None else until,
        until=until,
    )


def test_entries_between_looks_are_counted(index, engine) -> None:
    put(index, [entry(n, BASE + n * 1_000 + 1) for n in range(10)])
    found = asked(index, engine, [BASE - 5_000, BASE + 4_500, BASE + 20_000])
    assert (found.possible, found.sure, found.around) == ([5, 5], [5, 5], 0)


def test_what_does_not_match_is_not_counted(index, engine) -> None:
    put(index, [entry(n, BASE + n) for n in range(4)])
    borders = [BASE - 5_000, BASE + 9_000]
    assert asked(index, engine, borders, q="frontend:other").possible == [0]
    assert asked(index, engine, borders, q="").possible == [4]
    with pytest.raises(QueryError):
        asked(index, engine, borders, q="nonsense:(")


def test_an_index_that_is_behind_says_so(index, engine) -> None:
    put(index, [entry(0, BASE)])
    with pytest.raises(Unavailable):
        asked(index, engine, [BASE, BASE + 1], until={"aaaa": 2})


times = st.integers(0, 30_000)
entries = st.lists(
    st.tuples(times, st.none() | st.integers(-1, 9_000), st.none() | st.integers(-1, 70_000)),
    max_size=25,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(entries, st.lists(times, min_size=2, max_size=6, unique=True), st.data())
def test_counting_by_and_by_is_counting_at_once(tmp_path_factory, engine, given, looks, data):
    rows = [entry(n, BASE + t, took=d, head=h) for n, (t, d, h) in enumerate(given)]
    borders = [BASE + time for time in sorted(looks)]
    known = data.draw(st.integers(0, len(rows)))
    part = data.draw(st.integers(1, len(borders)))
    with index_in(tmp_path_factory.mktemp("tally")) as index:
        if rows[:known]:
            put(index, rows[:known])
            if data.draw(st.booleans()):
                index.flush()
        first = asked(index, engine, borders[:part], until={"aaaa": known} if known else {})
        if rows[known:]:
            put(index, rows[known:])
        until = {"aaaa": len(rows)} if rows else {}
        since = {"aaaa": known}
        second = asked(index, engine, borders, part, since, until)
    expected = tally([(*stretch(one), True, 1) for one in rows], borders, 0)
    for name in ("possible", "sure", "ended"):
        early = [*getattr(first, name), *[0] * (len(borders) - part)]
        late = getattr(second, name)
        assert [a + b for a, b in zip(early, late, strict=True)] == getattr(expected, name), name
    assert first.around + second.around == expected.around


def captured(number: int, seq: int, **more: Any) -> dict[str, Any]:
    fields = {"stream": "lb1/access", "sender": "edge", "metadata": {"sequence": seq}}
    return row(number, **{**fields, **more})


def test_parcels_are_joined_where_they_adjoin(index, engine) -> None:
    rows = [captured(n, 1 + n // 3 * 3) for n in range(9)]
    rows += [captured(9, 20), captured(10, 21)]
    put(index, rows)
    found = sequences(index, index.snapshot, engine, since={}, until={"aaaa": 11})
    assert [(one["first"], one["last"], one["copies"]) for one in found] == [(1, 9, 1), (20, 21, 1)]
    assert {(one["sender"], one["stream"]) for one in found} == {("edge", "lb1/access")}
    found = sequences(index, index.snapshot, engine, since={"aaaa": 9}, until={"aaaa": 11})
    assert [(one["first"], one["last"]) for one in found] == [(20, 21)]


def test_a_record_in_parts_counts_once(index, engine) -> None:
    part = "part {} of 12 of a record of 200,000 bytes"
    rows = [captured(n, 5, parse_error=part.format(n + 1)) for n in range(12)]
    put(index, [*rows, captured(12, 5)])
    (found,) = sequences(index, index.snapshot, engine, since={}, until={"aaaa": 13})
    assert (found["first"], found["last"]) == (5, 6)
