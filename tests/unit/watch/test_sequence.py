"""Numbers of streams: missing after a while, closed when they come, counted when repeated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from muniment.watch.sequence import MAX_HOLES, Sequence


def test_a_number_that_is_passed_over_is_missing_after_the_grace() -> None:
    numbers = Sequence(1, 10)
    assert numbers.take(21, 30, 1, 1_000) == (0, [])
    assert list(numbers.missing(1_500, 1_000)) == []
    (hole,) = numbers.missing(2_000, 1_000)
    assert (hole.first, hole.last, hole.count) == (11, 20, 10)
    assert list(numbers.missing(9_000, 1_000)) == []
    assert numbers.lost == 10


def test_what_comes_late_closes_what_was_told() -> None:
    numbers = Sequence(1, 10)
    numbers.take(21, 30, 1, 0)
    list(numbers.missing(1_000, 1_000))
    again, closed = numbers.take(13, 15, 1, 2_000)
    assert (again, [(one.first, one.last) for one in closed]) == (0, [(13, 15)])
    assert [(hole.first, hole.last) for hole in numbers.holes] == [(11, 12), (16, 20)]


def test_what_comes_again_is_counted() -> None:
    numbers = Sequence(1, 10)
    assert numbers.take(1, 10, 1, 0) == (10, [])
    assert numbers.take(11, 12, 3, 0) == (4, [])
    assert numbers.repeated == 14


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 6)), max_size=40))
def test_the_books_agree_with_a_set(parcels: list[tuple[int, int]]) -> None:
    numbers, there = Sequence(1, 1), {1}
    for first, count in parcels:
        again, _ = numbers.take(first, first + count - 1, 1, 0)
        new = set(range(first, first + count))
        assert again == len(new & there)
        there |= new
    missing = {n for hole in numbers.holes for n in range(hole.first, hole.last + 1)}
    assert missing == set(range(1, max(there) + 1)) - there


def test_holes_are_bounded() -> None:
    numbers = Sequence(1, 1)
    for place in range(3 * MAX_HOLES):
        numbers.take(3 + 2 * place, 3 + 2 * place, 1, 0)
    assert len(numbers.holes) <= MAX_HOLES
