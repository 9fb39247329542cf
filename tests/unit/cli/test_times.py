"""Times as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.cli.times import absolute, rfc3339

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-03-04T12:00:00.000Z"),
        ("-15m", "2026-03-04T11:45:00.000Z"),
        ("15m", "2026-03-04T11:45:00.000Z"),
        ("2h", "2026-03-04T10:00:00.000Z"),
        ("1w", "2026-02-25T12:00:00.000Z"),
        ("250ms", "2026-03-04T11:59:59.750Z"),
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000Z"),
        ("2026-01-31T08:00:00+02:00", "2026-01-31T06:00:00.000Z"),
    ],
)
def test_a_time_is_given_in_utc(text: str, expected: str) -> None:
    assert rfc3339(absolute(text, NOW)) == expected


def test_a_time_without_zone_is_local_with_the_offset_of_its_day(berlin: None) -> None:
    assert rfc3339(absolute("2026-01-31", NOW)) == "2026-01-30T23:00:00.000Z"
    assert rfc3339(absolute("2026-07-31 10:00", NOW)) == "2026-07-31T08:00:00.000Z"


@given(st.integers(0, 20_000), st.sampled_from("smhd"))
def test_relative_times_count_back(count: int, unit: str) -> None:
    seconds = count * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    assert NOW - absolute(f"-{count}{unit}", NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "yesterday", "15", "m", "--5m", "2026-13-01", "999999999w"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write -15m"):
        absolute(text, NOW)
