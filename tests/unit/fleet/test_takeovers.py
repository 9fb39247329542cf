"""Takeovers: when a shard counts as orphaned, who closes it, and what keeps everybody from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event

import pytest
from tests.unit.fleet.ticking import Ticking

from muniment.errors import MunimentError, NotFound, StoreFailing
from muniment.fleet import Member, ShardState, State
from muniment.fleet.takeover import Takeovers
from muniment.settings import Role
from muniment.store.takeover import Taken

AFTER, EVERY = 30.0, 2.0


@dataclass
class Stores:
    """Shards with a key in the store, and how often each was closed."""

    keys: list[str]
    closed: list[str] = field(default_factory=list)
    error: MunimentError | None = None
    newest_key: str = "0"

    def newest(self, log: str, shard: str) -> str:
        assert (log, bool(shard)) == ("default", True)
        return self.newest_key

    def unclosed(self, log: str) -> Sequence[str]:
        assert log == "default"
        return list(self.keys)

    def close_out(self, log: str, shard: str, stopping: Event) -> Taken:
        del log, stopping
        self.closed.append(shard)
        if self.error is not None:
            raise self.error
        self.keys.remove(shard)
        return Taken(7, 3, 2, "b", "2026-01-01T00:00:00Z")


def member(name: str, *shards: str, state: State = State.READY, writable: bool = True) -> Member:
    states = {shard: ShardState(7, "key", writable) for shard in shards}
    url = f"https://{name}.test:1"
    return Member(node=name, url=url, roles=(Role.INGEST,), state=state, shards={"default": states})


class Fleet:
    """One node's takeovers, with what it sees of the world."""

    def __init__(self, *keys: str, node: str = "m") -> None:
        self.stores, self.clock = Stores(list(keys)), Ticking()
        self.members: list[Member] = []
        self.answers: dict[str, Member] = {}
        self.takeovers = Takeovers(
            ["default"],
            self.stores,
            lambda: self.members,
            lambda one: self.answers.get(one.node),
            lambda _, shard: shard == "mine",
            node=node,
            after=AFTER,
            every=EVERY,
            clock=self.clock,
        )

    def pass_time(self, seconds: float) -> None:
        """Looks at each beat."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.takeovers.look()
            self.clock.tick(EVERY)


@pytest.mark.parametrize("gone", ["lost", "never seen", "back without it"])
def test_an_orphan_is_closed_once_its_time_has_come(gone: str) -> None:
    fleet = Fleet("s1", "mine")
    if gone == "lost":
        fleet.members = [member("b", "s1", state=State.LOST)]
    elif gone == "back without it":
        fleet.members = [member("b", "s2")]
    fleet.pass_time(AFTER)
    assert fleet.stores.closed == []
    fleet.pass_time(2 * EVERY)
    assert (fleet.stores.closed, fleet.takeovers.closed) == (["s1"], 1)
    fleet.pass_time(10 * AFTER)
    assert fleet.stores.closed == ["s1"]


@pytest.mark.parametrize("state", [State.READY, State.DRAINING, State.STARTING, State.LEFT])
def test_what_somebody_writes_or_left_in_order_is_left_alone(state: State) -> None:
    fleet = Fleet("s1")
    fleet.members = [member("b", "s1", state=state)]
    fleet.pass_time(10 * AFTER)
    assert fleet.stores.closed == []


def test_a_mirror_of_a_shard_does_not_write_it() -> None:
    fleet = Fleet("s1")
    fleet.members = [member("b", "s1", writable=False)]
    fleet.pass_time(2 * AFTER)
    assert fleet.stores.closed == ["s1"]


def test_a_node_that_comes_back_in_time_keeps_its_shard() -> None:
    fleet = Fleet("s1")
    fleet.members = [member("b", "s1", state=State.LOST)]
    fleet.pass_time(AFTER - EVERY)
    fleet.members = [member("b", "s1")]
    fleet.pass_time(EVERY)
    fleet.members = [member("b", "s1", state=State.LOST)]
    fleet.pass_time(AFTER - EVERY)
    assert fleet.stores.closed == []


def test_a_node_that_is_silent_but_answers_is_not_taken_over() -> None:
    fleet = Fleet("s1")
    fleet.members = [member("b", "s1", state=State.LOST)]
    fleet.answers = {"b": member("b", "s1")}
    fleet.pass_time(10 * AFTER)
    assert fleet.stores.closed == []
    fleet.answers = {"b": member("b", "new")}
    fleet.pass_time(EVERY)
    assert fleet.stores.closed == ["s1"]


def test_a_shard_that_is_written_by_a_node_not_seen_here_is_left_alone() -> None:
    fleet = Fleet("s1")
    for number in range(1, 30):
        fleet.stores.newest_key = str(number)
        fleet.pass_time(AFTER - EVERY)
    assert fleet.stores.closed == []
    fleet.pass_time(AFTER + 2 * EVERY)  # and now by nobody
    assert fleet.stores.closed == ["s1"]


def test_others_come_first_by_name() -> None:
    fleet = Fleet("s1", node="m")
    fleet.members = [member("a"), member("c"), member("z"), member("b", "s1", state=State.LOST)]
    fleet.pass_time(AFTER + 2 * EVERY)
    assert fleet.stores.closed == []
    fleet.pass_time(2 * EVERY)
    assert fleet.stores.closed == ["s1"]


def test_a_closing_that_fails_is_tried_again_ever_later() -> None:
    fleet = Fleet("s1")
    fleet.stores.error = StoreFailing("full", reason="full")
    fleet.pass_time(AFTER + 100)
    tries = len(fleet.stores.closed)
    assert tries == fleet.takeovers.failures
    assert 3 <= tries <= 6
    fleet.stores.error = None
    fleet.pass_time(300)
    assert (len(fleet.stores.closed), fleet.takeovers.closed) == (tries + 1, 1)


def test_one_that_another_node_has_just_closed_is_no_failure() -> None:
    fleet = Fleet("s1")
    fleet.stores.error = NotFound("closed")
    fleet.pass_time(AFTER + 2 * EVERY)
    assert (fleet.takeovers.failures, fleet.takeovers.closed) == (0, 0)
