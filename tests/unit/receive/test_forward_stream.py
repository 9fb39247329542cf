"""The stream of the forward protocol: messages in any pieces, and what is none."""

from __future__ import annotations

import pytest
from forward_parts import (
    EVENTS,
    broken_streams,
    cut,
    entries,
    message,
    pack,
    packed,
    packed_events,
    read,
)
from hypothesis import given
from hypothesis import strategies as st

from muniment.receive.forward.stream import MAX_TAG, Messages

LIMIT = 4_000
pieces = st.lists(st.integers(0, 5_000), max_size=30)

GOOD = [
    message("one"),
    message("two", chunk="c"),
    pack(["edge", [list(event) for event in EVENTS]]),
    pack(["edge", [list(event) for event in EVENTS], {"chunk": "c", "size": 3}]),
    packed(),
    packed(chunk="c", compressed="text"),
    b"\x92" + pack("edge") + bytes([0xD9, len(packed_events())]) + packed_events(),
    b"\xdc\x00\x03" + b"".join(map(pack, ["edge", 1, {}])),
    b"\xdd\x00\x00\x00\x03" + b"".join(map(pack, ["edge", 1, {}])),
    *entries(),
]


@given(st.lists(st.sampled_from([*GOOD, b"\xc0", b"\xc0" * 7]), max_size=12), pieces)
def test_messages_come_out_as_they_went_in(sent: list[bytes], places: list[int]) -> None:
    """Whatever the pieces; nil between them is a heartbeat."""
    found, why, _ = read(cut(b"".join(sent), places), LIMIT)
    whole = [data for data in sent if data.strip(b"\xc0")]
    assert why == ""
    assert [b"".join(elements) for elements in found] == [_body(data) for data in whole]


def _body(data: bytes) -> bytes:
    """A message without the head of its array."""
    return data[{0xDC: 3, 0xDD: 5}.get(data[0], 1) :]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "HTTP was spoken"),
        (b"<13>a line\n", "syslog was spoken"),
        (b"\x16\x03\x01\x02", "TLS was spoken, which this listener does not speak"),
        (b'["tag",1,{}]', "JSON was sent: send msgpack"),
        (b"{", "JSON was sent: send msgpack"),
        (b"\xc1", "no message begins with the byte 0xc1"),
        (b"\x81\xa3ack", "no message begins with the byte 0x81"),
        (b"\x90", "an array of 0 elements is no message"),
        (b"\x91\xa1a", "an array of 1 elements is no message"),
        (b"\xdd\xff\xff\xff\xff", "an array of 4,294,967,295 elements is no message"),
        (b"\x93\x01", "the tag is no text"),
        (b"\x93\xa1a\xc1", "not msgpack: bytes that no value begins with"),
        (b"\x93\xa1a\x01" + b"\x91" * 2_000, "not msgpack: nested too deep"),
        (b"\x92\xdb\xff\xff\xff\xff", f"a tag of more than {MAX_TAG:,} bytes"),
        (b"\x92\xa1a\xc6\xff\xff\xff\xff", "a message of more than 4,000 bytes"),
        (b"\x92\xa1a\xdb\x00\x00\x0f\xff", "a message of more than 4,000 bytes"),
        (b"\x92\xa1a\xdd\xff\xff\xff\xff" + b"\x00" * 5_000, "a message of more than 4,000 bytes"),
        (b"\x93\xa1a\x01\xdb\xff\xff\xff\xff" + b"x" * 4_000, "a message of more than 4,000 bytes"),
    ],
)
def test_what_is_no_message_is_said(sent: bytes, why: str) -> None:
    assert read([message("before") + sent], LIMIT)[1] == why
    found, reason, _ = read(cut(message("before") + sent, range(len(sent) + 40)), LIMIT)
    assert (len(found), reason) == (1, why)


def test_a_body_that_announces_too_much_is_refused_before_it_comes() -> None:
    assert read([b"\x92\xa1a\xc6\x00\x10\x00\x00"], LIMIT)[1].startswith("a message of more than")


def test_the_limit_itself_is_whole() -> None:
    body = b"x" * (LIMIT - 6)
    assert read([packed(body, "a")], LIMIT)[0] == [[pack("a"), pack(body)]]
    assert read([packed(body + b"x", "a")], LIMIT)[0] == []


def test_inside_says_where_a_stream_stands() -> None:
    messages = Messages(LIMIT)
    for data, inside in ((b"\xc0", False), (message("a")[:5], True), (message("a")[5:], False)):
        messages.feed(data)
        while messages.next():
            pass
        assert messages.inside is inside


def test_a_long_message_does_not_keep_its_memory() -> None:
    messages = Messages(1 << 20)
    for _ in range(3):
        messages.feed(pack(["edge", [[1, {"message": "x" * 500_000}]]]))
        assert messages.next() is not None
        assert messages.next() is None
        assert messages.held == 0


@pytest.mark.fuzz
@given(broken_streams(), pieces)
def test_the_pieces_make_no_difference_whatever_the_bytes(stream: bytes, places: list[int]) -> None:
    whole = read([stream], LIMIT)[:2]
    assert read(cut(stream, places), LIMIT)[:2] == whole
    assert read(cut(stream, range(len(stream))), LIMIT)[:2] == whole


@pytest.mark.fuzz
@given(st.binary(max_size=300) | broken_streams(), pieces)
def test_elements_are_slices_of_the_stream_and_what_is_held_is_bounded(
    stream: bytes, places: list[int]
) -> None:
    parts = cut(stream, places)
    found, _, most = read(parts, 100)
    place = 0
    for elements in found:
        place += len(stream[place:]) - len(stream[place:].lstrip(b"\xc0"))
        place += {0xDC: 3, 0xDD: 5}.get(stream[place], 1)
        joined = b"".join(elements)
        assert stream[place : place + len(joined)] == joined
        assert all(elements)
        place += len(joined)
    assert most <= 100 + max(map(len, parts), default=0)
