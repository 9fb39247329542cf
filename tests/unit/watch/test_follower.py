"""The follower over a log in memory: resumed from books or records, it says all once."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from muniment.errors import QueryError, Unavailable
from muniment.log.disk import PosixDisk
from muniment.query.stretch import Tally, tally
from muniment.watch.books import MAX_OF_SENDER, Books
from muniment.watch.follower import Completeness
from muniment.watch.records import Counted

START = 1_772_359_200_000
GRACE = 2_000


class Clock:
    ms = START

    def now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.ms / 1000, datetime.UTC)

    def monotonic(self) -> float:
        return self.ms / 1000


class MemoryLog:
    """One shard; answers as the query process does."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.rows, self.seen = clock, [], []
        self.asked: list[str] = []
        self.crash = self.behind = False

    def add(self, kind: str, time: int, raw: Mapping[str, Any] | None = None) -> None:
        received = self.clock.now().isoformat().replace("+00:00", "Z")
        row = {"time": time, "received": received, "raw_data": json.dumps(raw or {})}
        self.rows.append({**row, "kind": kind, "index": len(self.rows), "shard": "s"})

    def sizes(self) -> dict[str, int]:
        return {"s": len(self.rows)}

    def indexed(self, log: str) -> dict[str, int]:
        return {"s": 0} if self.behind else self.sizes()

    def _kind(self, q: str) -> str:
        return "counters" if q == "source:counters" else "own"

    async def search(self, log: str, q: str, *, start: int, **asked: Any) -> dict[str, Any]:
        found = [r for r in self.rows if r["kind"] == self._kind(q) and r["time"] >= start]
        return {"rows": sorted(found, key=lambda row: row["time"]), "next": None}

    async def tail(self, log: str, q: str, *, after: Mapping[str, int], **asked: Any) -> Any:
        rows = [r for r in self.rows[after["s"] + 1 :] if r["kind"] == self._kind(q)]
        return {"rows": rows, "after": {"s": len(self.rows) - 1}}

    slow = 0

    async def tally(
        self, log: str, q: str, *, borders: Sequence[int], settled: int, since: Any, until: Any
    ) -> Tally:
        if q == "(":
            raise QueryError("nonsense")
        self.asked.append(q)
        self.clock.ms += self.slow
        groups = [
            (row["time"] - 250, row["time"] + 250, row["index"] >= since["s"], 1)
            for row in self.rows[: until["s"]]
            if row["kind"] == q
        ]
        return tally(groups, borders, settled)

    async def sequences(self, log: str, *, since: Any, until: Any) -> list[dict[str, Any]]:
        found = [r for r in self.rows[since["s"] : until["s"]] if r["kind"] == "parcel"]
        return [json.loads(row["raw_data"]) for row in found]

    async def put(self, records: Sequence[Mapping[str, Any]]) -> None:
        for record in records:
            self.add("own", self.clock.ms, record)
        if self.crash:
            raise KeyboardInterrupt

    def own(self) -> list[dict[str, Any]]:
        return [json.loads(row["raw_data"]) for row in self.rows if row["kind"] == "own"]


class Bench:
    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.log = MemoryLog(self.clock)
        self.path = directory / "completeness" / "edge.json"
        self.served, self.epoch = 0, "e1"
        self.restart()

    def restart(self) -> None:
        self.follower = Completeness(
            "edge",
            self.log,
            self.log.sizes,
            self.log.put,
            self.path,
            clock=self.clock,
            disk=PosixDisk(),
            interval=1,
            grace=GRACE / 1000,
        )

    def round(self) -> None:
        asyncio.run(self.follower.round())

    def serve(self, count: int, lost: int = 0) -> None:
        """So many requests over 10 s, then a look, and rounds until the grace is over."""
        for number in range(count):
            self.served += 1
            if number >= lost:
                self.log.add("web", self.clock.ms + 1_000 + number)
        self.clock.ms += 10_000
        self.look()

    def look(self, match: str = "web") -> None:
        counter = {"name": "web", "served": self.served, "epoch": self.epoch, "match": match}
        look = {"instance": "haproxy:lb1", "counters": [counter]}
        self.log.add("counters", self.clock.ms, look)
        self.round()
        self.clock.ms += GRACE
        self.round()

    def missing(self) -> int:
        signs = {"completeness.gap": "missing", "completeness.closed": "arrived"}
        found = [r for r in self.log.own() if r["action"] in signs]
        numbers = [(r["action"], r[signs[r["action"]]]) for r in found]
        return sum(n if action == "completeness.gap" else -n for action, n in numbers)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.look()
    return made


def test_what_is_missing_is_recorded_once(bench: Bench) -> None:
    bench.serve(100)
    bench.serve(100, lost=12)
    bench.serve(100)
    (gap,) = bench.log.own()
    assert gap["message"].startswith("web served 100 requests between ")
    assert gap["message"].endswith("88 entries arrived, 12 missing")
    assert (gap["resource"], gap["reason"]) == ("haproxy:lb1/frontend/web", "counters")
    assert (gap["missing"], gap["total"], gap["exact"]) == (12, 12, True)


