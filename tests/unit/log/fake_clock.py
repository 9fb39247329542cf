"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)


class FakeClock:
    """The Clock of the tests."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.seconds - 1000.0)

    def monotonic(self) -> float:
        return self.seconds
