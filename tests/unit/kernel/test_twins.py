"""The two kernels against each other: the same chunks, bytes and errors for whatever arrives."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from muniment.errors import InputError
from muniment.kernel import MAX_CHUNK_BYTES, MAX_ENTRY_BYTES, Chunk
from muniment.kernel.choice import Kernel

Twins = tuple[Kernel, Kernel]
HEADER = b'{"at":"2026-01-02T03:04:05.000000Z"}\n'
headers = st.sampled_from([b"", b"no newline", HEADER, b"x" * MAX_ENTRY_BYTES])

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)
objects = st.builds(
    lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace"),
    st.dictionaries(st.text(), values),
    st.booleans(),
)
PIECES = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b'"', b":", b",", b" ", b"\t", b"\r", b"\n", b"\n\n", b"{}\n"),
        *(
            b"0",
            b"1",
            b"-",
            b"+",
            b".",
            b"e",
            b"E9",
            b"1e308",
            b"9" * 40,
            b"true",
            b"fals",
            b"null",
        ),
        *(b"\\", b"\\u", b"\\ud800", b"\\udc00", b"00e9", b"\\n", b'""', b'"a":', b"//", b"NaN"),
        *(b"\x00", b"\x0b", b"\x1f", b"\x7f", b"\xc3\xa9", b"\xc3", b"\xed\xa0\x80", b"\xff"),
    ]
)


def outcome(work: Callable[[], object]) -> object:
    """What came of it, in a form that can be compared: compressed bytes may differ."""
    try:
        found = work()
    except (InputError, ValueError) as error:
        return type(error), str(error), getattr(error, "line", None)
    if isinstance(found, list):
        return [replace(c, compressed=b"") if isinstance(c, Chunk) else c for c in found]
    return found


def assert_alike(twins: Twins, work: Callable[[Kernel], object]) -> None:
    one, other = (outcome(lambda kernel=kernel: work(kernel)) for kernel in twins)
    assert one == other


def assert_lines_alike(twins: Twins, body: bytes, header: bytes = HEADER) -> None:
    assert_alike(twins, lambda kernel: kernel.pack_json_lines(body, header))


@pytest.mark.fuzz
@given(st.lists(PIECES).map(b"".join), headers)
def test_pieces_of_json(twins: Twins, body: bytes, header: bytes) -> None:
    assert_lines_alike(twins, body, header)


@pytest.mark.fuzz
@given(st.lists(objects, min_size=1, max_size=4), st.data())
def test_json_with_something_put_in_or_left_out(
    twins: Twins, lines: list[bytes], data: st.DataObject
) -> None:
    body = b"\n".join(lines)
    assert_lines_alike(twins, body)
    start = data.draw(st.integers(0, len(body)))
    stop = data.draw(st.integers(start, min(start + 3, len(body))))
    assert_lines_alike(twins, body[:start] + data.draw(PIECES | st.just(b"")) + body[stop:])


@pytest.mark.fuzz
@given(st.binary(), headers)
def test_any_bytes(twins: Twins, body: bytes, header: bytes) -> None:
    assert_lines_alike(twins, body, header)
    assert_alike(twins, lambda kernel: kernel.pack_lines(body, header))
    assert_alike(twins, lambda kernel: kernel.unpack(body))
    assert_alike(twins, lambda kernel: kernel.split(body))
    assert_alike(twins, lambda kernel: kernel.leaf_hashes(body))
    assert_alike(twins, lambda kernel: kernel.root(body))
    assert_alike(twins, lambda kernel: kernel.crc32c(body, len(body)))


WHOLES = ["", "-", "0", "-0", "00", "01", "7", "-12", "9" * 299, "9" * 301, "1" * 309, "9" * 400]
FRACTIONS = ["", ".", ".0", ".5e", "." + "9" * 400]
EXPONENTS = ["", "e", "E", "e-", "E+05", "e-999", "e+299", "e300", "e308", "e309", "e" + "9" * 40]


def test_every_form_of_number(twins: Twins) -> None:
    for number in map("".join, itertools.product(WHOLES, FRACTIONS, EXPONENTS)):
        for form in ('{"a":%s}', '{"a":[%s,1]}', '{"a": %s }'):
            assert_lines_alike(twins, (form % number).encode())


def test_every_escape(twins: Twins) -> None:
    units = ["", "0", "0000", "d7ff", "d800", "DBFF", "dc00", "dFfF", "e000", "12g4", "+123"]
    for one, other in itertools.product(units, units):
        for form in (f"\\u{one}\\u{other}", f"\\u{one}{other}", f"\\u{one}\\n{other}"):
            assert_lines_alike(twins, f'{{"a":"{form}"}}'.encode())
    for byte in range(256):
        assert_lines_alike(twins, b'{"a":"\\%c"}' % byte)


def test_every_byte_at_every_place(twins: Twins) -> None:
    """Whatever the width in which strings are looked through."""
    for length, byte in itertools.product(range(34), range(256)):
        assert_lines_alike(twins, b'{"%s%c%s":1}' % (b"x" * length, byte, b"y" * (33 - length)))
    for place in range(12):
        line = b' {"a" : [ 1 , {} ] } '
        for byte in range(256):
            assert_lines_alike(twins, line[:place] + bytes([byte]) + line[place:])


@pytest.mark.parametrize("depth", [127, 128, 129, 1023, 1024, 1025, 30_000])
def test_nesting(twins: Twins, depth: int) -> None:
    """The native kernel leaves what is deeper than 128 to its twin, which has a bound too."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")):
        for missing in (0, 1):
            inner = opening * depth + b"1" + closing * (depth - missing)
            assert_lines_alike(twins, b'{}\n{"a":' + inner + b"}")


