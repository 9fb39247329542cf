"""One connection: what is acknowledged and when, what is refused and told."""

from __future__ import annotations

import asyncio

import msgpack
import pytest
from forward_parts import (
    EVENTS,
    LARGE,
    Stand,
    ack,
    broken_streams,
    compressed,
    cut,
    elements_of,
    entries,
    entry,
    message,
    pack,
    packed,
    packed_events,
    run,
)
from hypothesis import given
from hypothesis import strategies as st
from receive_parts import until

from muniment.errors import StorageFailing
from muniment.receive.forward.message import Message
from muniment.receive.forward.refusals import MOST_A_SECOND
from muniment.receive.header import Origin


def test_all_modes_on_one_connection_in_any_pieces() -> None:
    async def scenario() -> None:
        stand = Stand()
        session, line = stand.connect()
        stream = b"\xc0".join(
            [
                message("one"),
                pack(["edge", [list(event) for event in EVENTS], {"size": 3}]),
                packed(),
                packed(compressed("gzip"), compressed="gzip"),
                packed(compressed("zstd"), compressed="zstd"),
            ]
        )
        for piece in cut(stream, range(0, len(stream), 7)):
            session.feed(piece)
        await until(lambda: len(stand.stored()) == 13)
        expected = [entry("edge", 1, {"message": "one"}), *entries() * 4]
        assert sorted(stand.stored()) == sorted(expected)
        header = stand.log.split()[0][0]
        assert header["via"] == header["as"] == "forward"
        assert header["peer"] == "192.0.2.1:40000"
        assert "from" not in header and "id" not in header
        assert (line.written, line.closed, stand.reasons()) == ([], False, [])

    run(scenario)


@pytest.mark.parametrize("sent", [message("a", chunk="c"), packed(chunk="c"), LARGE])
def test_a_chunk_is_acknowledged_when_it_is_durable_and_not_before(sent: bytes) -> None:
    async def scenario() -> None:
        stand = Stand()
        stand.log.hold = True
        session, line = stand.connect()
        session.feed(sent)
        await until(lambda: bool(stand.log.held))
        assert line.written == []
        stand.log.release()
        await until(lambda: bool(line.written))
        chunk = "large" if sent is LARGE else "c"
        assert line.written == [ack(chunk)]
        assert {header["id"] for header, _ in stand.log.split()} == {f"forward {chunk}"}
        assert stand.shared.delivery.numbers.acknowledged == 1

    run(scenario)


def test_a_log_that_refuses_is_asked_again_and_then_acknowledged() -> None:
    async def scenario() -> None:
        stand = Stand()
        stand.log.refusal, stand.log.fails_later = StorageFailing("full", retry_after=0), True
        session, line = stand.connect()
        session.feed(packed(chunk="c"))
        await until(lambda: stand.intake.retries > 2)
        assert line.written == []
        stand.log.refusal = None
        await until(lambda: bool(line.written))
        assert stand.stored() == entries()

    run(scenario)


def test_chunks_are_acknowledged_in_the_order_in_which_they_become_durable() -> None:
    async def scenario() -> None:
        stand = Stand()
        stand.log.hold = True
        session, line = stand.connect()
        session.feed(b"".join(message(str(n), chunk=str(n)) for n in range(3)))
        await until(lambda: len(stand.log.held) == 3)
        stand.log.held.reverse()
        stand.log.release()
        await until(lambda: len(line.written) == 3)
        assert line.written == [ack("2"), ack("1"), ack("0")]

    run(scenario)


def test_a_chunk_without_events_is_acknowledged() -> None:
    async def scenario() -> None:
        stand = Stand()
        session, line = stand.connect()
        session.feed(packed(b"", chunk="none") + pack(["edge", [], {"chunk": "nor here"}]))
        await until(lambda: len(line.written) == 2)
        assert stand.log.entries == []

    run(scenario)


def test_the_answer_is_a_str_whatever_the_chunk_was() -> None:
    async def scenario() -> None:
        stand = Stand()
        session, line = stand.connect()
        chunks = [b"", b"bin", b"\xff\xfe", b"x" * 31, b"x" * 32, b"x" * 255, b"x" * 256]
        for number, chunk in enumerate(chunks):
            session.feed(message("a", chunk=chunk))
            await until(lambda count=number: len(line.written) == count + 1)
        answers = [msgpack.unpackb(data, raw=True) for data in line.written]
        assert answers == [{b"ack": chunk} for chunk in chunks]
        texts = [msgpack.unpackb(data, unicode_errors="replace")["ack"] for data in line.written]
        assert all(isinstance(text, str) for text in texts)

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP was spoken"),
        (packed(packed_events()[:-1], chunk="c"), "the events are cut short"),
        (packed(b"\x00" * 9, chunk="c", compressed="gzip"), "the body is not gzip"),
        (
            packed(
                b"\x92\x01\x80" * 10_000
                + b"\x92\x01\xda\x9c\x40"
                + b"x" * 40_000
                + b"\x92\x01\xc1",
                chunk="c",
            ),
            "an event is not msgpack",
        ),
        (packed(chunk="c", fluent_signal=1), "metrics are no logs"),
        (b"\x92\xa1a\xc6\x7f\xff\xff\xff", "a message of more than 1,048,576 bytes"),
    ],
)
def test_what_is_malformed_is_closed_counted_and_told_and_not_acknowledged(
    sent: bytes, why: str
) -> None:
    async def scenario() -> None:
        stand = Stand()
        session, line = stand.connect("cert:edge")
        session.feed(message("before") + sent)
        session.feed(message("after"))
        await until(lambda: line.closed and len(stand.log.entries) == 2)
        assert line.written == []
        assert stand.stored() == [entry("edge", 1, {"message": "before"})]
        (record,) = stand.log.own()
        assert (record["action"], record["outcome"]) == ("forward.refused", "failure")
        assert str(record["reason"]).startswith(why)
        assert (record["peer"], record["sender"]) == ("192.0.2.1:40000", "cert:edge")
        assert record["lost"] > 0
        assert stand.shared.rejected == 1
        session.end()
        assert stand.shared.rejected == 1

    run(scenario)


