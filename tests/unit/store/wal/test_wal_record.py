"""The bytes of write-ahead objects: there and back, and nothing but Corrupt for anything else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator import SimulatedStore
from wal_objects import AT, OF, A, Written, checkpoint, group, root

from muniment.errors import Corrupt
from muniment.log.replica import Act, Append
from muniment.store.wal.header import MAX_HEADER, NOTHING, Header, Kind, decode_header
from muniment.store.wal.names import Place, key, place_of
from muniment.store.wal.record import Encoded, decode, encode, header_of

WRITER = b"w" * 16
SEAL = Append(Act.SEAL, 7, 7, 7, root(7), b"")


def made(*appends: Append) -> tuple[Header, Encoded]:
    header = replace(
        header_of(appends, OF, A, WRITER, AT), term=3, slot=9, confirmed=5, prev=b"p" * 32
    )
    return header, encode(header, appends)


def test_there_and_back() -> None:
    appends = [group(2, 7), checkpoint(7), SEAL, group(7, 8, 7)]
    header, encoded = made(*appends)
    record = decode(encoded.data, "x")
    assert record.header == header
    assert list(record.appends) == appends
    assert record.digest == encoded.digest == sha256(encoded.data).digest()
    assert decode_header(encoded.data[:MAX_HEADER], "x") == header


def test_a_fence_there_and_back() -> None:
    header = Header(Kind.FENCE, OF, A, 3, 9, 5, WRITER, NOTHING, AT, 0, 0, NOTHING)
    encoded = encode(header)
    record = decode(encoded.data, "x")
    assert record.header == header and record.header.is_fence and not record.appends
    assert record.header.at == AT and record.header.node == A


def test_every_flipped_bit_is_found() -> None:
    _, encoded = made(group(2, 7), checkpoint(7))
    for bit in range(len(encoded.data) * 8):
        data = bytearray(encoded.data)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            decode(bytes(data), "x")


def test_every_cut_is_found() -> None:
    _, encoded = made(group(2, 7))
    for length in range(len(encoded.data)):
        with pytest.raises(Corrupt):
            decode(encoded.data[:length], "x")
    with pytest.raises(Corrupt):
        decode(encoded.data + b"x", "x")


@pytest.mark.parametrize(
    "wrong",
    [
        {"confirmed": 10},
        {"term": 0},
        {"count": 0},
        {"count": 1 << 21},
        {"count": 3},
        {"first": 9},
        {"size": 9},
        {"root": bytes(32)},
        {"segment": 1},
        {"body": 5},
        {"kind": Kind.FENCE},
    ],
)
def test_headers_that_contradict(wrong: dict[str, int]) -> None:
    appends = [group(2, 7), checkpoint(7)]
    header, _ = made(*appends)
    with pytest.raises(Corrupt):
        decode(encode(replace(header, **wrong), appends).data, "x")


@pytest.mark.parametrize(
    "appends",
    [
        [group(2, 7), group(8, 9)],
        [group(2, 7, 2), group(7, 9, 1)],
        [group(2, 7, 3)],
        [Append(Act.GROUP, 0, 7, 2, root(2), b"")],
    ],
)
def test_appends_that_do_not_go_on(appends: list[Append]) -> None:
    with pytest.raises(Corrupt):
        decode(made(*appends)[1].data, "x")


def test_an_unknown_act() -> None:
    _, encoded = made(group(2, 7))
    at = decode_header(encoded.data, "x").length
    body = bytearray(encoded.data[:-32])
    body[at] = 99
    with pytest.raises(Corrupt, match="a known act"):
        decode(bytes(body) + sha256(body).digest(), "x")


@given(st.data())
def test_any_appends(data: st.DataObject) -> None:
    size, segment, appends = data.draw(st.integers(0, 1 << 40)), 0, []
    for _ in range(data.draw(st.integers(1, 5))):
        first, size = size, size + data.draw(st.integers(0, 1 << 30))
        segment = data.draw(st.sampled_from([segment, first]))
        frames = data.draw(st.binary(max_size=50))
        act = data.draw(st.sampled_from(list(Act)))
        appends.append(Append(act, segment, first, size, root(size), frames))
    _, encoded = made(*appends)
    assert list(decode(encoded.data, "x").appends) == appends


@pytest.mark.fuzz
@given(st.data())
def test_only_corrupt_is_raised(data: st.DataObject) -> None:
    _, encoded = made(group(2, 7), checkpoint(7))
    found = bytearray(encoded.data)
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(found)))
        found[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    if data.draw(st.booleans()):
        found = found[:-32] + sha256(found[:-32]).digest()
    for read in (decode, decode_header):
        with suppress(Corrupt):
            read(bytes(found), "x")


@pytest.mark.fuzz
@given(st.text(max_size=60))
def test_names_of_anything(text: str) -> None:
    assert place_of(OF, text) is None
    place_of(OF, key(OF, Place(1, 2))[: len(text)] + text)


def test_names() -> None:
    assert key(OF, Place(12, 345)) == "wal/default/aa/0000000012/00000000000000000345"
    assert place_of(OF, key(OF, Place(12, 345))) == Place(12, 345)
    assert place_of(OF, "wal/default/ab/0000000012/00000000000000000345") is None


def test_the_objects_of_the_tests() -> None:
    written = Written(SimulatedStore())
    fence = written.fence(0, 0, WRITER, 0)
    data = written.data(1, 0, WRITER, 0, group(0, 3))
    assert decode(data.data, "x").header.prev == fence.digest
