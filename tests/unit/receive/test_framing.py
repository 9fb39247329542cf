"""Framing: where messages begin and end in a stream, however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.receive.syslog.framing import MAX_COUNT, Cut, Framer

LIMIT = 40
LONG = "the message is longer than an entry"


def frames(stream: bytes, cuts: list[int] | None = None) -> tuple[list[bytes], list[Cut]]:
    """The messages of a stream that comes in pieces, and what was cut."""
    framer = Framer(LIMIT)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts or ())})
    messages: list[bytes] = []
    for start, end in pairwise(places):
        messages += framer.feed(stream[start:end])
    messages += framer.close()
    return messages, framer.take_cuts()


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        (b"", []),
        (b"<13>a\n<14>b\n", [b"<13>a", b"<14>b"]),
        (b"<13>a\n<14>b", [b"<13>a", b"<14>b"]),
        (b"5 <13>a6 <14>bb", [b"<13>a", b"<14>bb"]),
        (b"<13>a\r\n", [b"<13>a\r"]),
        (b"\n\n<13>a\n\n\0\n", [b"<13>a"]),
        (b"<13>a\0\n<14>b\n", [b"<13>a", b"<14>b"]),
        (b"6 <13>a\n5 <14>b", [b"<13>a", b"<14>b"]),
        (b"5 <13>a\n5 <14>b\n", [b"<13>a", b"<14>b"]),
        (b"6 <1>a\nb5 <14>c", [b"<1>a\nb", b"<14>c"]),
        (b"<13>a\n5 <14>b<15>c\n", [b"<13>a", b"<14>b", b"<15>c"]),
        (b"<13>a\n404 not found\n7 up\n", [b"<13>a", b"404 not found", b"7 up"]),
        (b"3 raw4 more", [b"raw", b"more"]),
        (b"007 <13>a\n", [b"007 <13>a"]),
        (b"0 <13>a\n", [b"0 <13>a"]),
        (b"12345678901 <13>a\n", [b"12345678901 <13>a"]),
        (b"%d <13>a\n" % (MAX_COUNT + 1), [b"%d <13>a" % (MAX_COUNT + 1)]),
        (b"12a\n", [b"12a"]),
        (b"12", [b"12"]),
        (b"12 ", []),
        (b"\xff\xfe\x01\n\x16\x03\x01", [b"\xff\xfe\x01", b"\x16\x03\x01"]),
    ],
)
def test_messages_of_a_stream(stream: bytes, messages: list[bytes]) -> None:
    found, cuts = frames(stream)
    assert found == messages
    assert [cut for cut in cuts if cut.reason == LONG] == []


def test_a_long_line_is_cut_and_the_next_one_is_whole() -> None:
    found, cuts = frames(b"<13>" + b"x" * 100 + b"\n<14>b\n")
    assert found == [b"<13>" + b"x" * 36, b"<14>b"]
    assert cuts == [Cut(40, 64, LONG)]


def test_a_long_counted_message_is_cut_and_the_next_one_is_whole() -> None:
    found, cuts = frames(counted(b"<13>" + b"x\n" * 50) + counted(b"<14>b"))
    assert found == [(b"<13>" + b"x\n" * 50)[:40], b"<14>b"]
    assert cuts == [Cut(40, 64, LONG)]


def test_the_limit_itself_is_whole() -> None:
    message = b"<13>" + b"x" * (LIMIT - 4)
    assert frames(message + b"\n" + counted(message)) == ([message, message], [])


def test_a_counted_message_that_the_stream_ends_in_is_kept_and_told() -> None:
    assert frames(b"100 <13>only this") == (
        [b"<13>only this"],
        [Cut(13, 87, "the stream ended inside the message")],
    )
    assert frames(b"5 <13>a100 ")[1] == [Cut(0, 100, "the stream ended inside the message")]


def test_what_was_announced_beyond_the_limit_is_told_where_the_stream_ends() -> None:
    found, cuts = frames(b"1000 <13>" + b"x" * 96)
    assert found == [b"<13>" + b"x" * 36]
    assert cuts == [Cut(40, 960, LONG)]
    assert frames(b"<13>" + b"x" * 96) == ([b"<13>" + b"x" * 36], [Cut(40, 60, LONG)])


pieces = st.lists(st.integers(0, 2_000), max_size=30)
texts = st.binary(max_size=60).map(lambda data: b"<13>" + data)
lines = texts.map(lambda text: text.replace(b"\n", b"").rstrip(b"\0"))


@given(st.lists(st.tuples(st.booleans(), texts), max_size=8), pieces)
def test_messages_come_out_as_they_went_in(sent: list[tuple[bool, bytes]], cuts: list[int]) -> None:
    """Any mixture of octet counting and lines, in any pieces."""
    stream, expected = b"", []
    for count, text in sent:
        text = text[:LIMIT]
        text = text.rstrip(b"\0\n") if count else text.replace(b"\n", b"").rstrip(b"\0")
        stream += counted(text) if count else text + b"\n"
        expected.append(text)
    assert frames(stream, cuts) == (expected, [])


hostile = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.sampled_from([b"\n", b"\0", b" ", b"<", b"9", b"1", b"41 ", b"16777217 ", b"12 <13>"]),
        st.integers(0, 10**12).map(lambda number: b"%d " % number),
    ),
    max_size=12,
).map(b"".join)


@pytest.mark.fuzz
@given(hostile, pieces)
def test_the_pieces_make_no_difference_whatever_the_bytes(stream: bytes, cuts: list[int]) -> None:
    whole = frames(stream)
    assert frames(stream, cuts) == whole
    assert frames(stream, list(range(len(stream)))) == whole


@pytest.mark.fuzz
@given(hostile, pieces)
def test_no_byte_is_lost_in_silence(stream: bytes, cuts: list[int]) -> None:
    """All bytes are in a message, in a count, in a trailer, or told of as lost."""
    messages, told = frames(stream, cuts)
    assert all(len(message) <= LIMIT for message in messages)
    kept = sum(map(len, messages)) + sum(cut.lost for cut in told)
    framing = stream.count(b"\n") + stream.count(b"\0") + sum(c in b"0123456789 " for c in stream)
    assert kept >= len(stream) - framing


def test_what_a_framer_holds_is_bounded() -> None:
    framer = Framer(LIMIT)
    for piece in (b"x" * 1_000, b"1" * 1_000, b"99999 <13>" + b"y" * 1_000):
        for _ in range(100):
            framer.feed(piece)
            assert len(framer._rest) + len(framer._head) <= 2 * LIMIT
