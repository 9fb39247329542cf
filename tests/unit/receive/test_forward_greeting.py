"""The handshake on a connection: first of all, and whose name it gives."""

from __future__ import annotations

import msgpack
import pytest
from forward_parts import (
    LARGE,
    FakeLine,
    Stand,
    ack,
    cut,
    message,
    ping,
    run,
)
from receive_parts import until

from muniment.receive.forward.handshake import MAX_PING


def greeted(stand: Stand, **who: str) -> tuple[object, FakeLine]:
    """A session whose client has answered the HELO."""
    session, line = stand.connect(who.pop("sender", ""))
    session.feed(ping(line.written[0], **who))
    return session, line


def test_the_handshake_comes_first_and_names_the_sender() -> None:
    async def scenario() -> None:
        stand = Stand("secret", {"ann": "wonder"})
        for sender in ("", "cert:edge"):
            session, line = greeted(stand, user="ann", password="wonder", sender=sender)
            assert msgpack.unpackb(line.written[1])[1] is True
            session.feed(message("a"))
        stand = Stand("secret")
        for sender in ("", "cert:edge"):
            session, line = greeted(stand, host="edge-1", sender=sender)
            session.feed(message("a"))
        await until(lambda: len(stand.stored()) == 2)
        assert [header["from"] for header, _ in stand.log.split()] == ["host:edge-1", "cert:edge"]

    run(scenario)


def test_the_first_message_may_come_right_behind_the_ping() -> None:
    async def scenario() -> None:
        stand = Stand("secret")
        session, line = stand.connect()
        for piece in cut(ping(line.written[0]) + LARGE, [10, 30]):
            session.feed(piece)
        await until(lambda: line.written[2:] == [ack("large")])
        assert len(stand.stored()) == 500

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "why", "answers"),
    [
        (message("before the handshake", chunk="c"), "invalid ping message", 2),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP was spoken", 1),
        (b"\x96\xa4PING\xda\xff\xff", f"a message of more than {MAX_PING:,} bytes", 1),
        (b"\x96\xa4PING\xc0\x00\xda\xff\xff" + b"x" * 5_000, "a message of more than", 1),
    ],
)
def test_who_speaks_before_the_handshake_is_closed(sent: bytes, why: str, answers: int) -> None:
    async def scenario() -> None:
        stand = Stand("secret")
        session, line = stand.connect()
        session.feed(sent)
        session.feed(message("after"))
        await until(lambda: bool(stand.log.entries))
        assert line.closed
        assert len(line.written) == answers
        assert stand.stored() == []
        assert [reason.startswith(why) for reason in stand.reasons()] == [True]

    run(scenario)


def test_a_wrong_key_or_password_is_refused_and_said() -> None:
    async def scenario() -> None:
        stand = Stand("secret", {"ann": "wonder"})
        _, guessing = greeted(stand, key="guess", user="ann", password="wonder")
        _, lying = greeted(stand, user="ann", password="guess")
        for line in (guessing, lying):
            assert msgpack.unpackb(line.written[1])[1] is False
            assert line.closed
        await until(lambda: len(stand.log.own()) == 2)
        assert stand.reasons() == ["shared_key mismatch", "username/password mismatch"]
        assert stand.shared.unauthenticated == 2

    run(scenario)


def test_who_never_sends_a_ping_is_closed_after_a_while() -> None:
    async def scenario() -> None:
        stand = Stand("secret")
        session, line = stand.connect()
        session._late()
        assert line.closed
        await until(lambda: bool(stand.reasons()))
        gone, line = stand.connect()
        gone.end()
        assert gone._timer is None and not line.closed

    run(scenario)
