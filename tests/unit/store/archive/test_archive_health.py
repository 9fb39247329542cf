"""What fails is counted, told once, and never taken for confirmed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from carried_shard import LOG, MINUTE, SHARD, Node, originals_of, same_bytes, settle, simulated
from simulator import Call, Fault, SimulatedStore

from muniment.store.archive.lane import EVIDENCE_SECONDS, EXTEND_SECONDS
from muniment.store.names import segment_key, tree_key, verifier_key
from muniment.store.port import Lock, Mode

KEY = segment_key(LOG, SHARD, 0)


def test_a_bit_that_is_another_when_read_back_is_never_confirmed(node: Node) -> None:
    store = store_of(node)
    store.faults.always(Fault.FLIPPED, "get_range", KEY)
    archive = node.archive()
    settle(archive)
    assert archive.covered(LOG, SHARD) == 0
    assert node.covered == []
    assert node.actions() == ["archive.conflict"]
    assert KEY in archive.status().stores[0].trouble
    node.clock.seconds += EVIDENCE_SECONDS + 1
    settle(archive)
    assert node.actions() == ["archive.conflict"]  # told once
    store.faults.clear()
    node.clock.seconds += EVIDENCE_SECONDS + 1
    settle(archive)
    assert archive.covered(LOG, SHARD) == node.size
    assert archive.status().stores[0].conflicts == []


@pytest.mark.parametrize("other", [b"other bytes", None], ids=["another size", "the same size"])
def test_other_bytes_under_a_key_are_a_conflict_and_stay(node: Node, other: bytes | None) -> None:
    store = store_of(node)
    original = originals_of(node)["00000000000000000000.seg"]
    there = other or original[:-1] + bytes([original[-1] ^ 1])
    store.put(KEY, there)
    archive = node.archive()
    settle(archive)
    assert store.backing.contents()[KEY] == there
    assert len(list(store.versions(KEY))) == 1
    assert node.actions() == ["archive.conflict"]
    assert archive.covered(LOG, SHARD) == 0
    lag = archive.status().stores[0].lags[0]
    assert (lag.waiting, lag.shard) == (1, SHARD)  # the others went on
    log, record = node.told[0]
    assert log == LOG
    assert record["resource"] == "store:primary"
    assert KEY in str(record["message"])


def test_what_somebody_puts_between_our_look_and_our_put_is_a_conflict(node: Node) -> None:
    """In a store that does not fence, theirs is the first version, and that is what counts."""
    store = store_of(node)
    store.backing.fencing = False
    somebody = store.seen_by("somebody")

    def plan(call: Call) -> None:
        if (call.operation, call.key) == ("put_if_absent", KEY):
            somebody.put(KEY, b"forged")

    store.faults.plan = plan
    archive = node.archive()
    settle(archive)
    assert node.actions() == ["archive.conflict"]
    assert archive.covered(LOG, SHARD) == 0


@pytest.mark.parametrize("size", ["another", "the same"])
def test_what_was_put_over_a_segment_is_told_and_its_first_version_counts(
    node: Node, size: str
) -> None:
    settle(node.archive())
    node.lose_books()
    store = store_of(node)
    original = store.get(KEY)
    store.put(KEY, b"other bytes" if size == "another" else bytes(len(original)))
    archive = node.archive()
    settle(archive)
    assert archive.covered(LOG, SHARD) == node.size
    assert node.actions() == ["archive.conflict"]
    assert "first version" in str(node.told[0][1]["message"])
    (copy,) = (o for o in store.versions(KEY) if not o.latest)
    with archive._segments[LOG, SHARD].books.change() as items:
        assert items["0" * 20].copies["primary"].versions[1] == copy.version


def test_a_store_that_fails_for_long_is_told_of_once_and_when_it_is_back(node: Node) -> None:
    store = store_of(node)
    store.faults.always(Fault.BUSY)
    archive = node.archive()
    lane = archive.lanes[0]
    for _ in range(10):
        lane._try_round()
        node.clock.seconds += MINUTE / 4
    status = archive.status().stores[0]
    assert status.failures == {"busy": 10}
    assert "503" in status.trouble
    assert status.failing_since
    assert node.actions() == ["archive.failing"]
    assert node.told[0][1]["reason"] == "busy"
    store.faults.clear()
    settle(archive)
    assert node.actions() == ["archive.failing", "archive.recovered"]
    assert archive.status().stores[0].trouble == ""
    assert archive.covered(LOG, SHARD) == node.size


def test_a_short_failure_is_counted_only(node: Node) -> None:
    store_of(node).faults.next(Fault.UNREACHABLE, times=3)
    archive = node.archive()
    settle(archive)
    for _ in range(3):
        archive.lanes[0]._try_round()
    assert node.actions() == []
    assert archive.status().stores[0].failures == {"unreachable": 3}


def test_pauses_grow_and_are_drawn(node: Node) -> None:
    store_of(node).faults.always(Fault.CREDENTIALS)
    lane = node.archive().lanes[0]
    pauses = [lane._try_round() for _ in range(10)]
    bounds = [min(2.0**n, 120.0) for n in range(10)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert len({pause / bound for pause, bound in zip(pauses, bounds, strict=True)}) > 1


def test_a_backup_that_is_away_does_not_hold_up_the_primary(node: Node) -> None:
    backup = simulated("backup")
    backup.faults.always(Fault.UNREACHABLE)
    node.stores = [*node.stores, backup]
    archive = node.archive()
    settle(archive)
    assert archive.covered(LOG, SHARD) == node.size
    one, two = archive.status().stores
    assert sum(lag.waiting for lag in one.lags) == 0
    assert (one.primary, two.primary) == (True, False)
    backup.faults.clear()
    settle(archive)
    same_bytes(node, backup, originals_of(node))


def test_lag_tells_what_waits_and_since_when(node: Node) -> None:
    store = store_of(node)
    store.faults.always(Fault.FULL, "put_if_absent")
    archive = node.archive()
    archive.lanes[0]._try_round()
    lag = archive.status().stores[0].lags[0]
    sealed = originals_of(node)
    assert lag.waiting == len(sealed) + 1  # and the verifier
    assert lag.waiting_bytes == sum(map(len, sealed.values()))
    store.faults.clear()
    settle(archive)
    lag = archive.status().stores[0].lags[0]
    assert (lag.waiting, lag.oldest, lag.objects) == (0, 0.0, 2 * len(sealed) + 1)


class Policy:
    """A retention that can grow."""

    def __init__(self, days: int) -> None:
        self.days = days

    def __call__(self, log: str, since: datetime, mode: Mode) -> Lock | None:
        until = (since + timedelta(days=self.days)).replace(microsecond=0)
        return None if mode is Mode.OFF else Lock(mode, until)


def test_objects_are_locked_from_sealing_on_and_longer_when_the_policy_grows(node: Node) -> None:
    store, policy = store_of(node), Policy(4_000)
    node.mode, node.rules = Mode.COMPLIANCE, {"lock_for": policy}
    archive = node.archive()
    settle(archive)
    sealed = int(node.sealed()[0].stat().st_mtime_ns // 10**9)
    until = store.state(KEY).lock
    assert until is not None
    assert until.mode is Mode.COMPLIANCE
    assert 0 <= until.until.timestamp() - sealed - 4_000 * 86_400 <= 1
    assert store.state(tree_key(LOG, SHARD, 0)).lock == until
    assert store.state(verifier_key(LOG, SHARD)).lock is not None
    policy.days = 5_000
    node.clock.seconds += EXTEND_SECONDS + 1
    settle(archive)
    longer = store.state(KEY).lock
    assert longer is not None
    assert longer.until - until.until == timedelta(days=1_000)
    calls = len(store.calls)
    node.clock.seconds += EXTEND_SECONDS + 1
    settle(archive)
    assert len(store.calls) == calls


def test_a_lock_that_would_have_ended_is_not_asked_for(node: Node) -> None:
    node.mode, node.rules = Mode.COMPLIANCE, {"lock_for": Policy(-4_000)}
    settle(node.archive())
    assert store_of(node).state(KEY).lock is None


def test_an_object_that_was_there_without_a_lock_gets_it(node: Node) -> None:
    settle(node.archive())
    node.lose_books()
    node.mode, node.rules = Mode.COMPLIANCE, {"lock_for": Policy(4_000)}
    settle(node.archive())
    assert store_of(node).state(KEY).lock is not None
    assert store_of(node).state(verifier_key(LOG, SHARD)).lock is not None


def test_what_is_on_hold_is_held_in_the_store(node: Node) -> None:
    node.mode = Mode.GOVERNANCE
    node.rules["held"] = lambda log, shard, first, size: first == 0
    settle(node.archive())
    store = store_of(node)
    assert store.state(KEY).hold
    assert store.state(tree_key(LOG, SHARD, 0)).hold
    assert not store.state(segment_key(LOG, SHARD, 194)).hold


def test_a_store_without_locks_takes_what_is_on_hold_all_the_same(node: Node) -> None:
    node.rules["held"] = lambda log, shard, first, size: True
    settle(node.archive())
    assert not store_of(node).state(KEY).hold


def store_of(node: Node) -> SimulatedStore:
    store = node.stores[0]
    assert isinstance(store, SimulatedStore)
    return store
