"""The check on a schedule: drift is an alert and an entry, and is remembered over a restart."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import lying_stores as lying
import pytest
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from simulator import Fault

from muniment.errors import StorageFailing, StoreFailing, Unavailable
from muniment.log.disk import PosixDisk
from muniment.store.names import segment_key
from muniment.store.port import Lock, Mode
from muniment.store.worm import Expected, Probe, Report, Verdict, WormWatch, check_archive

DAY = timedelta(days=1)


class Log:
    """What was put on record."""

    def __init__(self) -> None:
        self.records: list[dict[str, object]] = []
        self.refusal: StorageFailing | None = None

    async def __call__(self, records: Sequence[dict[str, object]]) -> None:
        if self.refusal:
            raise self.refusal
        self.records += records

    @property
    def actions(self) -> list[object]:
        return [record["action"] for record in self.records]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def store() -> lying.Honest:
    found = lying.Honest(FakeClock())
    lock = Lock(Mode.COMPLIANCE, found.backing.clock.now() + 365 * DAY)
    found.put(segment_key("default", "ab", 0), b"sealed", lock=lock)
    return found


@pytest.fixture
def watch(tmp_path: Path, store: lying.Honest, log: Log) -> Callable[[], WormWatch]:
    def make() -> WormWatch:
        expected = Expected(Mode.COMPLIANCE, {"default": 365 * DAY})
        clock = store.backing.clock
        assert isinstance(clock, FakeClock)

        def pause(seconds: float) -> None:
            clock.seconds += seconds

        return WormWatch(
            "primary",
            lambda: check_archive(store, None, expected, clock=clock, versions=True, sleep=pause),
            log,
            tmp_path / "worm" / "primary.json",
            clock=clock,
            disk=PosixDisk(),
            interval=DAY,
        )

    return make


def once(watch: WormWatch) -> Report:
    return asyncio.run(watch.run_once())


def test_drift_and_recovery(
    watch: Callable[[], WormWatch],
    store: lying.Honest,
    log: Log,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = watch()
    assert one.ok is None and one.checked == 0 and not one.status()["checked"]
    once(one)
    assert one.ok and log.actions == ["worm.checked"] and not caplog.records
    store.backing.hide(segment_key("default", "ab", 0))
    once(one)
    assert one.ok is False and log.actions[-1] == "worm.drift"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert log.records[-1]["outcome"] == "failure" and "hides" in str(log.records[-1]["message"])
    once(one)
    assert log.actions[-1] == "worm.checked", "nothing new, and still no success"
    assert log.records[-1]["outcome"] == "failure" and "still broken" in caplog.text

    again = watch()
    assert again.ok is False and again.status()["probes"], "what was found is remembered"
    once(again)
    assert log.actions[-1] == "worm.checked"
    store.backing.keys[segment_key("default", "ab", 0)].pop()
    once(again)
    assert log.actions[-1] == "worm.restored" and again.ok


def test_what_is_broken_at_first_is_drift(watch: Callable[[], WormWatch], log: Log) -> None:
    one = watch()
    one._check = lambda: Report(
        "primary", "s3://b", "now", [Probe("x", "try", "fail", "it worked", Verdict.BROKEN)]
    )
    once(one)
    assert log.actions == ["worm.drift"]


def test_a_drift_that_could_not_be_put_on_record_is_told_again(
    watch: Callable[[], WormWatch], store: lying.Honest, log: Log
) -> None:
    one = watch()
    once(one)
    store.backing.hide(segment_key("default", "ab", 0))
    log.refusal = StorageFailing("the disk is full")
    with pytest.raises(StorageFailing):
        once(one)
    log.refusal = None
    once(one)
    assert log.actions == ["worm.checked", "worm.drift"]


def test_a_drift_is_told_while_the_log_takes_nothing(
    watch: Callable[[], WormWatch],
    store: lying.Honest,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("muniment.store.worm.watch.PUT_SECONDS", 0.1)
    one, told = watch(), []

    async def silent(records: Sequence[dict[str, object]]) -> None:
        told.append((one.ok, "worse than before" in caplog.text))
        await asyncio.Event().wait()

    once(one)
    store.backing.hide(segment_key("default", "ab", 0))
    one._put = silent
    with pytest.raises(Unavailable, match="does not take the record"):
        asyncio.run(asyncio.wait_for(one.run_once(), 30))
    assert told == [(False, True)] and one.status()["ok"] is False
    assert watch().ok, "only what is on record is remembered"

    one._put = log
    once(one)
    assert log.actions == ["worm.checked", "worm.drift"], "and the log hears of it all the same"
    assert caplog.text.count("worse than before") == 1 and "still broken" in caplog.text


def test_a_drift_that_never_came_on_record_is_told_to_be_over(
    watch: Callable[[], WormWatch],
    store: lying.Honest,
    log: Log,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = watch()
    once(one)
    store.backing.hide(segment_key("default", "ab", 0))
    log.refusal = StorageFailing("the disk is full")
    with pytest.raises(StorageFailing):
        once(one)
    assert one.ok is False
    store.backing.keys[segment_key("default", "ab", 0)].pop()
    log.refusal = None
    once(one)
    assert one.ok and "everything is kept again" in caplog.text


def test_it_starts_checks_and_stops(watch: Callable[[], WormWatch], log: Log) -> None:
    async def live() -> None:
        one = watch()
        one.start()
        while not log.records:
            await asyncio.sleep(0.01)
        await one.stop()
        await one.stop()
        later = watch()
        later.start()
        await asyncio.sleep(0.05)
        await later.stop()

    asyncio.run(live())
    assert log.actions == ["worm.checked"], "the next one is due in a day"


def test_a_store_that_cannot_be_asked_is_trouble(watch: Callable[[], WormWatch], log: Log) -> None:
    def unreachable() -> Report:
        raise StoreFailing("connection refused", reason="unreachable")

    async def live() -> WormWatch:
        one = watch()
        one._check = unreachable
        one.start()
        while not one.trouble:
            await asyncio.sleep(0.01)
        await one.stop()
        return one

    one = asyncio.run(live())
    assert one.status()["trouble"] == "connection refused" and one.ok is None and not log.records


@pytest.mark.fuzz
@given(
    st.binary(max_size=400)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["probes", "seconds", "ok", "x"]), inner, max_size=4)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_books_that_are_damaged_are_none(
    tmp_path_factory: pytest.TempPathFactory, books: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "books.json"
    path.write_bytes(books)
    found = WormWatch(
        "x",
        Report,
        Log(),
        path,
        clock=FakeClock(),
        disk=PosixDisk(),
        interval=DAY,  # type: ignore[arg-type]
    )
    assert found.ok in (None, True, False) and found.checked >= 0


def test_a_check_that_hangs_keeps_nobody_from_ending(watch: Callable[[], WormWatch]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hang() -> Report:
        begun.set()
        go_on.wait(60)
        raise StoreFailing("too late")

    async def live() -> None:
        one = watch()
        one._check = hang
        one.start()
        await asyncio.to_thread(begun.wait, 60)
        await one.stop()

    asyncio.run(live())
    assert not go_on.is_set()
    go_on.set()


def test_what_can_be_shown_no_more_is_drift_and_a_slow_moment_is_none(
    watch: Callable[[], WormWatch], log: Log
) -> None:
    def found(verdict: Verdict, *, passing: bool = False) -> Report:
        return Report("p", "u", "t", [Probe("bypass", "try", "", "", verdict, passing=passing)])

    one = watch()
    for report in (
        found(Verdict.KEPT),
        found(Verdict.NOT_SHOWN, passing=True),
        found(Verdict.KEPT),
        found(Verdict.NOT_SHOWN),
        found(Verdict.NOT_SHOWN),
    ):
        one._check = lambda report=report: report
        once(one)
    assert log.actions == ["worm.checked"] * 3 + ["worm.drift", "worm.checked"]
    assert one.ok and "shows less" in str(log.records[3]["message"])


def test_credentials_that_expired_are_no_verdict(store: lying.Honest) -> None:
    store.faults.always(Fault.CREDENTIALS, "put")
    with pytest.raises(StoreFailing, match="expired"):
        check_archive(
            store,
            None,
            Expected(Mode.COMPLIANCE, {"default": DAY}),
            clock=store.backing.clock,
            versions=True,
        )
