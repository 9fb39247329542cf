"""Parcels: numbered, chained records, and what is no parcel."""

from __future__ import annotations

import struct
from hashlib import sha256

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.capture.chain import Head, first_head, heads_text, next_head, payload_of, read_heads
from muniment.capture.parcel import MAX_HEAD, Parcel, decode, encode
from muniment.errors import InputError, MunimentError, Overloaded

HEAD = first_head("lb1/access").hex()

parcels = st.builds(
    Parcel,
    stream=st.sampled_from(["lb1/access", "lb1/haproxy:edge", "a/b/c"]),
    seq=st.integers(1, 1 << 60),
    prev=st.binary(min_size=32, max_size=32).map(bytes.hex),
    source=st.sampled_from(["haproxy", "change", "x.y-z_0"]),
    records=st.lists(st.binary(max_size=50), min_size=1, max_size=20),
    about=st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=3),
)


def parcel(**fields: object) -> bytes:
    """A parcel of one record `x`, with other members in its head; None takes one out."""
    head = {"stream": "lb1/access", "seq": 1, "count": 1, "prev": HEAD, "as": "text"} | fields
    return orjson.dumps({k: v for k, v in head.items() if v is not None}) + b"\n\0\0\0\1x"


@given(parcels)
def test_what_is_encoded_comes_back(one: Parcel) -> None:
    assert decode(encode(one)) == one


def test_the_form_is_what_it_says() -> None:
    data = encode(Parcel("lb1/access", 7, HEAD, "haproxy", [b"", b"a\n\0"], {"file": "/f"}))
    head, _, payload = data.partition(b"\n")
    assert orjson.loads(head) == {
        "stream": "lb1/access",
        "seq": 7,
        "count": 2,
        "prev": HEAD,
        "as": "haproxy",
        "about": {"file": "/f"},
    }
    assert payload == struct.pack(">I", 0) + struct.pack(">I", 3) + b"a\n\0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"[]\n\0\0\0\1x",
        b"{" + b" " * MAX_HEAD + b"}\n\0\0\0\1x",
        parcel()[:-1],
        parcel() + b"y",
        parcel(stream="access"),
        parcel(stream="lb1/a b"),
        parcel(stream="lb1/" + "x" * 300),
        parcel(stream=5),
        parcel(seq=0),
        parcel(seq=True),
        parcel(seq=1.0),
        parcel(seq=(1 << 63) - 1),
        parcel(seq=None),
        parcel(count=0),
        parcel(count=2),
        parcel(count=1 << 40),
        parcel(prev=HEAD.upper()),
        parcel(prev=HEAD[:-1]),
        parcel(prev=None),
        parcel(**{"as": "no source"}),
        parcel(about={"file": 1}),
        parcel(about=["file"]),
    ],
)
def test_what_is_no_parcel_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        decode(data)


def test_members_that_a_later_agent_adds_are_passed_over() -> None:
    assert decode(parcel(more="things")).records == [b"x"]


def test_memory_is_asked_for_before_it_is_used() -> None:
    empty = encode(Parcel("lb1/access", 1, HEAD, "text", [b""] * 100_000))
    asked: list[int] = []

    def none_left(amount: int) -> None:
        asked.append(amount)
        raise Overloaded("no memory")

    with pytest.raises(Overloaded):
        decode(empty, none_left)
    assert asked[0] >= 100_000 * 50


@pytest.mark.fuzz
@given(st.one_of(st.binary(max_size=300), parcels.map(encode)), st.data())
def test_any_bytes_are_a_parcel_or_refused(data: bytes, draw: st.DataObject) -> None:
    if data:
        place = draw.draw(st.integers(0, len(data) - 1))
        data = data[:place] + draw.draw(st.binary(max_size=3)) + data[place + 1 :]
    asked: list[int] = []
    try:
        found = decode(data, asked.append)
    except InputError:
        return
    assert sum(map(len, found.records)) + 4 * len(found.records) < len(data)
    assert asked == [len(data) + 100 * len(found.records)]
    assert data.endswith(payload_of(found.records))


def test_the_chain_is_what_its_description_says() -> None:
    first = sha256(b"muniment capture v1\nlb1/access\n").digest()
    assert first_head("lb1/access") == first
    payload = b"\0\0\0\2ab\0\0\0\0"
    assert payload_of([b"ab", b""]) == payload
    after = sha256(
        first + (1).to_bytes(8, "big") + (2).to_bytes(8, "big") + sha256(payload).digest()
    )
    assert next_head(first, 1, 2, payload) == after.digest()


def test_heads_are_read_as_they_were_written() -> None:
    heads = {"lb1/b": Head(9, b"\1" * 32), "lb1/a": Head(3, b"\2" * 32)}
    text = heads_text("lb1", {**heads, "lb1/empty": Head(0, b"\3" * 32)})
    expected = ["muniment.dev/capture/v1", "lb1", f"lb1/a 3 {'02' * 32}", f"lb1/b 9 {'01' * 32}"]
    assert text.splitlines() == expected
    assert read_heads(text) == ("lb1", heads)


@pytest.mark.fuzz
@given(st.text(max_size=200))
def test_any_text_is_heads_or_refused(text: str) -> None:
    for given_ in (text, f"muniment.dev/capture/v1\nlb1\n{text}\n"):
        try:
            agent, heads = read_heads(given_)
        except MunimentError:
            continue
        assert sorted(heads_text(agent, heads).split("\n")) == sorted(given_.split("\n"))
