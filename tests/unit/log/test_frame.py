"""Frames: what is encoded is decoded, and any other bytes are refused with their reason."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment import kernel
from muniment.kernel import MAX_CHUNK_BYTES
from muniment.log.frame import (
    END,
    HEADER_BYTES,
    MAX_BODY_BYTES,
    TRAILER_BYTES,
    BadFrame,
    BatchId,
    Frame,
    FrameHeader,
    Kind,
    parse_batch_table,
)

ids = st.builds(
    BatchId,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 32) - 1),
)
payloads = st.one_of(st.binary(max_size=400), st.binary(max_size=3).map(lambda b: b * 300))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    first = draw(st.integers(0, (1 << 63) - 1))
    return Frame(
        draw(st.sampled_from(Kind)),
        first,
        draw(st.integers(0, (1 << 32) - 1)),
        draw(st.binary(min_size=32, max_size=32)),
        draw(payloads),
        draw(st.booleans()),
        draw(st.booleans()),
        tuple(replace(known, first=first + known.first) for known in draw(st.lists(ids))),
    )


def decoded(data: bytes) -> Frame:
    header = FrameHeader.parse(data)
    assert header.length == len(data) == HEADER_BYTES + header.body
    return Frame.decode(header, data[HEADER_BYTES:])


@given(frames())
def test_a_frame_is_read_back(frame: Frame) -> None:
    data = frame.encode()
    assert decoded(data) == frame
    header = FrameHeader.parse(data)
    assert header.size == frame.first + frame.count
    assert (header.kind, header.begins, header.ends) == (frame.kind, frame.begins, frame.ends)


def test_only_entries_that_gain_by_it_are_compressed() -> None:
    noise = Random(1).randbytes(1000)
    for payload, kind, codec in [
        (b"x" * 1000, Kind.ENTRIES, 1),
        (b"x" * 255, Kind.ENTRIES, 0),
        (noise, Kind.ENTRIES, 0),
        (b"x" * 1000, Kind.CHECKPOINT, 0),
        (b"x" * 1000, Kind.SEAL, 0),
    ]:
        data = Frame(kind, 0, 1, bytes(32), payload).encode()
        assert FrameHeader.parse(data).codec == codec
        assert decoded(data).payload == payload


TRAILER = END + bytes(8)
NOISE = Random(2).randbytes(130_000)


@pytest.mark.parametrize("start", [b"", b"x" * 20, b"x" * 1000, NOISE[:1000], b"x" * 200_000])
@pytest.mark.parametrize("end", [TRAILER, NOISE + TRAILER, NOISE[:300] + TRAILER])
def test_no_frame_of_entries_ends_like_a_sealed_segment(start: bytes, end: bytes) -> None:
    """A sender could otherwise lead a reader to frames of his own making."""
    payload = start + end
    data = Frame(Kind.ENTRIES, 0, 1, bytes(32), payload).encode()
    assert not data[-TRAILER_BYTES:].startswith(END)
    assert decoded(data).payload == payload


def test_not_even_with_the_help_of_the_root_or_an_id() -> None:
    split = END[:3], END[3:] + bytes(8)
    ends = [
        Frame(Kind.ENTRIES, 0, 1, bytes(29) + split[0], split[1]),
        Frame(Kind.ENTRIES, 0, 1, bytes(32), split[1], ids=[BatchId(split[0].decode(), 0, 1)]),
    ]
    for frame in ends:
        data = frame.encode()
        assert not data[-TRAILER_BYTES:].startswith(END)
        assert decoded(data).payload == split[1]


@pytest.mark.fuzz
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_as_a_header_are_read_or_refused(data: bytes, valid_crc: bool) -> None:
    if valid_crc:
        rest = data[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")[8:]
        data = b"MNMF" + kernel.crc32c(rest).to_bytes(4, "big") + rest + data[HEADER_BYTES:]
    try:
        header = FrameHeader.parse(data)
    except BadFrame as error:
        assert error.expected and error.found
        return
    assert header.body <= MAX_BODY_BYTES
    with pytest.raises(BadFrame):
        Frame.decode(header, data[HEADER_BYTES:] + b"?" * (header.body + 1))


@pytest.mark.fuzz
@given(frames(), st.binary(max_size=300), st.integers(0, 1), st.integers(0, 2 * MAX_CHUNK_BYTES))
def test_any_body_with_a_valid_checksum_is_read_or_refused(
    frame: Frame, body: bytes, codec: int, raw: int
) -> None:
    header = FrameHeader.parse(frame.encode())
    for table in {0, len(body) // 2, len(body)}:
        made = replace(
            header,
            codec=codec,
            raw=raw,
            ids=table,
            stored=len(body) - table,
            body_crc=kernel.crc32c(body),
        )
        try:
            found = Frame.decode(made, body)
        except BadFrame:
            continue
        assert len(found.payload) == raw


@pytest.mark.fuzz
@given(st.binary(), st.integers(0, 1 << 63))
def test_any_bytes_as_a_batch_table_are_read_or_refused(table: bytes, first: int) -> None:
    try:
        batches = parse_batch_table(table, first)
    except BadFrame:
        return
    assert sum(9 + len(batch.id.encode()) for batch in batches) == len(table)


@given(frames(), st.data())
def test_a_frame_cut_short_is_refused(frame: Frame, data: st.DataObject) -> None:
    whole = frame.encode()
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BadFrame):
        decoded_anyway(whole[:length])


def decoded_anyway(data: bytes) -> Frame:
    return Frame.decode(FrameHeader.parse(data), data[HEADER_BYTES:])


def test_every_flipped_bit_of_a_frame_is_found() -> None:
    whole = Frame(Kind.ENTRIES, 7, 2, bytes(32), b"\0\1a\0\1b", ids=[BatchId("x", 7, 2)]).encode()
    for offset in range(len(whole)):
        for bit in range(8):
            flipped = whole[:offset] + bytes([whole[offset] ^ 1 << bit]) + whole[offset + 1 :]
            with pytest.raises(BadFrame):
                decoded_anyway(flipped)
