"""Segment files: names, headers, seals; whatever stands in a file, only Corrupt is raised."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_disk import SimulatedDisk

from muniment import kernel
from muniment.errors import Corrupt
from muniment.log.frame import BadFrame, Frame, Kind
from muniment.log.segment import (
    END,
    TRAILER,
    SegmentHeader,
    parse_seal,
    read_frame,
    seal_payload,
    seal_place,
    segment_first,
    segment_name,
    walk,
)

PATH = Path("s.seg")
origins = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
firsts = st.integers(0, (1 << 63) - 1)


def disk_with(data: bytes) -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.poke(PATH, data)
    return disk


@st.composite
def headers(draw: st.DrawFn) -> SegmentHeader:
    first = draw(firsts)
    length = 32 * first.bit_count()
    frontier = draw(st.binary(min_size=length, max_size=length))
    return SegmentHeader(draw(origins), first, frontier, draw(st.booleans()))


@given(firsts)
def test_a_name_gives_the_first_index(first: int) -> None:
    assert segment_first(segment_name(first)) == first
    assert len(segment_name(first)) == 24


ONES = "1" * 19
OTHER_NAMES = [
    *("1.seg", f"{ONES}11.seg", f"{ONES}1", f"{ONES}1.seg.cut-3", f"{ONES}x.seg", ".seg"),
    *(f"{ONES}\u00b2.seg", f"{ONES}\u0661.seg", f"-{ONES}.seg", f".{ONES}1.seg.new"),
]


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_other_names_are_no_segments(name: str) -> None:
    assert segment_first(name) is None


@given(headers(), st.binary(max_size=40))
def test_a_header_is_read_back(header: SegmentHeader, rest: bytes) -> None:
    data = header.encode()
    assert header.length == len(data)
    assert SegmentHeader.read(disk_with(data + rest), PATH) == header


@given(headers(), st.data())
def test_a_header_cut_short_or_damaged_is_refused(
    header: SegmentHeader, data: st.DataObject
) -> None:
    whole = header.encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    offset, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    flipped = whole[:offset] + bytes([whole[offset] ^ 1 << bit]) + whole[offset + 1 :]
    for bad in (cut, flipped):
        with pytest.raises(Corrupt):
            SegmentHeader.read(disk_with(bad), PATH)


def test_flags_that_nobody_knows_are_refused() -> None:
    data = SegmentHeader("o", 0, b"").encode()[:-4]
    data = data[:8] + b"\2" + data[9:]
    with pytest.raises(Corrupt, match="flags"):
        SegmentHeader.read(disk_with(data + kernel.crc32c(data).to_bytes(4, "big")), PATH)


@pytest.mark.fuzz
@given(st.binary(), st.sampled_from([b"", b"MUNISEG1", b"MUNISEG1\0\0\1o"]), st.booleans())
def test_any_bytes_in_a_segment_raise_corrupt_alone(
    data: bytes, start: bytes, sealed: bool
) -> None:
    data = start + data + (END + bytes(7) + b"\1" if sealed else b"")
    disk = disk_with(data)
    for read in (
        lambda: SegmentHeader.read(disk, PATH),
        lambda: [read_frame(disk, PATH, place) for place in walk(disk, PATH, 0, len(data))],
        lambda: seal_place(disk, PATH),
    ):
        try:
            read()
        except Corrupt as error:
            assert error.file == str(PATH) and 0 <= error.offset <= len(data)


@given(st.lists(st.tuples(firsts, st.integers(0, (1 << 32) - 1))))
def test_a_seal_lists_frames(places: list[tuple[int, int]]) -> None:
    assert parse_seal(seal_payload(places)) == places


@given(st.binary())
def test_any_bytes_as_a_seal_are_read_or_refused(data: bytes) -> None:
    if len(data) % 12:
        with pytest.raises(BadFrame):
            parse_seal(data)
    else:
        assert seal_payload(parse_seal(data)) == data


def entries(*texts: bytes) -> bytes:
    (chunk,) = kernel.pack_records(texts, b"")
    return Frame(Kind.ENTRIES, 0, chunk.count, bytes(32), chunk.payload).encode()


def test_walking_gives_the_frames_up_to_the_seal() -> None:
    first, second = entries(b"a", b"b"), entries(b"c" * 500)
    seal = Frame(Kind.SEAL, 3, 0, bytes(32), b"").encode()
    disk = disk_with(first + second + seal + b"anything")
    places = list(walk(disk, PATH, 0, disk.size(PATH)))
    assert [place.offset for place in places] == [0, len(first), len(first + second)]
    assert [place.header.kind for place in places] == [Kind.ENTRIES, Kind.ENTRIES, Kind.SEAL]
    assert kernel.unpack(read_frame(disk, PATH, places[1]).payload) == [b"c" * 500]


def test_walking_stops_at_a_frame_that_goes_beyond_the_end() -> None:
    first, second = entries(b"a"), entries(b"b")
    disk = disk_with(first + second)
    for end in range(len(first) + 1, len(first + second)):
        with pytest.raises(Corrupt) as error:
            list(walk(disk, PATH, 0, end))
        assert error.value.offset == len(first)


def test_the_seal_is_found_from_the_end() -> None:
    first = entries(b"a")
    seal = Frame(Kind.SEAL, 1, 0, bytes(32), seal_payload([(0, 0)])).encode()
    whole = first + seal + TRAILER.pack(END, len(first))
    place = seal_place(disk_with(whole), PATH)
    assert place is not None and place.offset == len(first)
    assert seal_place(disk_with(whole[:-1]), PATH) is None
    assert seal_place(disk_with(first), PATH) is None
    assert seal_place(disk_with(b""), PATH) is None


@pytest.mark.parametrize("offset", [0, 1, 10_000, (1 << 64) - 1])
def test_a_trailer_that_names_another_place_is_corrupt(offset: int) -> None:
    first = entries(b"a")
    seal = Frame(Kind.SEAL, 1, 0, bytes(32), b"").encode()
    with pytest.raises(Corrupt):
        seal_place(disk_with(first + seal + TRAILER.pack(END, offset)), PATH)
