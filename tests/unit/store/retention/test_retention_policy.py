"""A retention only ever grows, and is recorded before it counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from kept_log import DATA, LOG, KeptLog
from simulated_disk import SimulatedDisk
from simulator import Fault

from muniment.data_names import RETENTION
from muniment.errors import Corrupt, SettingsError
from muniment.settings.store import Retention as Wanted
from muniment.store.names import policy_key
from muniment.store.port import Mode
from muniment.store.retention.policy import Policy, spelled
from muniment.store.retention.record import Place, Record, Retentions

SEALED = datetime(2026, 1, 2, 3, 4, 5, 250_000, UTC)


def wanted(minimum: int | None, maximum: int | None) -> Wanted:
    times = [None if one is None else timedelta(seconds=one) for one in (minimum, maximum)]
    return Wanted(minimum=times[0], maximum=times[1])


def opened(disk: SimulatedDisk, settings: Wanted | None) -> Record:
    return Record.open(LOG, Place.of(DATA, LOG, disk), settings, FakeClock())


def test_what_the_settings_want_is_recorded() -> None:
    disk = SimulatedDisk()
    assert opened(disk, None).current is None
    assert opened(disk, wanted(60, 600)).current is not None
    assert str(opened(disk, None).current) == "minimum 1m, maximum 10m"
    assert len(opened(disk, wanted(60, 600)).policies) == 1


@pytest.mark.parametrize("shorter", [(59, 600), (60, 599), (None, 600), (None, 30)])
def test_shorter_is_refused(shorter: tuple[int | None, int | None]) -> None:
    disk = SimulatedDisk()
    opened(disk, wanted(60, 600))
    with pytest.raises(SettingsError) as caught:
        opened(disk, wanted(*shorter))
    said = caught.value.detail
    assert "minimum 1m, maximum 10m" in said
    assert str(DATA / RETENTION / f"{LOG}.json") in said
    assert len(opened(disk, None).policies) == 1


def test_a_log_that_is_kept_for_ever_stays_so() -> None:
    disk = SimulatedDisk()
    opened(disk, wanted(60, None))
    with pytest.raises(SettingsError, match="no maximum"):
        opened(disk, wanted(60, 600))


@pytest.mark.parametrize("longer", [(61, 600), (60, 601), (60, None), (120, None)])
def test_longer_is_another_policy(longer: tuple[int | None, int | None]) -> None:
    disk = SimulatedDisk()
    opened(disk, wanted(60, 600))
    record = opened(disk, wanted(*longer))
    assert [one.number for one in record.policies] == [1, 2]
    assert (record.current.minimum, record.current.maximum) == longer  # type: ignore[union-attr]


def test_a_lock_ends_a_minimum_after_sealing_in_whole_seconds() -> None:
    disk, clock = SimulatedDisk(), FakeClock()
    settings = {LOG: wanted(90, None)}
    found = Retentions.open(DATA, [LOG, "other"], settings, disk, clock)
    lock = found.lock_for(LOG, SEALED, Mode.GOVERNANCE)
    assert lock is not None
    assert (lock.mode, lock.until) == (Mode.GOVERNANCE, datetime(2026, 1, 2, 3, 5, 36, tzinfo=UTC))
    assert found.lock_for(LOG, SEALED, Mode.OFF) is None
    assert found.lock_for("other", SEALED) is None
    assert found.lock_for(LOG, SEALED - timedelta(days=1)) is None


def test_a_damaged_record_is_not_passed_over(tmp_path: Path) -> None:
    disk = SimulatedDisk()
    opened(disk, wanted(60, 600))
    path = Place.of(DATA, LOG, disk).path
    data = disk.read(path)
    for broken in (data[:-9], data.replace(b'"web"', b'"abc"'), b"[]", b"\xff"):
        disk.remove(path)
        file = disk.create(path)
        file.write(broken)
        file.sync()
        with pytest.raises(Corrupt):
            opened(disk, None)


@pytest.mark.fuzz
@given(st.binary(max_size=400))
def test_any_bytes_are_a_policy_or_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        Policy.decode(data, "policy", LOG)


@pytest.mark.fuzz
@given(st.one_of(st.none(), st.integers()), st.one_of(st.none(), st.integers()), st.integers())
def test_a_policy_survives_its_encoding_or_is_refused(
    minimum: int | None, maximum: int | None, number: int
) -> None:
    policy = Policy(LOG, number, minimum, maximum, "2026-01-02T03:04:05.000000Z")
    try:
        found = Policy.decode(policy.encode(), "policy", LOG)
    except Corrupt:
        return
    assert found == policy


def test_durations_are_spelled_as_the_settings_write_them() -> None:
    found = [spelled(n) for n in (45, 60, 5_400, 7_200, 86_400 * 90, 365 * 86_400 * 7)]
    assert found == ["45s", "1m", "90m", "2h", "90d", "7y"]


def test_a_longer_policy_is_told_and_spread() -> None:
    log = KeptLog(stores=2)
    log.write()
    log.round()
    assert log.one.trouble == ""
    told = log.shard.size
    before = {
        one.key: log.stores[1].state(one.key).lock for one in log.stores[1].versions("logs/web/1")
    }
    log.restart(wanted=wanted(3_600, 7_200))
    log.round()
    assert log.shard.size == told + 1
    assert b"retention.extended" in log.shard.reader.entry(told)
    for store in log.stores:
        assert store.head(policy_key(LOG, 2)) is not None
        for key, lock in before.items():
            now = store.state(key).lock
            assert lock is not None and now is not None
            assert now.until - lock.until == timedelta(seconds=3_540)
    calls = len(log.stores[0].calls)
    log.round()
    assert len(log.stores[0].calls) == calls
    assert log.shard.size == told + 1
    log.close()


def test_a_pass_goes_on_after_a_failure() -> None:
    log = KeptLog()
    log.write()
    log.round()
    log.restart(wanted=wanted(3_600, 7_200))

    log.stores[0].faults.next(Fault.UNREACHABLE, "extend")
    log.round()
    assert log.one.states["store-0"].trouble
    assert log.one.record.spread_to("store-0") == 1
    log.round()
    assert log.one.states["store-0"].trouble == ""
    assert log.one.record.spread_to("store-0") == 2
    log.close()


def test_a_policy_gets_another_number_where_a_store_has_used_its_own() -> None:
    log = KeptLog(minimum=60, maximum=600)
    log.round()
    log.close()
    other = KeptLog(minimum=70, maximum=6_000)
    other.stores = log.stores
    other.restart()
    other.round()
    current = other.one.record.current
    assert current is not None
    assert (current.minimum, current.maximum, current.number) == (70, 6_000, 2)
    found = Policy.decode(log.stores[0].get(policy_key(LOG, current.number)), "", LOG)
    assert found == current
    assert other.one.states["store-0"].trouble == ""
    other.restart(wanted=wanted(70, 6_000))
    other.close()


def test_nothing_expires_before_every_store_was_asked_for_its_policy() -> None:

    log = KeptLog(stores=2)
    log.write()
    log.passes(100_000)
    log.stores[1].faults.always(Fault.UNREACHABLE, "list")
    log.round()
    assert log.minimum == 0
    log.stores[1].faults.clear()
    log.round()
    assert log.minimum > 0
    log.close()


def test_a_longer_policy_of_a_store_stops_expiry_and_locks_nothing() -> None:
    """Anybody who can put one object could have written it: somebody has to look."""
    log = KeptLog()
    log.round()
    log.close()
    new = KeptLog(minimum=10, maximum=20)
    new.stores = log.stores
    new.close()
    new.open()
    new.write()
    new.passes(100_000)
    new.round()
    current = new.one.record.current
    assert current is not None
    assert (current.minimum, current.maximum) == (10, 20)
    assert "set it in [retention." in new.one.states["store-0"].trouble
    assert new.minimum == 0
    new.restart(wanted=wanted(60, 600))
    new.round()
    assert new.one.states["store-0"].trouble == ""
    assert new.minimum > 0
    new.close()
