"""A histogram counts what a search would find."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from query_fixture import BASE, append, row

from muniment.errors import QueryError
from muniment.index.log_index import LogIndex
from muniment.query.engine import Engine
from muniment.query.histogram import Histogram, histogram


def ask(
    index: LogIndex,
    engine: Engine,
    q: str = "",
    start: int | None = None,
    end: int | None = None,
    buckets: int = 10,
) -> Histogram:
    return histogram(index, index.snapshot, engine, q, start=start, end=end, buckets=buckets)


@pytest.fixture
def filled(index: LogIndex) -> LogIndex:
    """A row a second, the first thirty in two parts, the last ten in memory."""
    for start in range(0, 40, 10):
        append(
            index, [row(n, http_response={"code": 200 + n % 2}) for n in range(start, start + 10)]
        )
        if start in (10, 20):
            index.flush()
    return index


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-5_000, 45_000), st.integers(1, 50_000), st.integers(1, 60), st.booleans())
def test_counts_are_those_of_the_rows(
    engine: Engine,
    filled: LogIndex,
    offset: int,
    length: int,
    buckets: int,
    filtered: bool,
) -> None:
    start, end = BASE + offset, BASE + offset + length
    found = ask(filled, engine, "status:200" if filtered else "", start, end, buckets)
    times = [BASE + n * 1000 for n in range(0, 40, 2 if filtered else 1)]
    expected = Counter((t - start) // found.width for t in times if start <= t < end)
    assert found.start == start
    assert len(found.counts) <= buckets
    assert found.start + len(found.counts) * found.width >= end
    assert dict(enumerate(found.counts)) == {n: expected[n] for n in range(len(found.counts))}


def test_without_a_range_it_is_about_all_that_there_is(filled: LogIndex, engine: Engine) -> None:
    found = ask(filled, engine, buckets=4)
    assert found.start == BASE
    assert found.counts == [10, 10, 10, 10]
    assert not found.partial


def test_an_empty_index_has_an_empty_histogram(index: LogIndex, engine: Engine) -> None:
    assert sum(ask(index, engine).counts) == 0


@pytest.mark.parametrize(
    "wrong", [{"buckets": 0}, {"buckets": 1_001}, {"start": 5, "end": 5}, {"q": "status:x"}]
)
def test_wrong_requests_are_refused(
    index: LogIndex, engine: Engine, wrong: dict[str, object]
) -> None:
    with pytest.raises(QueryError):
        ask(index, engine, **wrong)  # type: ignore[arg-type]
