"""The intake: in order, within a bound, and nothing lost that was taken."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from receive_parts import MemoryLog, SteppingClock, make_intake, until

from muniment.errors import InputError, Overloaded, StorageFailing, TooLarge, Unavailable
from muniment.kernel import MAX_ENTRY_BYTES
from muniment.receive.groups import MAX_HEADER
from muniment.receive.intake import BATCH_BYTES, MAX_RECORD, Origin

A = Origin("syslog-tcp", "syslog", "192.0.2.1:514")
B = Origin("syslog-udp", "haproxy", "[2001:db8::1]:514", "edge")


def test_records_become_entries_under_the_header_of_their_origin() -> None:
    async def run() -> None:
        log, clock = MemoryLog(), SteppingClock()
        intake = make_intake(log, clock=clock)
        intake.start()
        intake.put([b"one", b"two\n"], A)
        clock.seconds = 5
        intake.put([b"\xff"], B)
        intake.put([b"three"], A)
        await intake.close(60)
        first = {"at": "2026-01-01T00:00:00.000000Z", "node": "test-node", "via": "syslog-tcp"}
        first |= {"peer": "192.0.2.1:514", "as": "syslog"}
        second = {"at": "2026-01-01T00:00:05.000000Z", "node": "test-node", "via": "syslog-udp"}
        second |= {"peer": "[2001:db8::1]:514", "from": "edge", "as": "haproxy"}
        assert log.split() == [
            (first, b"one"),
            (first, b"two\n"),
            (first, b"three"),
            (second, b"\xff"),
        ]
        assert log.batches == 1
        assert (intake.entries, intake.held) == (4, 0)

    asyncio.run(run())


def test_the_longest_record_fits_under_the_longest_header() -> None:
    async def run() -> None:
        log = MemoryLog()
        intake = make_intake(log)
        intake.start()
        origin = Origin("syslog-tcp", "s" * 64, "[" + "f" * 39 + "]:65535", "t" * 32)
        intake.put([b"x" * MAX_RECORD], origin)
        await intake.close(60)
        assert len(log.entries[0]) <= MAX_ENTRY_BYTES
        assert log.entries[0].endswith(b"\n" + b"x" * MAX_RECORD)

    asyncio.run(run())


def test_a_close_that_gave_up_can_be_called_again() -> None:
    async def run() -> None:
        log = MemoryLog()
        log.refusal = StorageFailing("no room")
        intake = make_intake(log)
        intake.start()
        intake.put([b"x"], A)
        for _ in range(2):
            await intake.close(0.1)
            assert intake.abandoned == 1

    asyncio.run(run())


def test_what_no_header_may_hold_is_refused_and_others_go_on() -> None:
    async def run() -> None:
        log = MemoryLog()
        intake = make_intake(log)
        intake.start()
        with pytest.raises(TooLarge):
            intake.put([b"x"], replace(A, about=(("said", "\x01" * MAX_HEADER),)))
        intake.put([b"y"], replace(A, about=(("said", "a little"),)))
        await intake.close(60)
        assert log.raws() == [b"y"]
        assert intake.held == 0

    asyncio.run(run())


def test_much_at_once_goes_out_in_batches_and_in_order() -> None:
    async def run() -> None:
        log = MemoryLog()
        intake = make_intake(log, bound=100 * BATCH_BYTES)
        intake.start()
        records = [b"%07d" % number + b"x" * 1_000 for number in range(5_000)]
        for start in range(0, len(records), 10):
            intake.put(records[start : start + 10], A)
        await intake.close(60)
        assert log.raws() == records
        assert log.batches >= 3

    asyncio.run(run())


def test_a_log_that_refuses_is_asked_again_until_it_takes_everything() -> None:
    async def run() -> None:
        for later in (False, True):
            log = MemoryLog()
            intake = make_intake(log)
            intake.start()
            log.fails_later = later
            for refusal in (
                StorageFailing("full", retry_after=0),
                Overloaded("queue", retry_after=0),
                Unavailable("closing", retry_after=0),
            ):
                log.refusal = refusal
                before = intake.retries
                intake.put([refusal.detail.encode()], A)
                await until(lambda before=before, intake=intake: intake.retries > before + 3)
                assert intake.held
            log.refusal = None
            intake.put([b"last"], A)
            await intake.close(60)
            assert log.raws() == [b"full", b"queue", b"closing", b"last"]
            assert intake.abandoned == 0

    asyncio.run(run())


def test_it_is_full_at_its_bound_and_tells_when_there_is_room() -> None:
    async def run() -> None:
        log = MemoryLog()
        log.hold = True
        intake = make_intake(log, bound=10_000)
        told: list[int] = []
        intake.on_room.append(lambda: told.append(intake.held))
        intake.start()
        intake.put([b"x" * 5_000], A)
        assert not intake.full
        await until(lambda: bool(log.held))
        intake.put([b"y" * 5_000], A)
        assert intake.full and not told
        log.release()
        await until(lambda: bool(told))
        assert told[0] < 10_000
        await intake.close(60)
        assert len(log.entries) == 2

    asyncio.run(run())


def test_records_that_a_log_refuses_for_good_are_counted_and_do_not_hold_up_others() -> None:
    async def run() -> None:
        log = MemoryLog()
        intake = make_intake(log)
        intake.start()
        log.refusal = InputError("never")
        intake.put([b"a", b"b"], A)
        await until(lambda: intake.abandoned == 2)
        log.refusal = None
        intake.put([b"c"], A)
        await intake.close(60)
        assert log.raws() == [b"c"]

    asyncio.run(run())


def test_a_log_that_never_comes_back_does_not_keep_the_node_from_stopping() -> None:
    async def run() -> None:
        log = MemoryLog()
        log.refusal = StorageFailing("gone", retry_after=1)
        intake = make_intake(log)
        intake.start()
        intake.put([b"a"], A)
        await until(lambda: intake.retries > 0)
        intake.put([b"b"], A)
        await intake.close(0.05)
        assert intake.abandoned == 2

    asyncio.run(run())


def test_threads_may_put() -> None:
    async def run() -> None:
        log = MemoryLog()
        intake = make_intake(log, bound=1 << 30)
        intake.start()

        def work(number: int) -> None:
            origin = Origin("syslog-udp", "syslog", f"192.0.2.{number}:1")
            for count in range(1_000):
                intake.put([b"%d" % count], origin)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        await until(lambda: not any(thread.is_alive() for thread in threads))
        await intake.close(60)
        for number in range(4):
            of_peer = [
                raw for header, raw in log.split() if header["peer"] == f"192.0.2.{number}:1"
            ]
            assert of_peer == [b"%d" % count for count in range(1_000)]

    asyncio.run(run())


def test_an_own_record_is_a_json_event() -> None:
    async def run() -> None:
        log = MemoryLog()
        intake = make_intake(log)
        intake.start()
        intake.record({"action": "syslog.gap", "count": 3})
        await intake.close(60)
        header, _ = log.split()[0]
        assert (header["via"], header["as"]) == ("muniment", "muniment")
        assert log.own() == [{"actor": "muniment", "action": "syslog.gap", "count": 3}]

    asyncio.run(run())