@given(st.lists(st.binary(max_size=20), max_size=8), headers)
def test_records(twins: Twins, records: list[bytes], header: bytes) -> None:
    assert_alike(twins, lambda kernel: kernel.pack_records(records, header))
    assert_alike(twins, lambda kernel: kernel.pack_records(tuple(records), header))


@given(st.lists(st.binary(max_size=9) | st.sampled_from([HEADER, b"\n", b""]), max_size=40))
def test_packed_chunks(twins: Twins, entries: list[bytes]) -> None:
    payload = b"".join(len(e).to_bytes(2, "big") + e for e in entries)
    assert_alike(twins, lambda kernel: kernel.unpack(payload))
    assert_alike(twins, lambda kernel: kernel.split(payload))
    assert_alike(twins, lambda kernel: kernel.leaf_hashes(payload))


@given(
    st.integers(-2, 1 << 66) | st.integers(0, 600), st.integers(0, 300), st.integers(-1, 40),
    st.integers(0, 3),
)  # fmt: skip
def test_trees(twins: Twins, size: int, leaves: int, more: int, odd: int) -> None:
    frontier = bytes(range(32)) * (max(size, 0).bit_count() if more > 0 else max(more, 0))
    added = b"\x07" * (32 * leaves + (odd == 3))
    assert_alike(twins, lambda kernel: kernel.extend(frontier, size, added))
    assert_alike(twins, lambda kernel: kernel.root(frontier + b"x" * (odd == 2)))


@given(st.binary(max_size=300), st.integers(0, 1_000), st.integers(0, (1 << 32) - 1))
def test_stored_bytes(twins: Twins, data: bytes, times: int, seed: int) -> None:
    data *= times
    assert_alike(twins, lambda kernel: kernel.crc32c(data, seed))
    for writer, reader in itertools.product(twins, twins):
        assert reader.decompress(writer.compress(data), len(data)) == data


@pytest.mark.fuzz
@given(st.binary(min_size=1, max_size=200), st.integers(1, 50), st.data())
def test_damaged_zstd_frames(twins: Twins, data: bytes, times: int, more: st.DataObject) -> None:
    size = len(data) * times
    frame = bytearray(twins[0].compress(data * times))
    for _ in range(more.draw(st.integers(1, 3))):
        frame[more.draw(st.integers(0, len(frame) - 1))] = more.draw(st.integers(0, 255))
    cut = bytes(frame[: more.draw(st.integers(0, len(frame)))])
    for damaged in (bytes(frame), cut, bytes(frame) + cut):
        assert_alike(twins, lambda kernel, damaged=damaged: kernel.decompress(damaged, size))


@pytest.mark.parametrize("size", [-1, 0, 1, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1, 1 << 70])
def test_sizes_of_no_frame(twins: Twins, size: int) -> None:
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    for data in (b"", b"\x28\xb5\x2f\xfd", skippable, twins[0].compress(b"") + skippable):
        assert_alike(twins, lambda kernel, data=data: kernel.decompress(data, size))


def test_ordinary_bodies_are_not_left_to_the_twin() -> None:
    compiled = pytest.importorskip("muniment_kernel")
    body = b'{"a":"\\u00e9\xc3\xa9\\n","b":[1,-2.5e3,true,null,{}]}\r\n\n \t\n{}'
    assert len(compiled.pack_json_lines(body, HEADER)) == 1
    assert compiled.pack_json_lines(body + b"{", HEADER) is None
