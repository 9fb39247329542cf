"""Protobuf by slices: every record once, what stands around it whole, work and memory bounded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from muniment.budget import Budget, Hold
from muniment.errors import InputError, MunimentError, TooLarge
from muniment.receive import protobuf
from muniment.receive.protobuf import CHARGE_STEP, MAX_FIELDS, Walk, cut, read_varint, varint


def free(_: int) -> None:
    """Lets memory be used without a bound."""


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def numbered(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def unwrap(message: bytes, path: Sequence[int]) -> tuple[bytes, list[bytes]]:
    """The one record of a message, and what stands around it at each level."""
    around = []
    for number in path:
        head, spans, tail = Walk(message, free).split(0, len(message), number)
        ((start, end),) = spans
        around.append(head + tail)
        message = message[start:end]
    return message, around


@given(st.integers(0, (1 << 64) - 1), st.binary())
def test_a_varint_is_read_back(value: int, after: bytes) -> None:
    assert read_varint(varint(value) + after, 0) == (value, len(varint(value)))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\xff" * 10 + b"\x01", "more than 10 bytes"),
        (b"\xff" * 9 + b"\x02", "more than 64 bits"),
    ],
)
def test_a_number_that_no_field_can_hold(data: bytes, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        read_varint(data, 0)


def test_records_come_with_what_stands_around_them() -> None:
    body = b"".join(
        (
            numbered(9, 5),
            field(1, field(3, b"r") + field(2, b"one") + numbered(7, 1) + field(2, b"two")),
            field(8, b"end"),
            field(1, field(2, b"three")),
        )
    )
    outside = numbered(9, 5), field(8, b"end")
    inside = field(3, b"r"), numbered(7, 1)
    assert cut(body, (1, 2), free) == [
        outside[0] + field(1, inside[0] + field(2, b"one") + inside[1]) + outside[1],
        outside[0] + field(1, inside[0] + field(2, b"two") + inside[1]) + outside[1],
        outside[0] + field(1, field(2, b"three")) + outside[1],
    ]


def test_a_message_without_records_has_none() -> None:
    for body in (b"", field(1, b""), field(1, field(1, b"labels")), numbered(1, 7), field(2, b"x")):
        assert cut(body, (1, 2), free) == []


def test_lengths_and_tags_may_be_written_longer_than_they_need() -> None:
    record = b"\x92\x00\x83\x80\x00abc"
    assert cut(b"\x8a\x80\x00" + varint(len(record)) + record, (1, 2), free) == [
        field(1, field(2, b"abc"))
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\x80",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        field(1, b"\x12\x05abc") + b"padding that is not its own",
        field(1, b"\x12\x80") + b"\x01",
        b"\x09short",
        b"\x0d123",
        b"\x08",
        b"\x00\x00",
        b"\x02\x00",
        b"\x0b\x0c",
        b"\x0f",
        b"\x80\x80\x80\x80\x80\x01\x00",
        b"\xff" * 20,
    ],
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(InputError, match="not protobuf"):
        cut(body, (1, 2), free)


def test_a_length_of_another_type_is_another_field() -> None:
    other = b"\x09" + b"8" * 8 + b"\x0d" + b"4" * 4 + b"\x08\x01"
    assert cut(other + field(1, b"x"), (1,), free) == [other + field(1, b"x")]


def test_the_work_on_a_body_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_FIELDS <= 5_000_000
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 20_000)
    for body in (numbered(3, 0) * 20_000, field(1, b"") * 20_000):
        with pytest.raises(TooLarge, match="fields"):
            cut(body + body[:2], (1,), free)


def test_a_large_head_is_not_copied_beyond_what_may_be_used() -> None:
    body = field(1, field(1, b"h" * 100_000) + field(2, b"r") * 100_000)
    hold = Hold(Budget(64 << 20))
    with pytest.raises(TooLarge, match="memory"):
        cut(body, (1, 2), hold.grow)


def test_memory_is_asked_for_while_fields_are_found() -> None:
    asked = []

    def grow(amount: int) -> None:
        asked.append(amount)
        if sum(asked) > 1 << 20:
            raise TooLarge("enough")

    with pytest.raises(TooLarge, match="enough"):
        cut(field(1, b"") * 1_000_000, (1, 2), grow)
    assert max(asked) < 1 << 20


def fixed(kind: int, number: int, content: bytes) -> bytes:
    return varint(number << 3 | kind) + content


others = st.one_of(
    st.builds(field, st.integers(3, 5000), st.binary(max_size=20)),
    st.builds(numbered, st.integers(1, 5000), st.integers(0, (1 << 64) - 1)),
    st.builds(fixed, st.just(1), st.integers(1, 99), st.binary(min_size=8, max_size=8)),
    st.builds(fixed, st.just(5), st.integers(1, 99), st.binary(min_size=4, max_size=4)),
)
"""Fields that are not on the way to a record, of every wire type."""

Found = list[tuple[bytes, list[bytes]]]
"""Each record of a message, and what stands around it at each level."""


def messages(path: Sequence[int]) -> st.SearchStrategy[tuple[bytes, Found]]:
    """Messages with records at the end of a path, and what is to be found in them."""
    if not path:
        return st.binary(max_size=200).map(lambda record: (record, [(record, [])]))
    child = messages(path[1:])
    return st.lists(st.one_of(child, child, others), max_size=5).map(partial(assemble, path[0]))


def assemble(number: int, parts: list[bytes | tuple[bytes, Found]]) -> tuple[bytes, Found]:
    around = b"".join(part for part in parts if isinstance(part, bytes))
    body, found = b"", []
    for part in parts:
        if isinstance(part, bytes):
            body += part
        else:
            body += field(number, part[0])
            found += [(record, [around, *inside]) for record, inside in part[1]]
    return body, found


@pytest.mark.fuzz
@given(messages((1, 2, 2)))
def test_every_record_is_found_once_in_order_with_all_other_fields(
    given_: tuple[bytes, Found],
) -> None:
    body, expected = given_
    assert [unwrap(one, (1, 2, 2)) for one in cut(body, (1, 2, 2), free)] == expected


@pytest.mark.fuzz
@given(st.binary(max_size=300), st.sampled_from([(1,), (1, 2), (1, 2, 2)]))
@example(b"\x0a\x00", (1,))
def test_any_bytes_are_cut_or_refused(body: bytes, path: tuple[int, ...]) -> None:
    check(body, path)


@pytest.mark.fuzz
@given(
    messages((1, 2)),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_messages_with_wrong_bytes_are_cut_or_refused(
    given_: tuple[bytes, Found], changes: list[tuple[int, int]]
) -> None:
    body = bytearray(given_[0] or b"\x0a\x00")
    for place, value in changes:
        body[place % len(body)] = value
    check(bytes(body), (1, 2))


def check(body: bytes, path: tuple[int, ...]) -> None:
    """Whatever it is: refused as ours, or cut into whole messages that memory was asked for."""
    asked: list[int] = []
    try:
        found = cut(body, path, asked.append)
    except MunimentError:
        return
    records = [unwrap(one, path)[0] for one in found]
    assert sum(map(len, found)) <= sum(asked) + CHARGE_STEP
    assert all(record in body for record in records)
    assert cut(body, path, Hold(Budget(sum(asked))).grow) == found
