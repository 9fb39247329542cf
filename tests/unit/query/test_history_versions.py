"""Versions counted from records, and the one that somebody means."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import NotFound, QueryError
from muniment.query.history.version import Record, choose, numbered

T0 = 1_795_255_200_000
"""2026-11-21T10:00:00Z."""

A, B, C = "a" * 64, "b" * 64, "ab" * 32


def at(seconds: float) -> str:
    whole, fraction = divmod(round(seconds * 1000), 1000)
    return f"2026-11-21T10:{whole // 60:02d}:{whole % 60:02d}.{fraction:03d}Z"


def record(
    seconds: float,
    change: str,
    previous: str,
    version: str,
    *,
    agent: str = "one",
    every: float = 5,
) -> Record:
    since = "" if change == "observe" else at(seconds - every)
    time = T0 + round(seconds * 1000)
    return Record(time, "s", int(seconds), change, version, previous, since, agent)


def told(records):
    return [(one.number, one.record.version[:2]) for one in numbered(records)]


def test_versions_count_from_one() -> None:
    records = [
        record(10, "observe", "", A),
        record(20, "update", A, B),
        record(30, "delete", B, ""),
        record(40, "create", "", B),
    ]
    assert told(records) == [(1, "aa"), (2, "bb"), (3, ""), (4, "bb")]


def test_an_agent_that_began_anew_adds_none() -> None:
    records = [record(10, "observe", "", A), record(20, "observe", "", A)]
    assert told(records) == [(1, "aa")]
    assert told([*records, record(30, "observe", "", B)]) == [(1, "aa"), (2, "bb")]


def test_two_agents_that_see_one_change_add_one_version() -> None:
    records = [
        record(10, "observe", "", A),
        record(11, "observe", "", A, agent="two"),
        record(20, "update", A, B),
        record(21, "update", A, B, agent="two"),
        record(25, "update", B, A),
        record(26, "update", B, A, agent="two"),
    ]
    assert told(records) == [(1, "aa"), (2, "bb"), (3, "aa")]


def test_late_news_of_the_other_agent_is_known() -> None:
    records = [
        record(10, "observe", "", A),
        record(20, "update", A, B),
        record(25, "update", B, A),
        record(26, "update", A, B, agent="two", every=20),
    ]
    assert told(records) == [(1, "aa"), (2, "bb"), (3, "aa")]


def test_one_agent_that_sees_the_same_change_again_saw_two() -> None:
    records = [
        record(10, "observe", "", A),
        record(20, "update", A, B),
        record(25, "update", B, A),
        record(30, "update", A, B),
    ]
    assert told(records) == [(1, "aa"), (2, "bb"), (3, "aa"), (4, "bb")]


def test_a_change_told_again_after_a_crash_is_one() -> None:
    records = [
        record(10, "observe", "", A),
        record(20, "update", A, B),
        record(22, "update", A, B, every=7),
    ]
    assert told(records) == [(1, "aa"), (2, "bb")]


def test_the_same_change_much_later_is_another() -> None:
    records = [
        record(10, "observe", "", A),
        record(20, "update", A, B),
        record(300, "update", A, B, agent="two"),
    ]
    assert told(records) == [(1, "aa"), (2, "bb"), (3, "bb")]


VERSIONS = numbered(
    [
        record(10, "observe", "", A),
        record(20, "update", A, B),
        record(30, "update", B, C),
        record(40, "delete", C, ""),
    ]
)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("", 4),
        ("latest", 4),
        ("previous", 3),
        ("1", 1),
        ("aaaaaa", 1),
        ("AAAAAA", 1),
        ("ababab", 3),
        (C, 3),
        (at(20), 2),
        (at(29.999), 2),
        ("2026-11-21", 4),
    ],
)
def test_a_version_is_found(said: str, number: int) -> None:
    assert choose(VERSIONS, said, "x").number == number


@pytest.mark.parametrize("said", ["5", "999999", "cccccc", at(9), "2020-01-01", "0"])
def test_a_version_that_is_not_there(said: str) -> None:
    with pytest.raises(NotFound):
        choose(VERSIONS, said, "x")


@pytest.mark.parametrize("said", ["abc", "yesterday", "1.5", "\x00", "latest "])
def test_what_means_no_version(said: str) -> None:
    with pytest.raises(QueryError):
        choose(VERSIONS, said, "x")


def test_digits_of_several_versions_are_too_few() -> None:
    near = [record(10, "observe", "", "abcdef" + A[6:]), record(20, "update", A, "abcdef" + B[6:])]
    with pytest.raises(QueryError, match="several"):
        choose(numbered(near), "abcdef", "x")


RECORDS = st.builds(
    Record,
    time=st.integers(T0, T0 + 60_000),
    shard=st.just("s"),
    index=st.integers(0, 9),
    change=st.sampled_from(["observe", "create", "update", "delete"]),
    version=st.sampled_from(["", A, B]),
    previous=st.sampled_from(["", A, B]),
    since=st.sampled_from(["", at(0), at(10), "no time"]),
    agent=st.sampled_from(["one", "two"]),
)


@given(st.lists(RECORDS, max_size=12), st.text(max_size=12))
def test_numbers_have_no_gaps_and_any_word_is_answered(records, said) -> None:
    found = numbered(sorted(records, key=lambda one: one.time), before=3)
    assert [one.number for one in found] == list(range(4, 4 + len(found)))
    with suppress(NotFound, QueryError):
        assert choose(found, said, "x") in found
