"""The handshake: both sides show that they know the key, and users their password."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha512
from itertools import count

import msgpack
import pytest
from forward_parts import elements_of, pack, ping, read
from hypothesis import given
from hypothesis import strategies as st

from muniment.receive.forward.handshake import MAX_PING, Handshake

USERS = {"ann": "wonder", "zoë": "wörd"}


def randomness() -> Callable[[int], bytes]:
    """Different bytes at each call, no UTF-8 among them."""
    numbers = count(1)
    return lambda size: bytes([0xFF]) + next(numbers).to_bytes(size - 1, "big")


def handshake(key: str = "secret", users: dict[str, str] | None = None) -> Handshake:
    return Handshake(key, users or {}, "server", randomness())


def test_helo_is_what_clients_expect() -> None:
    word, option = msgpack.unpackb(handshake().helo)
    assert (word, option["auth"], option["keepalive"]) == ("HELO", "", True)
    assert len(option["nonce"]) == 16
    option = msgpack.unpackb(handshake(users=USERS).helo)[1]
    assert isinstance(option["auth"], bytes)  # some clients look whether it is a bin
    assert len(option["auth"]) == 16 != option["nonce"]


def test_a_client_with_the_key_is_welcome_and_can_check_the_server() -> None:
    one = handshake()
    verdict = one.judge(elements_of(ping(one.helo, salt=b"\xfe" * 16)))
    nonce = msgpack.unpackb(one.helo)[1]["nonce"]
    proof = sha512(b"\xfe" * 16 + b"server" + nonce + b"secret").hexdigest()
    assert msgpack.unpackb(verdict.pong) == ["PONG", True, "", "server", proof]
    assert (verdict.sender, verdict.reason) == ("host:client", "")


def test_a_client_with_another_key_is_not() -> None:
    one = handshake()
    verdict = one.judge(elements_of(ping(one.helo, key="guess")))
    assert msgpack.unpackb(verdict.pong) == ["PONG", False, "shared_key mismatch", "", ""]
    assert (verdict.sender, verdict.reason) == ("", "shared_key mismatch")


def test_a_ping_is_good_for_its_own_connection_only() -> None:
    numbers = randomness()
    first, second = (Handshake("secret", {}, "server", numbers) for _ in range(2))
    sent = elements_of(ping(first.helo))
    assert first.judge(sent).reason == ""
    assert second.judge(sent).reason == "shared_key mismatch"


@pytest.mark.parametrize(
    ("user", "password", "sender"),
    [
        ("ann", "wonder", "user:ann"),
        ("zoë", "wörd", "user:zo?"),
        ("ann", "guess", ""),
        ("ann", "", ""),
        ("eve", "wonder", ""),
        ("", "", ""),
    ],
)
def test_users(user: str, password: str, sender: str) -> None:
    one = handshake(users=USERS)
    verdict = one.judge(elements_of(ping(one.helo, user=user, password=password)))
    assert verdict.sender == sender
    assert verdict.reason == ("" if sender else "username/password mismatch")
    assert msgpack.unpackb(verdict.pong)[1] is bool(sender)


def test_an_empty_key_is_a_key() -> None:
    one = handshake("", USERS)
    assert one.judge(elements_of(ping(one.helo, "", user="ann", password="wonder"))).sender
    assert one.judge(elements_of(ping(one.helo, "x", user="ann", password="wonder"))).reason


def test_a_host_name_is_printable_and_bounded_in_the_header() -> None:
    one = handshake()
    verdict = one.judge(elements_of(ping(one.helo, host='a b\n"é' + "x" * 300)))
    assert verdict.sender == "host:" + 'a?b?"?' + "x" * 94


@pytest.mark.parametrize(
    "sent",
    [
        ["PING", "client", "salt", "digest", ""],
        ["PONG", "client", "salt", "digest", "", ""],
        ["PING", "client", "salt", 5, "", ""],
        ["PING", None, "salt", "digest", "", ""],
        ["edge", 1, {"message": "before the handshake"}],
        ["edge", b""],
    ],
)
def test_what_is_no_ping_is_refused(sent: list[object]) -> None:
    verdict = handshake().judge(elements_of(pack(sent)))
    assert verdict.reason == "invalid ping message"
    assert msgpack.unpackb(verdict.pong)[:3] == ["PONG", False, "invalid ping message"]


@pytest.mark.fuzz
@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 5), st.booleans())
def test_nobody_comes_in_by_chance(damage: bytes, place: int, size: int, users: bool) -> None:
    """A PING with bytes changed is refused, or is the same PING apart from its names and salt."""
    one = handshake(users=USERS if users else None)
    good = ping(one.helo, user="ann", password="wonder")
    place %= len(good)
    sent = good[:place] + damage + good[place + size :]
    found = read([sent], MAX_PING)[0]
    if not found:
        return
    verdict = one.judge(found[0])
    pong = msgpack.unpackb(verdict.pong)
    assert len(pong) == 5
    assert pong[1] is (verdict.reason == "") is bool(verdict.sender)
    if pong[1] and users:
        assert verdict.sender == "user:ann"
    if pong[1]:
        assert found[0][3] == elements_of(good)[3]
