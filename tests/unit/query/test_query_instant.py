"""An instant names a span of time, as long as it is exact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.query.instant import span

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "first", "length"),
    [
        ("2026", ms(2026, 1, 1), 365 * DAY),
        ("9999", ms(9999, 1, 1), 365 * DAY),
        ("9999-12", ms(9999, 12, 1), 31 * DAY),
        ("2026-02", ms(2026, 2, 1), 28 * DAY),
        ("2026-12", ms(2026, 12, 1), 31 * DAY),
        ("2024-02-29", ms(2024, 2, 29), DAY),
        ("2026-01-31T12", ms(2026, 1, 31, 12), HOUR),
        ("2026-01-31 12:30", ms(2026, 1, 31, 12, 30), MINUTE),
        ("2026-01-31T12:30:59", ms(2026, 1, 31, 12, 30, 59), SECOND),
        ("2026-01-31t12:30:59z", ms(2026, 1, 31, 12, 30, 59), SECOND),
        ("2026-01-31T12:30:59+02:00", ms(2026, 1, 31, 10, 30, 59), SECOND),
        ("2026-01-31T12:30:59-0130", ms(2026, 1, 31, 14, 0, 59), SECOND),
        ("2026-01-31T12:30:59.2Z", ms(2026, 1, 31, 12, 30, 59) + 200, 100),
        ("2026-01-31T12:30:59.123456Z", ms(2026, 1, 31, 12, 30, 59) + 123, 1),
        ("1769862600000", 1_769_862_600_000, 1),
        ("-5", -5, 1),
    ],
)
def test_spans(text: str, first: int, length: int) -> None:
    assert span(text) == (first, first + length)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "0000", "2026-13", "2026-02-30", "2026-01-31T25", "9999999999999999"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        span(text)


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1)))
def test_what_python_prints_is_read(instant: datetime) -> None:
    first, after = span(instant.isoformat(timespec="milliseconds"))
    assert after - first == 1
    assert first == (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        first, after = span(text)
    except ValueError:
        return
    assert first < after