def test_it_resumes_from_its_books(bench: Bench) -> None:
    bench.serve(50, lost=5)
    bench.restart()
    bench.serve(50, lost=7)
    assert [gap["missing"] for gap in bench.log.own()] == [5, 7]


def test_a_crash_between_record_and_books_tells_nothing_twice(bench: Bench) -> None:
    bench.log.crash = True
    with pytest.raises(KeyboardInterrupt):
        bench.serve(50, lost=5)
    bench.log.crash = False
    bench.restart()
    bench.round()
    bench.serve(50, lost=3)
    assert [gap["missing"] for gap in bench.log.own()] == [5, 3]


@pytest.mark.parametrize("damage", [None, b"", b"{", b'{"version":2}', b"[1]"])
def test_without_its_books_it_counts_nothing_twice(bench: Bench, damage: bytes | None) -> None:
    bench.serve(50, lost=5)
    bench.serve(50)
    bench.path.unlink()
    if damage is not None:
        bench.path.write_bytes(damage)
    bench.restart()
    bench.round()
    bench.serve(50, lost=4)
    assert [gap["missing"] for gap in bench.log.own()] == [5, 4]


def test_what_comes_late_closes_the_gap_after_a_restart_too(bench: Bench) -> None:
    bench.serve(50, lost=5)
    bench.restart()
    for number in range(5):
        bench.log.add("web", START + GRACE + 1_500 + number)
    bench.round()
    assert [one["action"] for one in bench.log.own()] == [
        "completeness.gap",
        "completeness.closed",
    ]
    assert bench.missing() == 0


def test_a_reload_is_recorded_as_unknown(bench: Bench) -> None:
    bench.serve(50)
    bench.epoch, bench.served = "e2", 0
    bench.serve(10)
    (record,) = bench.log.own()
    assert (record["action"], record["outcome"]) == ("completeness.unknown", "unknown")


def test_nothing_is_counted_while_the_index_is_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.watch.follower.INDEX_PAUSE", 0)
    bench.log.behind = True
    with pytest.raises(Unavailable):
        bench.serve(50, lost=5)
    assert bench.log.own() == []
    bench.log.behind = False
    bench.clock.ms += GRACE
    bench.round()
    assert bench.missing() == 5


def test_a_sender_of_slow_counters_does_not_hold_the_others_up(bench: Bench) -> None:
    counters = [{"name": f"n{n}", "served": 1, "epoch": "e", "match": f"slow{n}"} for n in range(5)]
    for served in (1, 2):
        for one in counters:
            one["served"] = served
        bench.clock.ms += 10_000
        bench.log.add("counters", bench.clock.ms, {"instance": "x:y", "counters": counters})
        bench.round()
    bench.clock.ms += GRACE
    bench.log.slow, bench.log.asked = 6_000, []
    bench.round()
    assert len(bench.log.asked) == 2, "10 s are over after two that take 6 s each"
    bench.round()
    assert len(set(bench.log.asked)) == 4, "those left out go first in the next round"


def test_a_sender_cannot_take_the_places_of_all_others() -> None:
    books = Books()
    made = [books.ledger(Counted("a", "x:y", str(n))) for n in range(MAX_OF_SENDER + 3)]
    assert made[-3:] == [None] * 3
    assert books.left_out == 3
    assert books.ledger(Counted("b", "x:y", "0")) is not None


def test_a_match_that_is_no_query_is_a_problem_of_its_own(bench: Bench) -> None:
    bench.look("(")
    assert list(bench.follower.problems.values()) == ["'(' cannot be counted: nonsense"]
    bench.serve(50, lost=5)
    assert bench.follower.problems == {}
    assert bench.missing() == 5


def test_numbers_that_are_passed_over_are_recorded(bench: Bench) -> None:
    def parcel(first: int, last: int) -> None:
        found = {"sender": "a", "stream": "lb1/x", "first": first, "last": last, "copies": 1}
        bench.log.add("parcel", bench.clock.ms, found)
        bench.round()
        bench.clock.ms += GRACE

    parcel(1, 10)
    parcel(21, 30)
    parcel(31, 40)
    bench.restart()
    parcel(11, 20)
    parcel(31, 40)
    acts = [(one["action"], one["first"], one["last"]) for one in bench.log.own()]
    assert acts == [
        ("completeness.gap", 11, 20),
        ("completeness.closed", 11, 20),
        ("completeness.repeated", 31, 40),
    ]


def test_the_books_survive_their_file(bench: Bench) -> None:
    bench.serve(50, lost=5)
    books = Books.decode(bench.path.read_bytes())
    assert books is not None
    assert books.encode() == bench.path.read_bytes()
