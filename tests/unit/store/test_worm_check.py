"""`worm check` against stores that keep their promise, and against such that break one each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import lying_stores as lying
import pytest
from fake_clock import FakeClock
from simulator import Fault

from muniment.errors import StoreFailing
from muniment.settings.store import Connection
from muniment.store.archive.confirmed import Confirmed
from muniment.store.local import LocalStore
from muniment.store.local_attribute import set_immutable
from muniment.store.names import attachment_key, segment_key
from muniment.store.port import Lock, Mode
from muniment.store.worm import Expected, Report, Verdict, check_archive, check_wal

YEAR = timedelta(days=365)
LOG = {"default": YEAR}


def check(store: lying.Honest, mode: Mode = Mode.COMPLIANCE, **how: object) -> Report:
    clock = store.backing.clock
    assert isinstance(clock, FakeClock)

    def sleep(seconds: float) -> None:
        clock.seconds += seconds

    how = {"versions": True, "expected": Expected(mode, LOG)} | how
    return check_archive(store, None, clock=clock, sleep=sleep, **how)  # type: ignore[arg-type]


def broken(report: Report) -> set[str]:
    return {probe.name for probe in report.broken}


class Awaited(Confirmed):
    """The books of a node in which entries below 10 have expired meanwhile."""

    def __init__(self, known: dict[str, int]) -> None:
        super().__init__(Path("data"), "primary")
        self._known = known

    def sizes(self) -> dict[str, int]:
        return dict(self._known)

    def _minimum(self, directory: Path) -> int:
        return 10


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def put(store: lying.Honest, key: str, lock: Lock | None, body: bytes = b"evidence") -> str:
    return store.put(key, body, sha256=sha256(body).digest(), lock=lock)


def year(store: lying.Honest, mode: Mode = Mode.COMPLIANCE) -> Lock:
    return Lock(mode, store.backing.clock.now() + YEAR)


@pytest.mark.parametrize("mode", [Mode.COMPLIANCE, Mode.GOVERNANCE])
def test_a_store_that_keeps_its_promise(clock: FakeClock, mode: Mode) -> None:
    store = lying.Honest(clock)
    put(store, segment_key("default", "ab", 0), year(store, mode))
    report = check(store, mode)
    assert report.ok and not broken(report)
    verdicts = {probe.name: probe.verdict for probe in report.probes}
    kept = {"put", "lock", "overwrite", "delete-key", "delete-version", "shorten", "unlock", "hold"}
    kept |= {"checksum", "past", "if-absent", "versioning", "object-lock", "default", "locks"}
    assert {verdicts[name] for name in kept} == {Verdict.KEPT}
    governed = Verdict.NOT_SHOWN if mode is Mode.GOVERNANCE else Verdict.KEPT
    assert verdicts["soften"] is verdicts["delete-version-bypass"] is governed


LIES = [
    (lying.OverwritesInPlace, {"overwrite"}),
    (lying.DeletesKeys, {"delete-key"}),
    (lying.DeletesVersions, {"delete-version"}),
    (lying.LetsCompliancePass, {"delete-version-bypass"}),
    (lying.Shortens, {"shorten"}),
    (lying.Softens, {"soften"}),
    (lying.Unlocks, {"unlock"}),
    (lying.IgnoresHolds, {"hold"}),
    (lying.ForgetsHolds, {"hold"}),
    (lying.IgnoresChecksums, {"checksum"}),
    (lying.TakesPastRetentions, {"past"}),
    (lying.ForgetsLocks, {"lock", "shorten", "soften", "unlock"}),
    (lying.LocksForLess, {"lock"}),
    (lying.ReplacesWhatMustBeAbsent, {"if-absent"}),
    (lying.GivesOtherBytes, {"put"}),
    (lying.Suspended, {"versioning"}),
    (lying.WithoutLock, {"object-lock"}),
    (lying.Expires, {"lifecycle"}),
]


@pytest.mark.parametrize(("store", "found"), LIES, ids=lambda value: getattr(value, "__name__", ""))
def test_each_lie_is_found_by_its_probe(
    clock: FakeClock, store: type[lying.Honest], found: set[str]
) -> None:
    assert broken(check(store(clock))) == found


def test_locks_of_a_bucket_without_any_cannot_be_put(clock: FakeClock) -> None:
    report = check(lying.Honest(clock, lockable=False))
    assert broken(report) == {"object-lock", "put"}


def test_without_a_lock_only_the_rest_is_shown(clock: FakeClock) -> None:
    report = check(lying.Honest(clock, lockable=False), Mode.OFF)
    assert report.ok
    kept = {probe.name for probe in report.probes if probe.verdict is Verdict.KEPT}
    assert {"put", "checksum", "versioning", "if-absent"} <= kept


def test_nothing_stays_that_is_not_locked_and_the_next_check_removes_the_rest(
    clock: FakeClock,
) -> None:
    store = lying.Honest(clock)
    check(store)
    left = [version for versions in store.backing.keys.values() for version in versions]
    assert left and all(version.lock and not version.hold for version in left)
    assert all(v.lock.until <= clock.now() + timedelta(seconds=61) for v in left if v.lock)
    keys = set(store.backing.keys)
    clock.seconds += 62
    check(store)
    assert not keys & set(store.backing.keys)


def test_governance_leaves_nothing_behind(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    check(store, Mode.GOVERNANCE)
    assert not store.backing.keys


def test_a_crashed_check_with_a_hold_is_cleaned_up(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    store.faults.next(Fault.UNREACHABLE, "remove_version")
    store.faults.always(Fault.UNREACHABLE, "hold", "nothing")
    with pytest.raises(StoreFailing):
        store.faults.next(Fault.UNREACHABLE, "state", "check/", times=4)
        check(store)
    store.faults.clear()
    clock.seconds += 62
    check(store, Mode.GOVERNANCE)
    assert not store.backing.keys


def test_what_is_not_of_a_check_is_left_alone(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    for key in ("check/notes", "check/20260102T030405Z-0123456-put", "checks/x", "other"):
        put(store, key, None)
    clock.seconds += 1_000
    check(store, Mode.GOVERNANCE)
    assert len(store.backing.keys) == 4


def test_a_store_that_keeps_no_versions_must_refuse(clock: FakeClock) -> None:
    assert check(lying.Unversioned(clock), versions=False).ok


def test_a_store_that_cannot_be_asked_is_no_verdict(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    store.faults.always(Fault.UNREACHABLE, "put")
    with pytest.raises(StoreFailing, match="connection refused"):
        check(store)


@pytest.mark.parametrize(
    ("lock", "found"),
    [
        (None, {"lock-of", "locks"}),
        (Lock(Mode.GOVERNANCE, FakeClock().now() + YEAR), {"lock-of", "locks"}),
        (Lock(Mode.COMPLIANCE, FakeClock().now() + YEAR / 2), {"lock-of", "locks"}),
        (Lock(Mode.COMPLIANCE, FakeClock().now() + 2 * YEAR), set()),
    ],
)
def test_the_locks_of_segments_are_those_of_the_settings(
    clock: FakeClock, lock: Lock | None, found: set[str]
) -> None:
    store = lying.Honest(clock)
    for first in range(3):
        put(store, segment_key("default", "ab", first), year(store))
    put(store, attachment_key("default", bytes(32)), lock)
    report = check(store, everything=True)
    assert broken(report) == found and report.looked_at == 4


def test_a_sample_of_many(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    for first in range(100):
        put(store, segment_key("default", "ab", first), year(store))
    assert check(store).looked_at == 32
    assert check(store, everything=True).looked_at == 100


def test_a_lock_whose_time_is_over_is_no_finding(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    put(store, segment_key("default", "ab", 0), year(store))
    clock.seconds += YEAR.total_seconds() + 1
    assert check(store).ok


def test_a_log_without_a_minimum_needs_the_default_of_the_bucket(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    expected = Expected(Mode.COMPLIANCE, {"default": None})
    assert broken(check(store, expected=expected)) == {"default"}
    store.backing.default_mode, store.backing.default_days = Mode.COMPLIANCE, 365
    put(store, segment_key("default", "ab", 0), None)
    assert check(store, expected=expected, everything=True).ok
    store.backing.default_mode = Mode.GOVERNANCE
    assert broken(check(store, expected=expected)) == {"default"}


def test_a_hold_that_is_missing(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    key = segment_key("default", "ab", 0)
    put(store, key, year(store))
    expected = Expected(Mode.COMPLIANCE, LOG, held=lambda held: held == key)
    assert broken(check(store, expected=expected)) == {"lock-of", "locks"}
    store.hold(key, True)
    assert check(store, expected=expected).ok


def test_what_was_read_back_once_and_has_gone_is_found(clock: FakeClock) -> None:
    """Who may pass governance mode leaves nothing in the store that would tell of it."""
    store = lying.Honest(clock)
    there, cut, gone = (segment_key("default", "ab", first) for first in (0, 10, 20))
    for key in (there, cut):
        put(store, key, year(store))
    books = Awaited({there: 8, cut: 9, gone: 8, segment_key("default", "ab", 5): 8})
    report = check(store, expected=Expected(Mode.COMPLIANCE, LOG, confirmed=books))
    assert [probe.key for probe in report.broken] == [cut, gone]


def test_a_delete_marker_is_found_and_undone(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    key = segment_key("default", "ab", 0)
    put(store, key, year(store))
    store.backing.hide(key)
    assert broken(check(store)) == {"hidden"} and store.head(key) is None
    report = check(store, repair=True)
    assert broken(report) == {"hidden"} and report.repaired == 1
    assert store.get(key) == b"evidence" and check(store).ok


def test_a_later_version_is_found_and_undone_where_it_is_not_locked(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    key = segment_key("default", "ab", 0)
    put(store, key, year(store))
    put(store, key, year(store))
    assert check(store).ok, "the same bytes twice: two carriers raced"
    put(store, key, None, b"forged!!")
    assert broken(check(store)) == {"overwritten"}
    assert check(store, repair=True).repaired == 1
    assert store.get(key) == b"evidence" and check(store).ok
    put(store, key, year(store), b"forged!!")
    report = check(store, repair=True)
    assert broken(report) == {"overwritten"} and not report.repaired
    assert "locked itself" in report.broken[0].happened


def test_the_wal_store(clock: FakeClock) -> None:
    plain = lying.Honest(clock, versioned=False, lockable=False)
    assert check_wal(plain).ok and not plain.backing.keys
    assert broken(check_wal(lying.Honest(clock))) == {"wal-versioning"}
    careless = lying.Honest(clock, versioned=False, lockable=False, fencing=False)
    assert broken(check_wal(careless)) == {"wal-fence"}
    locking = lying.Honest(clock, versioned=False)
    locking.backing.default_mode, locking.backing.default_days = Mode.COMPLIANCE, 1
    assert broken(check_wal(locking)) >= {"wal-lock"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files can be removed again by who runs the tests as root."""
    yield tmp_path
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_symlink():
            set_immutable(path, False)


@pytest.mark.parametrize("mode", [Mode.COMPLIANCE, Mode.GOVERNANCE, Mode.OFF])
def test_a_local_directory(folder: Path, mode: Mode) -> None:
    connection = Connection(url=f"file://{folder}/store")
    store = LocalStore(connection, "primary")
    report = check_archive(store, connection, Expected(mode, LOG))
    assert not broken(report) - {"object-lock"}, [str(probe) for probe in report.broken]
    left = [store.write_once.state(one.key) for one in store.list("check/")]
    assert all(state.lock and not state.hold for state in left)
    assert check_wal(LocalStore(Connection(url=f"file://{folder}/wal"), "wal")).ok


def test_one_probe_that_is_not_answered_ends_nothing(clock: FakeClock) -> None:
    store = lying.Honest(clock)
    store.faults.next(Fault.BUSY, "state")
    report = check(store)
    lock = next(probe for probe in report.probes if probe.name == "lock")
    assert report.ok and lock.verdict is Verdict.NOT_SHOWN and "503" in lock.happened
    store.faults.always(Fault.BUSY, "state", "check/")
    with pytest.raises(StoreFailing, match="503"):
        check(store)
