"""The runner of a watcher: each difference once, with the times of the looks, whatever crashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import orjson
import pytest
from fake_clock import FakeClock
from simulated_disk import Fault, PowerLoss, SimulatedDisk, at_step

from muniment.capture.attestation import check
from muniment.capture.port import Counter, Observation, Passed, Stopped
from muniment.capture.snapshot import Snapshot
from muniment.capture.watch import MAX_STATE, REPEAT_SECONDS, Watch
from muniment.errors import InputError
from muniment.log.note import Signer

KNOWN = Path("known")
W1, W2 = "haproxy:lb1/server/web/w1", "haproxy:lb1/server/web/w2"


class Told:
    """A watcher that sees what a test says."""

    name = "haproxy:lb1"
    every = 0.001

    def __init__(self) -> None:
        self.seen: list[Observation | Exception] = []
        self.looks = 0

    def shows(self, **weights: int | None) -> None:
        objects = {
            f"haproxy:lb1/server/web/{name}": Snapshot({"weight": weight})
            for name, weight in weights.items()
            if weight is not None
        }
        self.seen = [Observation("servers", objects)]

    def observe(self) -> Iterable[Observation]:
        self.looks += 1
        for one in self.seen:
            if isinstance(one, Exception):
                raise one
            yield one

    def close(self) -> None:
        pass


class Spooled:
    """An outlet whose puts are durable or not done at all, as the spool's are."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.at: dict[str, Mapping[str, Any]] = {}
        self.stopped = False
        self.puts = 0

    def put(
        self,
        stream: str,
        source: str,
        records: Sequence[bytes],
        *,
        about: Mapping[str, str] | None = None,
        position: Mapping[str, Any] | None = None,
    ) -> int:
        if self.stopped:
            raise Stopped
        self.puts += 1
        first = len(self.records) + 1
        self.records += [(source, orjson.loads(one)) for one in records]
        if position is not None:
            self.at[stream] = orjson.loads(orjson.dumps(position))
        return first

    def position(self, stream: str) -> Mapping[str, Any] | None:
        return self.at.get(stream)

    def taken(self, source: str) -> list[dict[str, Any]]:
        """What was put of a source since it was asked last."""
        found = [event for of, event in self.records if of == source]
        self.records = [(of, event) for of, event in self.records if of != source]
        return found


class Bench:
    """A watcher, its runner, and restarts of it."""

    def __init__(self, disk: SimulatedDisk | None = None) -> None:
        self.clock, self.watcher, self.outlet = FakeClock(), Told(), Spooled()
        self.disk = disk or SimulatedDisk()
        self.start()

    def start(self) -> None:
        self.watch = Watch(self.watcher, self.outlet, KNOWN, self.clock, self.disk)

    def look(self, **weights: int | None) -> list[dict[str, Any]]:
        self.clock.seconds += 5
        if weights:
            self.watcher.shows(**weights)
        self.watch.look()
        return self.outlet.taken("change")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["change"], event["object"]) for event in events]


def test_the_first_look_observes_and_later_ones_tell_what_differs(bench: Bench) -> None:
    assert kinds(bench.look(w1=100, w2=100)) == [("observe", W1), ("observe", W2)]
    assert bench.look() == []

    (event,) = bench.look(w1=50, w2=100)

    assert event["change"] == "update"
    assert event["fields"] == [{"path": "/weight", "before": 100, "after": 50}]
    assert event["state"] == {"weight": 50}
    assert (event["since"], event["time"]) == (
        "2026-01-02T03:04:15.678901Z",
        "2026-01-02T03:04:20.678901Z",
    )
    assert kinds(bench.look(w2=100, w3=1)) == [
        ("delete", W1),
        ("create", "haproxy:lb1/server/web/w3"),
    ]


def test_what_changed_while_it_was_down_is_seen_after_a_restart(bench: Bench) -> None:
    bench.look(w1=100)
    bench.clock.seconds += REPEAT_SECONDS
    bench.look()
    bench.start()

    (event,) = bench.look(w1=1)

    assert event["change"] == "update"
    assert event["since"] == "2026-01-02T03:05:15.678901Z"
    bench.start()
    assert bench.look() == []


