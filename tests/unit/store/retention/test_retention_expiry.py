"""Segments go when their time is over, on record, in order, whatever happens meanwhile."""

from __future__ import annotations

import json
from random import Random

import pytest
from kept_log import DIRECTORY, LOG, SHARD, KeptLog
from simulator import Fault

from muniment.errors import Expired
from muniment.log.checkpoint import Checkpoint
from muniment.log.merkle import check_inclusion, leaf_hash
from muniment.log.pruned import PRUNED, parse_pruned
from muniment.log.segment import segment_name
from muniment.store.names import pruned_key, segment_key
from muniment.store.port import Lock, Mode


def aged(stores: int = 1, **times: int | None) -> KeptLog:
    """A log with entries of two ages: the older ones are due in 100 seconds."""
    log = KeptLog(stores, **times)
    log.write(commits=6)
    log.passes(500)
    log.write(commits=4)
    log.round()
    return log


def assert_expired(log: KeptLog) -> int:
    """Old segments are gone everywhere, on record, and the rest is intact; returns the minimum."""
    minimum = log.minimum
    assert minimum > 0
    assert log.firsts()[0] == minimum
    for number, store in enumerate(log.stores):
        assert all(first >= minimum for first in log.archived(number))
        data = store.get(pruned_key(LOG, SHARD, minimum))
        assert data == log.disk.read(DIRECTORY / PRUNED)
    note = parse_pruned(
        log.disk.read(DIRECTORY / PRUNED), "", log.one.shards[SHARD].signer.verifier
    )
    assert note.is_stated_by(log.shard.reader.entry(note.act))
    report = log.verify()
    assert report.findings == []
    return minimum


def test_nothing_goes_before_its_time() -> None:
    log = aged()
    log.passes(99)
    log.round()
    assert log.minimum == 0
    assert log.firsts()[0] == 0
    assert log.one.shard_states[SHARD].next is not None
    log.close()


def test_old_segments_go_and_the_rest_is_proved() -> None:
    log = aged(stores=2)
    trees = log.keys(".tree")
    old = log.shard.checkpoint()
    assert old is not None
    head = Checkpoint.of_note(old)
    index = head.size - 3
    entry, path = log.shard.reader.entry(index), log.shard.reader.inclusion_proof(index, head.size)
    log.passes(101)
    log.round()
    minimum = assert_expired(log)
    assert minimum >= 300
    assert log.keys(".tree") == trees
    with pytest.raises(Expired):
        log.shard.reader.entry(minimum - 1)
    check_inclusion(index, head.size, leaf_hash(entry), path, head.root)
    assert log.shard.reader.inclusion_proof(index, head.size) == path
    log.restart()
    assert log.minimum == minimum
    log.close()


def test_the_act_names_what_goes() -> None:
    log = aged()
    sizes = {name: log.disk.size(DIRECTORY / name) for name in map(segment_name, log.firsts())}
    log.passes(101)
    log.round()
    note = parse_pruned(
        log.disk.read(DIRECTORY / PRUNED), "", log.one.shards[SHARD].signer.verifier
    )
    header, _, body = log.shard.reader.entry(note.act).partition(b"\n")
    assert json.loads(header)["via"] == "muniment"
    act = json.loads(body)
    assert (act["first"], act["last"], act["minimum"]) == (0, note.minimum - 1, note.minimum)
    assert [one["bytes"] for one in act["segments"]] == [
        sizes[one["name"]] for one in act["segments"]
    ]
    assert log.shard.published_size > note.act
    log.close()


def test_without_a_maximum_nothing_goes() -> None:
    log = aged(maximum=None)
    log.passes(10**8)
    log.round()
    assert log.minimum == 0
    log.close()


def test_a_lock_keeps_a_segment_and_all_behind_it() -> None:
    log = aged()
    third = log.firsts()[2]
    until = log.clock.now().replace(year=2030)
    log.stores[0].extend(segment_key(LOG, SHARD, third), Lock(Mode.COMPLIANCE, until))
    log.passes(101)
    log.round()
    assert log.minimum == third
    state = log.one.shard_states[SHARD]
    assert "is locked in store-0" in state.kept_back
    assert state.next == until
    assert log.verify().findings == []
    log.close()


