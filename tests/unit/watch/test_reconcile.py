"""Counters against entries: never more missing than was lost, and exactly that once it is quiet."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muniment.query.stretch import MARGIN_MS, tally
from muniment.watch.reconcile import Act, Finding, Ledger
from muniment.watch.segment import MAX_LOOKS, Look

GRACE = 30_000


@dataclass
class Request:
    """`counted` lies between begin and end; the entry of a lost one never arrives."""

    begin: int
    counted: int
    end: int
    arrives: int | None
    says_end: bool = False
    epoch: str = "e1"

    @property
    def stretch(self) -> tuple[int, int]:
        time = self.end if self.says_end else self.begin
        head = self.counted - self.begin
        return time - (self.end - self.begin) - MARGIN_MS, time + head + MARGIN_MS


@dataclass
class World:
    """A balancer, a log, and the ledger that compares them; `now` is milliseconds."""

    requests: list[Request] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    findings: list[Finding] = field(default_factory=list)

    def look(self, time: int, epoch: str = "e1", off: int = 0) -> None:
        """A look whose `time` is `off` ms beside the moment at which the counter was read."""
        served = sum(r.counted <= time + off and r.epoch == epoch for r in self.requests)
        self.looks.append(Look(time, served, epoch, time))

    def round(self, now: int) -> None:
        for look in self.looks:
            if look.received <= now:
                self.ledger.take(look, "frontend:web")
        for _ in range(3):
            self.findings += self.ledger.due(now, GRACE)
            for segment in list(self.ledger.segments(now)):
                self.count(segment, now)

    def count(self, segment, now: int) -> None:
        there = sorted(
            (r for r in self.requests if r.arrives is not None and r.arrives <= now),
            key=lambda r: r.arrives,
        )
        seen = segment.seen.get("s", 0)
        groups = [(*r.stretch, place >= seen, 1) for place, r in enumerate(there)]
        found = tally(groups, segment.borders(), segment.settled)
        until = {"s": len(there)}
        self.findings += self.ledger.counted(
            segment, found, until, settle=GRACE, before=now - 3 * GRACE
        )

    def of(self, act: Act) -> list[Finding]:
        return [one for one in self.findings if one.act is act]

    def told(self) -> int:
        return sum(f.number for f in self.of(Act.GAP)) - sum(f.number for f in self.of(Act.CLOSED))


def steady(count: int, lost: range = range(0), *, start: int = 10_000, step: int = 10) -> World:
    """Requests one after the other, each 5 ms long; those numbered in `lost` never arrive."""
    world = World()
    for number in range(count):
        begin = start + number * step
        arrives = None if number in lost else begin + 20
        world.requests.append(Request(begin, begin + 1, begin + 5, arrives))
    return world


def watch(world: World, end: int, every: int = 5_000) -> World:
    for time in range(0, end, every):
        world.look(time)
    for now in range(0, end + 4 * GRACE, 10_000):
        world.round(now)
    return world


def test_nothing_is_said_where_nothing_is_missing() -> None:
    world = watch(steady(6_000), 100_000)
    assert world.findings == []
    assert world.ledger.compared is not None
    assert world.ledger.compared.served == 6_000


def test_what_is_lost_is_told_once_and_exactly() -> None:
    world = watch(steady(1_100, range(300, 400)), 60_000)
    (gap,) = world.findings
    assert (gap.act, gap.number, gap.total, gap.exact) == (Act.GAP, 100, 100, True)
    assert gap.start <= 13_000
    assert gap.end >= 14_000


def test_under_traffic_that_never_rests_no_more_is_told_than_was_lost() -> None:
    world = steady(12_000, range(4_000, 4_500), start=-10_000)
    watch(world, 105_000)
    assert 400 <= world.told() <= 500
    assert not any(gap.exact for gap in world.of(Act.GAP))


def test_a_gap_stands_between_the_looks_that_saw_it() -> None:
    world = World()
    for number in range(40):
        begin = 1_000 + number * 1_000
        world.requests.append(Request(begin, begin, begin, None if number == 22 else begin + 1))
    for time in range(500, 50_000, 5_000):
        world.look(time)
    for now in range(0, 100_000, 5_000):
        world.round(now)
    (gap,) = world.findings
    assert (gap.start, gap.end, gap.served, gap.number) == (20_500, 25_500, 5, 1)


def test_lines_that_come_late_close_a_gap() -> None:
    world = steady(100)
    for request in world.requests[20:50]:
        request.arrives = 80_000
    watch(world, 120_000)
    gap, closed = world.findings
    assert (gap.act, gap.number) == (Act.GAP, 30)
    assert (closed.act, closed.number, closed.total) == (Act.CLOSED, 30, 0)


def test_a_request_longer_than_the_grace_is_missing_until_its_line_comes() -> None:
    world = steady(10)
    world.requests.append(Request(12_000, 12_001, 90_000, 90_010))
    watch(world, 120_000)
    assert [(f.act, f.number) for f in world.findings] == [(Act.GAP, 1), (Act.CLOSED, 1)]


@pytest.mark.parametrize("says_end", [False, True])
def test_slow_requests_within_the_grace_make_no_gap(says_end: bool) -> None:
    world = World()
    for number in range(2_000):
        begin = 10_000 + number * 20
        end = begin + (number * 37) % 20_000
        world.requests.append(Request(begin, begin + 3, end, end + 10, says_end))
    watch(world, 120_000)
    assert world.findings == []


def test_more_entries_than_were_served_are_said_and_hide_no_later_gap() -> None:
    world = steady(200)
    world.requests += [Request(10_500, 99_999_999, 10_505, 10_600) for _ in range(50)]
    for request in world.requests[-50:]:
        request.counted = 10_501
        request.epoch = "another balancer"
    later = steady(200, range(50, 60), start=60_000)
    world.requests += later.requests
    watch(world, 120_000)
    assert [(f.act, f.number) for f in world.findings] == [(Act.SURPLUS, 50), (Act.GAP, 10)]


def test_a_wrong_match_is_not_told_at_every_look() -> None:
    world = steady(5_000, step=20)
    for request in world.requests:
        request.epoch = "another balancer"
    watch(world, 120_000)
    assert 1 <= len(world.of(Act.SURPLUS)) <= 12
    assert world.of(Act.GAP) == []


def test_a_reload_leaves_a_stretch_unknown_and_no_false_gap() -> None:
    world = steady(3_000)
    for request in world.requests:
        request.epoch = "e1" if request.begin < 21_300 else "e2"
    # The old process still answers what comes over connections that it has.
    for request in world.requests[1_200:1_250]:
        request.epoch = "e1"
    for time in range(0, 60_000, 5_000):
        world.look(time, "e1" if time < 21_300 else "e2")
    for now in range(0, 120_000, 10_000):
        world.round(now)
    assert {f.act for f in world.findings} == {Act.UNKNOWN}
    first = world.findings[0]
    assert (first.start, first.end) == (20_000, 25_000)


def test_a_gap_after_a_reload_is_found() -> None:
    world = steady(400)
    world.requests += steady(500, range(100, 120), start=16_000).requests
    for request in world.requests:
        request.epoch = "e1" if request.begin < 14_000 else "e2"
    for time in range(0, 60_000, 5_000):
        world.look(time, "e1" if time < 14_000 else "e2")
    for now in range(0, 120_000, 10_000):
        world.round(now)
    assert world.told() == 20


def test_looks_that_repeat_or_come_out_of_order_change_nothing() -> None:
    world = steady(500, range(100, 110))
    for time in (0, 5_000, 30_000, 5_000, 0, 30_000, 40_000):
        world.look(time)
    for now in range(0, 120_000, 10_000):
        world.round(now)
    assert world.told() == 10


def test_a_ledger_stays_small() -> None:
    world = steady(2_000, range(0, 2_000, 7), step=100)
    watch(world, 400_000, every=1_000)
    assert world.told() == len(range(0, 2_000, 7))
    assert world.ledger.current is not None
    assert len(world.ledger.current.looks) <= MAX_LOOKS + 60


requests = st.builds(
    lambda begin, head, rest, late, lost, says_end: Request(
        begin, begin + head, begin + head + rest, None if lost else begin + late, says_end
    ),
    st.integers(1_000, 60_000),
    st.integers(0, 3_000),
    st.integers(0, 8_000),
    st.integers(11_000, 20_000),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(requests, max_size=40),
    st.lists(st.tuples(st.integers(0, 80_000), st.integers(-200, 200)), min_size=2, max_size=20),
)
def test_never_more_than_was_lost_and_all_of_it_in_the_end(served, looks) -> None:
    world = World(served)
    world.look(-10_000)
    for time, off in sorted(looks):
        world.look(time, off=off)
    world.look(100_000)
    for now in range(0, 200_000, 7_000):
        world.round(now)
        assert world.told() <= sum(request.arrives is None for request in served)
        assert world.of(Act.SURPLUS) == []
    assert world.told() == sum(request.arrives is None for request in served)