def test_a_first_look_that_finds_nothing_is_a_look(bench: Bench) -> None:
    bench.watcher.seen = [Observation("servers")]
    assert bench.look() == []
    bench.start()
    assert kinds(bench.look(w1=1)) == [("create", W1)]


def test_a_new_scope_is_observed_beside_known_ones(bench: Bench) -> None:
    bench.look(w1=100)
    bench.watcher.seen.append(Observation("maps", {"haproxy:lb1/map/a": Snapshot({})}))
    assert kinds(bench.look()) == [("observe", "haproxy:lb1/map/a")]


def test_what_cannot_be_seen_is_neither_deleted_nor_told_twice(bench: Bench) -> None:
    bench.look(w1=100)
    bench.watcher.seen = [Observation("servers", error="no answer")]
    assert bench.look() == []
    assert bench.look() == []
    (event,) = bench.outlet.taken("muniment")
    assert event["action"] == "capture.unseen"
    assert event["resource"] == "haproxy:lb1/servers"
    assert event["detail"] == "no answer"

    (event,) = bench.look(w1=50)

    assert event["since"] == "2026-01-02T03:04:10.678901Z", "the last good look"
    assert [one["action"] for one in bench.outlet.taken("muniment")] == ["capture.seen_again"]


def test_a_watcher_that_raises_keeps_what_it_told_before(bench: Bench) -> None:
    bench.watcher.shows(w1=1)
    bench.watcher.seen.append(InputError("nonsense"))
    assert kinds(bench.look()) == [("observe", W1)]
    (event,) = bench.outlet.taken("muniment")
    assert (event["resource"], event["detail"]) == ("haproxy:lb1", "nonsense")


@pytest.mark.parametrize("bad", [{"a": 1 << 70}, {"a": "\ud800"}, {"a": object()}])
def test_a_state_that_is_no_json_is_a_scope_that_cannot_be_seen(
    bench: Bench, bad: dict[str, Any]
) -> None:
    bench.watcher.seen = [Observation("servers", {W1: Snapshot(bad)})]
    assert bench.look() == []
    assert [one["action"] for one in bench.outlet.taken("muniment")] == ["capture.unseen"]


def test_a_state_that_is_too_large_is_captured_by_its_digest(bench: Bench) -> None:
    state = {"text": "x" * MAX_STATE}
    bench.watcher.seen = [Observation("files", {W1: Snapshot(state)})]
    (event,) = bench.look()
    assert event["state"] == {"bytes": MAX_STATE + 11, "sha256": Snapshot(state).version}


def test_edits_that_the_system_told_of_between_two_looks_stay_apart(bench: Bench) -> None:
    bench.look(w1=1)
    bench.watcher.shows(w1=4)
    seen = bench.watcher.seen[0]
    assert isinstance(seen, Observation)
    passed = [
        Passed(W1, Snapshot({"weight": 2}), "2026-01-02T03:04:11Z"),
        Passed(W1, None, "2026-01-02T03:04:12Z"),
        Passed(W1, Snapshot({"weight": 4}), "2026-01-02T03:04:13Z"),
    ]
    bench.watcher.seen = [Observation("servers", seen.objects, passed=passed)]

    events = bench.look()

    assert [(one["change"], one["time"][17:19], one["since"][17:19]) for one in events] == [
        ("update", "11", "10"),
        ("delete", "12", "11"),
        ("create", "13", "12"),
    ]


def test_counters_are_put_when_they_move_and_once_a_minute(bench: Bench) -> None:
    def counted(served: int) -> list[dict[str, Any]]:
        counter = Counter("in", served, "7@1", "frontend:in", 0)
        bench.watcher.seen = [Observation("doors", counters=[counter])]
        bench.look()
        return bench.outlet.taken("counters")

    (event,) = counted(1)
    assert event == {
        "instance": "haproxy:lb1",
        "time": "2026-01-02T03:04:10.678901Z",
        "counters": [
            {"name": "in", "served": 1, "epoch": "7@1", "match": "frontend:in", "dropped": 0}
        ],
    }
    assert len(counted(1)) == 1, "once more when they stand still"
    assert counted(1) == []
    assert len(counted(2)) == 1
    assert len(counted(2)) == 1
    assert counted(2) == []
    bench.clock.seconds += REPEAT_SECONDS
    assert len(counted(2)) == 1
    assert bench.outlet.at["haproxy:lb1"]["known"], "counters keep what is known"


