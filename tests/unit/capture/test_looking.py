"""Counters and the moment they are of."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from muniment.capture.systems import looking
from muniment.capture.systems.looking import LONGEST_COUNT, TRIES, counted
from muniment.errors import MunimentError


class Hands:
    """A clock that looks move."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(looking, "time", hands)
    return hands


def test_a_quick_look_is_of_its_middle(hands: Hands) -> None:
    def look() -> int:
        hands.now += LONGEST_COUNT / 2
        return 7

    before = datetime.now(UTC)
    seen, at, error = counted(look)
    ahead = datetime.fromisoformat(at) - before
    assert (seen, error) == (7, "")
    assert ahead.total_seconds() >= LONGEST_COUNT / 4


def test_a_slow_look_is_repeated(hands: Hands) -> None:
    took = iter([LONGEST_COUNT * 2, 0.0])

    def look() -> float:
        hands.now += next(took)
        return hands.now

    seen, at, error = counted(look)
    assert (seen, error) == (LONGEST_COUNT * 2, "")
    assert at


def test_counters_of_no_known_moment_are_not_told(hands: Hands) -> None:
    looks: list[int] = []

    def look() -> int:
        hands.now += LONGEST_COUNT + 1
        looks.append(1)
        return 7

    seen, at, error = counted(look)
    assert (seen, at) == (None, "")
    assert "took 1.4 s" in error
    assert len(looks) == TRIES


def test_a_look_that_fails_is_not_repeated(hands: Hands) -> None:
    def look() -> int:
        raise MunimentError("away")

    assert counted(look) == (None, "", "away")
