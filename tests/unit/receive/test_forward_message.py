"""Messages taken apart: each event an entry, made of the bytes as they came."""

from __future__ import annotations

import gzip
from base64 import b64encode
from hashlib import sha512
from typing import Any

import pytest
from forward_parts import (
    EVENT_TIME,
    EVENTS,
    broken_streams,
    compressed,
    cut_up,
    elements_of,
    entries,
    entry,
    message,
    pack,
    packed,
    packed_events,
    read,
    streams_of_messages,
    taken,
)
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import InputError, MunimentError, TooLarge
from muniment.receive.coding import Coding
from muniment.receive.forward.message import (
    EVENT_COST,
    MAX_ABOUT,
    MAX_CHUNK_ID,
    PIECE_BYTES,
    Message,
    Mode,
    Option,
)
from muniment.receive.forward.wire import text_of


def option_of(**option: Any) -> Option:
    return Message.of(elements_of(message("a", **option))).option


def refused(data: bytes, limit: int = 1 << 24) -> str:
    """Why a message is refused."""
    with pytest.raises(InputError) as raised:
        taken(data, limit)
    return raised.value.detail


def test_message_mode() -> None:
    assert taken(message("a")) == [entry("edge", 1, {"message": "a"})]
    assert taken(message("a", chunk="c", size=1)) == [entry("edge", 1, {"message": "a"})]
    assert taken(pack(["edge", EVENT_TIME, {}, None])) == [entry("edge", EVENT_TIME, {})]


def test_the_metadata_of_message_mode_stands_beside_the_time() -> None:
    sent = pack(["edge", EVENT_TIME, {"a": 1}, {"metadata": {"m": 1}}])
    assert taken(sent) == [entry("edge", [EVENT_TIME, {"m": 1}], {"a": 1})]
    assert taken(pack(["edge", 1, {}, {"metadata": {}}])) == [entry("edge", 1, {})]
    assert taken(pack(["edge", [1, {}], {}, {"metadata": {"m": 1}}])) == [
        entry("edge", [1, {}], {})
    ]


def test_forward_mode() -> None:
    listed = [list(event) for event in EVENTS]
    assert taken(pack(["edge", listed])) == entries()
    assert taken(pack(["edge", listed, {"chunk": "c"}])) == entries()
    assert taken(pack(["edge", []])) == []


@pytest.mark.parametrize("option", [{}, {"size": 3}, {"compressed": "text"}, {"chunk": "c"}])
def test_packed_forward_mode(option: dict[str, Any]) -> None:
    assert taken(packed(**option)) == entries()
    body = packed_events()
    as_str = b"\x92" + pack("edge") + bytes([0xD9, len(body)]) + body
    assert taken(as_str) == entries()
    assert taken(packed(b"", **option)) == []


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_compressed_packed_forward_mode(coding: str) -> None:
    assert taken(packed(compressed(coding), compressed=coding)) == entries()
    several = b"".join(compressed(coding, packed_events([event])) for event in EVENTS)
    assert taken(packed(several, compressed=coding)) == entries()
    assert taken(packed(compressed(coding, b""), compressed=coding)) == []


def test_fluentd_s_many_gzip_members() -> None:
    """Its buffer adds one for each append."""
    many = b"".join(gzip.compress(pack([number, {}])) for number in range(5_000))
    assert len(taken(packed(many, compressed="gzip"))) == 5_000


def test_bytes_are_kept_as_they_came() -> None:
    """A str that is no UTF-8, an integer that is longer than it need be, keys that are lists."""
    time, record = b"\xcf" + bytes(7) + b"\x01", b"\xde\x00\x01\x91\x01\xa2\xff\xfe"
    event = b"\x92" + time + record
    expected = [b"\x93" + pack("edge") + time + record]
    assert taken(b"\x93" + pack("edge") + time + record) == expected
    assert taken(packed(event)) == expected
    assert taken(packed(b"\xdc\x00\x02" + event[1:])) == expected
    assert taken(b"\x92" + pack("edge") + b"\xdd\x00\x00\x00\x01" + event) == expected
    ext8 = b"\xc7\x08\x00" + bytes(8)
    assert taken(packed(b"\x92" + ext8 + b"\x80")) == [b"\x93" + pack("edge") + ext8 + b"\x80"]