def test_a_hold_of_somebody_else_in_a_store_keeps_a_segment() -> None:
    log = aged()
    second = log.firsts()[1]
    log.stores[0].hold(segment_key(LOG, SHARD, second), True)
    log.passes(101)
    log.round()
    assert log.minimum == second
    assert "on legal hold in store-0" in log.one.shard_states[SHARD].kept_back
    log.close()


def test_a_store_that_refuses_keeps_its_copy_and_is_named() -> None:
    log = aged(stores=2)
    log.passes(101)
    key = segment_key(LOG, SHARD, 0)
    seen = log.stores[1].state

    def blind(wanted: str, *, version: str = "") -> object:
        found = seen(wanted, version=version)
        return type(found)(found.key, found.version) if wanted == key else found

    log.stores[1].state = blind  # type: ignore[assignment, method-assign]
    until = log.clock.now().replace(year=2030)
    log.stores[1].extend(key, Lock(Mode.COMPLIANCE, until))
    log.round()
    assert log.minimum > 0
    assert 0 in log.archived(1) and 0 not in log.archived(0)
    assert log.one.shard_states[SHARD].kept == {"store-1": 1}
    assert log.verify().findings == []
    log.clock.passed *= 2_000_000
    log.round()
    assert log.one.shard_states[SHARD].kept == {}
    assert 0 not in log.archived(1)
    log.close()


def test_a_store_that_does_not_answer_is_served_later() -> None:
    log = aged(stores=2)
    log.passes(101)
    log.stores[1].faults.always(Fault.UNREACHABLE, "remove_version")
    log.round()
    assert log.minimum > 0
    assert "store-1" in log.one.shard_states[SHARD].behind
    assert 0 in log.archived(1)
    log.stores[1].faults.clear()
    log.round()
    assert_expired(log)
    log.close()


def test_a_store_whose_locks_cannot_be_read_keeps_everything() -> None:
    log = aged(stores=2)
    log.passes(101)
    log.stores[1].faults.always(Fault.UNREACHABLE, "state")
    log.round()
    assert log.minimum == 0 and log.one.trouble
    log.stores[1].faults.clear()
    log.round()
    assert_expired(log)
    log.close()


def test_later_versions_and_markers_of_what_expired_go_too() -> None:
    log = aged()
    key = segment_key(LOG, SHARD, 0)
    log.stores[0].put(key, b"another")
    log.stores[0].backing.hide(key)
    log.passes(101)
    log.round()
    assert list(log.stores[0].versions(key)) == []
    assert_expired(log)
    log.close()


def test_it_goes_on_round_after_round() -> None:
    log = aged(stores=2)
    found = []
    for _ in range(4):
        log.passes(400)
        log.write(commits=3)
        log.round()
        found.append(log.minimum)
    assert found == sorted(found) and len(set(found)) >= 3
    assert_expired(log)
    log.close()


@pytest.mark.parametrize("seed", range(2))
def test_a_power_loss_at_any_step_is_gone_over(seed: int) -> None:
    random = Random(seed)
    log = aged()
    log.passes(101)
    moments = log.moments(log.round, random)
    minimum = assert_expired(log)
    log.close()
    assert len(moments) > 10
    for moment in moments:
        moment.open()
        moment.round()
        moment.close()  # publishes what was pending
        assert assert_expired(moment) == minimum


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.BUSY, Fault.LATE, Fault.DOUBLED, Fault.CUT])
def test_any_call_to_a_store_may_fail(fault: Fault) -> None:
    for seed in range(3):
        log = aged(stores=2)
        log.passes(101)
        for number, store in enumerate(log.stores):
            store.faults.at_random(seed * 2 + number, 0.3, [fault])
        for _ in range(3):
            log.round()
            assert log.verify().findings == []
        for store in log.stores:
            store.faults.clear()
            store.backing.land()
        log.round()
        log.round()
        assert_expired(log)
        log.close()