def test_a_connection_that_ends_inside_a_message_is_told_and_one_between_two_is_not() -> None:
    async def scenario() -> None:
        stand = Stand()
        for sent in (b"", message("a"), message("b") + b"\xc0"):
            session, _ = stand.connect()
            session.feed(sent)
            session.end()
        session, _ = stand.connect()
        session.feed(message("c") + packed()[:10])
        session.end()
        await until(lambda: len(stand.log.entries) == 4)
        assert stand.reasons() == ["the connection ended inside a message"]
        assert stand.log.own()[0]["lost"] == 10

    run(scenario)


def test_what_was_read_is_kept_also_when_the_sender_is_gone() -> None:
    async def scenario() -> None:
        stand = Stand()
        stand.log.hold = True
        session, line = stand.connect()
        session.feed(LARGE + b"".join(message(str(n)) for n in range(5)) + packed(chunk="c"))
        line.close()
        session.end()
        await until(lambda: bool(stand.log.held))
        stand.log.release()
        await until(lambda: len(stand.stored()) == 508)
        assert stand.reasons() == []

    run(scenario)


def test_refusals_in_the_log_are_bounded_and_the_rest_is_counted() -> None:
    async def scenario() -> None:
        stand = Stand()

        def speak_http() -> None:
            session, _ = stand.connect()
            session.feed(b"GET /")

        for _ in range(MOST_A_SECOND + 5):
            speak_http()
        await until(lambda: len(stand.log.own()) == MOST_A_SECOND + 1)
        assert stand.log.own()[-1]["reason"] == "5 others within the same second"
        stand.clock.seconds = 2.0
        speak_http()
        await until(lambda: len(stand.log.own()) == MOST_A_SECOND + 2)
        assert stand.shared.rejected == MOST_A_SECOND + 6

    run(scenario)


def test_options_that_no_header_can_hold_cost_their_own_connection_only() -> None:
    async def scenario() -> None:
        stand = Stand()
        session, line = stand.connect()
        session.feed(message("x", **{f"{n}" + "\x01" * 250: "\x01" * 250 for n in range(8)}))
        assert line.closed
        other, _ = stand.connect()
        other.feed(message("y"))
        await until(lambda: stand.stored() == [entry("edge", 1, {"message": "y"})])
        await stand.intake.close(60)
        assert stand.intake.held == 0
        assert "what is said about the records" in stand.reasons()[0]

    run(scenario)


@pytest.mark.parametrize("asked", [{}, {"chunk": "c"}])
def test_a_large_message_that_a_stop_cuts_off_is_told_of_unless_it_comes_again(
    asked: dict[str, str],
) -> None:
    async def scenario() -> None:
        stand = Stand()
        stand.intake.put([b"x" * 60_000] * 20, Origin("test", "text"))
        events = packed_events([(n, {"message": "x" * 300}) for n in range(500)])
        session, _ = stand.connect()
        stand.shared.run(session._work(Message.of(elements_of(packed(events, **asked)))))
        await asyncio.sleep(0)
        (task,) = stand.shared.tasks
        task.cancel()
        await until(lambda: not stand.shared.tasks)
        await stand.intake.close(60)
        expected = [] if asked else ["the node stopped while the log had no room"]
        assert stand.reasons() == expected

    run(scenario)


@pytest.mark.fuzz
@given(broken_streams(), st.lists(st.integers(0, 500), max_size=5), st.booleans())
def test_whatever_comes_is_in_the_log_or_told_as_lost(
    stream: bytes, places: list[int], secret: bool
) -> None:
    """Nothing raises, nothing stays behind, and each chunk that is acknowledged is in the log."""

    async def scenario() -> None:
        stand = Stand("secret" if secret else None)
        session, line = stand.connect()
        for piece in cut(stream, places):
            session.feed(piece)
        session.end()
        await until(lambda: not stand.shared.tasks)
        assert stand.shared.room.used == 0
        assert session._over
        await stand.intake.close(10)
        assert stand.intake.abandoned == 0
        headers = [header for header, _ in stand.log.split()]
        known = {header.get("id", "") for header in headers} | {""}
        for answer in line.written[int(secret) :]:
            said = msgpack.unpackb(answer, unicode_errors="replace")
            if isinstance(said, dict):
                assert said["ack"] in known or b"\xa5chunk" in stream
        assert len(stand.log.own()) == stand.shared.rejected <= 1

    run(scenario)