def test_it_ends_when_it_is_told_to_and_when_the_agent_ends(bench: Bench) -> None:
    bench.watcher.shows(w1=1)
    for end in (Event.set, lambda _: setattr(bench.outlet, "stopped", True)):
        stopping = Event()
        thread = Thread(target=bench.watch.run, args=(stopping,))
        thread.start()
        looks = bench.watcher.looks
        while bench.watcher.looks < looks + 3:
            pass
        bench.watcher.shows(w1=bench.watcher.looks)
        end(stopping)
        thread.join(10)
        assert not thread.is_alive()


def test_a_lost_or_foreign_file_begins_anew(bench: Bench) -> None:
    bench.look(w1=1)
    (path,) = bench.disk.files()
    bench.disk.poke(path, b"{}")
    bench.start()
    assert kinds(bench.look()) == [("observe", W1)]


def test_what_another_version_wrote_begins_anew(bench: Bench) -> None:
    bench.look(w1=1)
    (path,) = bench.disk.files()
    other = b'{"servers":{"time":"2026-01-01T00:00:00Z","objects":{"x":{"unheard":1}}}}'
    bench.disk.poke(path, other)
    position = dict(bench.outlet.at["haproxy:lb1"])
    bench.outlet.at["haproxy:lb1"] = position | {"known": sha256(other).hexdigest()}
    bench.start()
    assert kinds(bench.look()) == [("observe", W1)]


def test_an_object_whose_name_is_no_utf_8_is_one_like_others(bench: Bench) -> None:
    bench.look(w1=1)
    (seen,) = bench.watcher.seen
    assert isinstance(seen, Observation)
    (snapshot,) = seen.objects.values()
    snapshot = replace(snapshot, names=["caf\udce9"])
    bench.watcher.seen = [replace(seen, objects={**seen.objects, "caf\udce9": snapshot})]
    (event,) = bench.look()
    assert (event["object"], event["names"]) == ("caf\\udce9", ["caf\\udce9"])
    bench.start()
    assert bench.look() == []


HISTORY = [{"w1": 1}, {"w1": 2}, {"w1": 2, "w2": 1}, {"w2": 1}, {"w2": 9, "w3": 3}]


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.PERSISTED, Fault.TORN, Fault.POWER])
def test_no_crash_loses_or_doubles_a_change(fault: Fault) -> None:
    whole = _lived(Bench())
    bench = Bench()
    _lived(bench)
    steps = len(bench.disk.steps)
    assert steps > 20
    for number in range(steps):
        disk = SimulatedDisk()
        disk.plan = at_step(number, fault)
        told = _lived(_begun(disk), Random(number))
        assert told == whole, f"step {number}: {disk.steps[number]}"


def _begun(disk: SimulatedDisk) -> Bench:
    try:
        return Bench(disk)
    except (OSError, PowerLoss):
        disk.plan = lambda step: None
        return Bench(SimulatedDisk())


def _lived(bench: Bench, random: Random | None = None) -> list[tuple[str, str, str]]:
    """What all looks told, with the process begun again wherever it failed."""
    events: list[dict[str, Any]] = []
    for weights in HISTORY:
        for _ in range(2):
            bench.clock.seconds += 5
            bench.watcher.shows(**weights)
            try:
                bench.watch.look()
            except OSError:
                bench.start()
                bench.watch.look()
            except PowerLoss:
                bench.disk = bench.disk.after_power_loss(random or Random(0))
                bench.start()
                bench.watch.look()
            events += bench.outlet.taken("change")
    return [(one["object"], one["change"], one.get("version", "")) for one in events]


def test_each_event_has_the_word_of_the_agent_whose_key_it_is() -> None:
    signer = Signer("lb1", b"a" * 32)
    watcher, outlet = Told(), Spooled()
    watch = Watch(watcher, outlet, KNOWN, FakeClock(), SimulatedDisk(), signer)
    watcher.shows(w1=100)
    watch.look()
    watcher.shows(w1=None)
    watch.look()
    seen, gone = outlet.taken("change")
    for event in (seen, gone):
        said = check(event["note"], W1, event.get("state"), signer.verifier)
        assert said["time"] == event["time"]
    assert (seen["state"], gone["change"]) == ({"weight": 100}, "delete")