def test_a_thousand_identical_events_stay_a_thousand() -> None:
    assert taken(packed(packed_events(EVENTS[:1] * 1_000))) == entries()[:1] * 1_000


def test_events_come_in_pieces() -> None:
    record = {"message": "x" * 100_000}
    body = packed_events([(number, record) for number in range(100)])
    pieces = list(Message.of([pack("edge"), pack(body)]).entries(body, 1 << 26))
    assert [one for piece in pieces for one in piece] == [
        entry("edge", number, record) for number in range(100)
    ]
    assert len(pieces) > 1
    assert all(sum(map(len, piece)) < PIECE_BYTES + 200_000 for piece in pieces)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (pack(["edge", 1]), "Message mode does not have 2 elements"),
        (pack(["edge", 1, {}, {}, {}]), "Message mode does not have 5 elements"),
        (pack(["edge", b"", {}, {}]), "PackedForward mode does not have 4 elements"),
        (pack(["edge", [[1, {}]], {}, 1]), "Forward mode does not have 4 elements"),
        (pack(["edge", 1, {}, 5]), "the option is no map"),
        (pack(["edge", 1, {}, "text"]), "the option is no map"),
        (pack(["edge", [[1, {}, 2]]]), "an event is not an array of a time and a record"),
        (pack(["edge", [[1, {}], 5]]), "an event is not an array of a time and a record"),
        (packed(b"\x05"), "an event is not an array of a time and a record"),
        (packed(b"\x91\x05"), "an event is not an array of a time and a record"),
        (packed(packed_events()[:-1]), "the events are cut short"),
        (packed(packed_events() + b"\x92"), "the events are cut short"),
        (packed(packed_events() + b"\xc1"), "an event is not msgpack: bytes that no value begins"),
        (packed(b"\x92\x01" + b"\x91" * 5_000), "an event is not msgpack: nested too deep"),
        (packed(compressed="lz4"), "compressed as 'lz4': send gzip, zstd or text"),
        (packed(compressed=5), "a text is expected where another value stands"),
        (packed(compressed="gzip"), "the body is not gzip"),
        (packed(b"", compressed="gzip"), "the gzip body is cut short"),
        (packed(compressed("zstd")[:-1], compressed="zstd"), "the zstd body is cut short"),
        (packed(fluent_signal=1), "metrics are no logs: send logs only"),
        (packed(fluent_signal=2), "traces are no logs: send logs only"),
        (packed(fluent_signal="x"), "signal -1 are no logs: send logs only"),
        (message("a", chunk=5), "a text is expected where another value stands"),
        (message("a", chunk="c" * (MAX_CHUNK_ID + 1)), "a chunk id of more than 512 bytes"),
        (message("a", other=b"x" * 70_000), "an option of more than 65,536 bytes"),
        (message("a", **{str(n): n for n in range(65)}), "more than 64 options"),
    ],
)
def test_what_is_refused_is_said(sent: bytes, why: str) -> None:
    assert refused(sent).startswith(why)


def test_options() -> None:
    assert option_of(fluent_signal=0, size="many", n=1).about == ()
    assert option_of(chunk=None, compressed=None, metadata=5) == Option()
    assert option_of(chunk="") == Option(chunk=b"")
    assert option_of(chunk=b"\xff\xfe").chunk == b"\xff\xfe"
    assert option_of(compressed="gzip").coding is Coding.GZIP
    assert option_of(spec="é", long="x" * 300, number=7).about == (("spec", "é"),)
    many = {f"key{number}": "value" for number in range(20)}
    assert option_of(**many).about == tuple(many.items())[:MAX_ABOUT]
    assert Message.of(elements_of(pack(["edge", 1, {}, {5: 6, "chunk": "c"}]))).option.chunk == b"c"


