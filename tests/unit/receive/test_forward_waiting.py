"""Who has to wait, and who has to go, where memory is short."""

from __future__ import annotations

from forward_parts import (
    LARGE,
    Stand,
    ack,
    cut,
    message,
    packed,
    packed_events,
    run,
)
from receive_parts import until

from muniment.receive.forward.session import MAX_IN_FLIGHT


def test_a_sender_with_many_chunks_in_flight_has_to_wait() -> None:
    async def scenario() -> None:
        stand = Stand()
        stand.log.hold = True
        session, line = stand.connect()
        count = 3 * MAX_IN_FLIGHT
        session.feed(b"".join(message(str(n), chunk=str(n)) for n in range(count)))
        await until(lambda: len(stand.log.held) == MAX_IN_FLIGHT)
        assert line.held
        stand.log.release()
        await until(lambda: len(line.written) == count)
        assert not line.held
        assert len(stand.stored()) == count

    run(scenario)


def test_a_full_intake_holds_all_and_what_was_read_comes_later() -> None:
    async def scenario() -> None:
        stand = Stand(bound=10_000)
        stand.log.hold = True
        session, _ = stand.connect()
        stream = b"".join(message("x" * 1_000) for _ in range(50))
        session.feed(stream)
        assert stand.holds
        assert stand.intake.held < 12_000
        stand.log.release()
        await until(lambda: len(stand.stored()) == 50)
        assert not stand.shared.waiting

    run(scenario)


def test_a_large_message_is_not_unpacked_before_there_is_room() -> None:
    async def scenario() -> None:
        stand = Stand(bound=10_000)
        stand.log.hold = True
        first, _ = stand.connect()
        first.feed(b"".join(message("x" * 1_000) for _ in range(10)))
        second, line = stand.connect()
        stand.intake._bound = 1 << 30
        second.feed(LARGE)
        stand.intake._bound = 10_000
        await until(lambda: bool(stand.log.held))
        assert line.held
        assert stand.shared.room.used >= len(LARGE) - 10
        stand.log.release()
        await until(lambda: line.written == [ack("large")])
        assert not line.held
        assert stand.shared.room.used == 0

    run(scenario)


def test_the_message_that_is_unfinished_for_longest_gives_way() -> None:
    async def scenario() -> None:
        stand = Stand(room=3_000)
        slow, slow_line = stand.connect()
        slow.feed(packed(b"x" * 5_000)[:1_000])
        quick, line = stand.connect()
        body = packed_events([(1, {"message": "y" * 2_500})])
        for _ in range(5):
            for piece in cut(packed(body), range(0, 2_600, 100)):
                quick.feed(piece)
        await until(lambda: len(stand.stored()) == 5)
        assert slow_line.closed and not line.closed
        assert stand.shared.room.evicted == 1
        assert [why.partition(",")[0] for why in stand.reasons()] == ["memory was short"]
        quick.feed(packed(body)[:100])
        assert stand.shared.room.used == 100
        quick.end()
        assert stand.shared.room.used == 0

    run(scenario)
