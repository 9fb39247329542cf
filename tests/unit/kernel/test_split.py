"""Entries taken apart at their first newline, and chunks that bring their compressed form."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.kernel import COMPRESS_CHUNK_BYTES, Split
from muniment.kernel.choice import Kernel

HEADERS = [b'{"at":"1"}\n', b'{"at":"2"}\n', b"\n"]
entries = st.lists(
    st.builds(bytes.__add__, st.sampled_from(HEADERS), st.binary(max_size=9))
    | st.binary(max_size=9)
)


def packed(found: list[bytes]) -> bytes:
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in found)


def joined(split: Split) -> list[bytes]:
    """The entries again."""
    which, offsets = array("I", split.which), array("i", split.offsets)
    assert len(offsets) == len(which) + 1 and offsets[0] == 0 and offsets[-1] == len(split.raw)
    places = zip(which, offsets[:-1], offsets[1:], strict=True)
    return [split.headers[header] + split.raw[start:stop] for header, start, stop in places]


@given(entries)
def test_what_is_split_can_be_joined(kernel: Kernel, found: list[bytes]) -> None:
    split = kernel.split(packed(found))
    assert joined(split) == found
    cut = [entry[: entry.find(b"\n") + 1] or entry for entry in found]
    assert split.headers == list(dict.fromkeys(cut))


def test_the_entries_of_a_batch_share_one_header(kernel: Kernel) -> None:
    header = b'{"at":"2026-01-02T03:04:05.000000Z"}\n'
    (chunk,) = kernel.pack_lines(b"a\n\nbc\n", header)
    offsets = array("i", [0, 1, 1, 3]).tobytes()
    assert kernel.split(chunk.payload) == Split([header], bytes(12), offsets, b"abc")


def test_an_entry_without_a_newline_is_all_header(kernel: Kernel) -> None:
    split = kernel.split(packed([b"h", b"h\n", b"h", b"h\nh\n", b""]))
    assert split.headers == [b"h", b"h\n", b""]
    assert list(array("I", split.which)) == [0, 1, 0, 1, 2]
    assert split.raw == b"h\n"


@pytest.mark.parametrize("payload", [b"\0", b"\0\1", b"\0\1a\0", b"\xff\xff\n"])
def test_lengths_that_do_not_add_up_are_refused(kernel: Kernel, payload: bytes) -> None:
    with pytest.raises(ValueError):
        kernel.split(payload)


def test_a_chunk_brings_its_compressed_form_where_that_pays(kernel: Kernel) -> None:
    line = b'{"a":"%s"}' % (b"x" * 1_014)
    count = COMPRESS_CHUNK_BYTES // (len(line) + 2)
    (small,) = kernel.pack_json_lines(b"\n".join([line] * (count - 1)), b"")
    assert small.compressed == b""
    for chunk in (
        *kernel.pack_json_lines(b"\n".join([line] * 3_000), b""),
        *kernel.pack_lines(b"\n".join([line] * count), b""),
    ):
        assert 0 < len(chunk.compressed) < len(chunk.payload) // 8
        assert kernel.decompress(chunk.compressed, len(chunk.payload)) == chunk.payload
    dice = random.Random(1)
    (noise,) = kernel.pack_records([dice.randbytes(50_000) for _ in range(2)], b"")
    assert noise.compressed == b""
