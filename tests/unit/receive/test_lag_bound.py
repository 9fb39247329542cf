"""Back-pressure from the index: from one that is well, and not for what it began with."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from muniment import kernel
from muniment.errors import IndexBehind
from muniment.log import Acknowledgement, Batch, Health
from muniment.log.waiting import Done
from muniment.receive.lag_bound import LagBound
from muniment.receive.target import Target


class Index:
    """Says how far it is behind; None where it does not follow."""

    def __init__(self) -> None:
        self.behind: int | None = 0

    def lag(self, log: str) -> int | None:
        assert log == "default"
        return self.behind


@pytest.fixture
def index() -> Index:
    return Index()


def test_a_log_may_be_ahead_by_the_limit_and_no_more(index: Index) -> None:
    bound = LagBound(index.lag, 100)
    for behind in (0, 100):
        index.behind = behind
        bound.check("default")
    index.behind = 1_234_567
    with pytest.raises(IndexBehind, match="1,234,567 entries behind") as refused:
        bound.check("default")
    assert refused.value.retry_after == 1
    index.behind = 99
    bound.check("default")


def test_an_index_that_does_not_follow_holds_nobody_back(index: Index) -> None:
    bound = LagBound(index.lag, 100)
    index.behind = None
    bound.check("default")


def test_a_backlog_that_was_there_first_does_not_count_until_it_is_worked_off(
    index: Index,
) -> None:
    bound = LagBound(index.lag, 100)
    for behind in (5_000, 5_100, 4_000, 4_100):
        index.behind = behind
        bound.check("default")
    index.behind = 4_101
    with pytest.raises(IndexBehind):
        bound.check("default")
    index.behind = None  # it is rebuilt, and then has everything before it
    bound.check("default")
    index.behind = 9_000
    bound.check("default")


def test_no_limit_is_no_bound(index: Index) -> None:
    index.behind = 1 << 60
    LagBound(index.lag, 0).check("default")


class Shard:
    """Takes every batch, and remembers it."""

    health = Health()

    def __init__(self) -> None:
        self.taken: list[Batch] = []

    def submit(self, batch: Batch) -> Future[Acknowledgement]:
        self.taken.append(batch)
        return Future()

    def offer(self, batch: Batch, done: Done) -> None:
        self.taken.append(batch)

    def batch_ids(self) -> Sequence[str]:
        return []


def test_a_target_with_the_bound_passes_nothing_on_while_it_holds(index: Index) -> None:
    shard = Shard()
    target = Target("default", {"only": shard}, LagBound(index.lag, 1))
    batch = Batch(kernel.pack_lines(b"x", b"{}\n"))
    target.submit(batch)
    index.behind = 2
    with pytest.raises(IndexBehind):
        target.submit(batch)
    with pytest.raises(IndexBehind):
        target.offer(batch, print)
    assert shard.taken == [batch]