def test_the_mode_is_seen_in_the_second_element() -> None:
    modes = {
        Mode.MESSAGE: [message("a"), pack(["edge", [1, {}], {}]), pack(["edge", None, {}])],
        Mode.FORWARD: [pack(["edge", []]), pack(["edge", [[1, {}]], {}])],
        Mode.PACKED: [packed(), pack(["edge", "", None])],
    }
    for mode, sent in modes.items():
        assert [Message.of(elements_of(data)).mode for data in sent] == [mode] * len(sent)


def test_a_decompression_bomb_is_refused() -> None:
    for coding in ("gzip", "zstd"):
        bomb = packed(compressed(coding, b"\x00" * 5_000_000), compressed=coding)
        assert refused(bomb, 1 << 20) == "the body unpacks to more than 1,048,576 bytes"


def test_many_tiny_events_cost_what_they_take() -> None:
    body = b"\x92\x01\x80" * 10_000
    assert len(taken(packed(body), 10_000 * (EVENT_COST + 8))) == 10_000
    with pytest.raises(TooLarge, match="the events of a message take more than"):
        taken(packed(body), 1_000_000)


def test_an_id_that_is_a_digest_of_the_events_is_known() -> None:
    """As versions of Fluent Bit make it: base64, hex before 2.0, of what they hold themselves."""
    body = packed_events()
    listed = [list(event) for event in EVENTS]

    def named(sent: bytes) -> bool:
        found = Message.of(elements_of(sent))
        return found.is_named_by(found.content(1 << 20))

    digest = sha512(body).digest()[:16]
    for chunk in (digest.hex(), b64encode(digest).decode()):
        assert named(packed(chunk=chunk))
        assert named(packed(compressed("gzip"), compressed="gzip", chunk=chunk))
        assert named(pack(["edge", listed, {"chunk": chunk}]))
        assert not named(packed(body + pack([1, {}]), chunk=chunk))
    for event in ([1, {"a": 1}], [[1, {}], {"a": 1}]):
        digest = sha512(pack(event)).digest()[:16]
        assert named(pack(["edge", 1, {"a": 1}, {"chunk": digest.hex()}]))
    for chunk in ("", "c", "x" * 24, "0" * 32):
        assert not named(packed(chunk=chunk))
    assert not named(packed())


@pytest.mark.fuzz
@given(streams_of_messages | broken_streams())
def test_whatever_comes_is_cut_into_whole_messages_or_refused(stream: bytes) -> None:
    for elements in read([stream], 1 << 20)[0]:
        try:
            found = Message.of(elements)
            cut = cut_up(found, 1 << 20)
        except MunimentError:
            continue
        assert found.size == sum(map(len, elements))
        for one in cut:
            assert one.startswith(b"\x93" + elements[0])
            assert len(elements_of(one)) == 3
        if found.mode is not Mode.MESSAGE and found.option.coding is Coding.IDENTITY:
            assert_nothing_lost([one[1 + len(elements[0]) :] for one in cut], found)


def assert_nothing_lost(values: list[bytes], found: Message) -> None:
    """The events stand in the message one after another, with nothing but heads between them."""
    (body,) = found.events
    place = len(body) - len(text_of(body)) if found.mode is Mode.PACKED else _head(body)
    for value in values:
        place += _head(body[place:])
        assert body[place : place + len(value)] == value
        place += len(value)
    assert place == len(body)


def _head(array: bytes) -> int:
    return {0xDC: 3, 0xDD: 5}.get(array[0], 1)


@pytest.mark.fuzz
@given(st.sampled_from(["gzip", "zstd"]), st.binary(max_size=300), st.integers(0, 400))
def test_a_damaged_body_is_refused_or_cut(coding: str, damage: bytes, place: int) -> None:
    body = bytearray(compressed(coding))
    body[place % len(body) : place % len(body) + len(damage)] = damage
    try:
        found = taken(packed(bytes(body), compressed=coding), 1 << 16)
    except MunimentError:
        return
    assert all(one.startswith(b"\x93" + pack("edge")) for one in found)
    assert all(len(elements_of(one)) == 3 for one in found)
