"""Packing: bodies become chunks of entries, byte for byte, or the line at fault is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import InputError, TooLarge
from muniment.kernel import CHUNK_BYTES, MAX_CHUNK_BYTES, MAX_ENTRY_BYTES, Chunk, python
from muniment.kernel.choice import Kernel

HEADER = b'{"at":"2026-01-02T03:04:05.000000Z"}\n'
headers = st.sampled_from([b"", b"{}\n", HEADER])
records = st.lists(st.binary(max_size=50), min_size=1, max_size=30)


def entries(chunks: Sequence[Chunk]) -> list[bytes]:
    """What the chunks hold, after checking that each says so of itself."""
    found = []
    for chunk in chunks:
        unpacked = python.unpack(chunk.payload)
        assert len(unpacked) == chunk.count > 0
        assert len(chunk.payload) <= MAX_CHUNK_BYTES
        assert chunk.leaves == b"".join(sha256(b"\x00" + e).digest() for e in unpacked)
        found += unpacked
    return found


@given(records, headers)
def test_records_come_back_as_they_were(
    kernel: Kernel, records: list[bytes], header: bytes
) -> None:
    assert entries(kernel.pack_records(records, header)) == [header + r for r in records]


@given(st.binary(min_size=1), headers)
def test_lines_end_at_a_newline_and_nothing_else(
    kernel: Kernel, body: bytes, header: bytes
) -> None:
    lines = body.removesuffix(b"\n").split(b"\n")
    assert entries(kernel.pack_lines(body, header)) == [header + line for line in lines]


def test_an_empty_body_is_refused(kernel: Kernel) -> None:
    for pack in (kernel.pack_lines, kernel.pack_json_lines):
        with pytest.raises(InputError):
            pack(b"", HEADER)
    with pytest.raises(InputError):
        kernel.pack_records([], HEADER)


LINES = st.sampled_from(
    [
        *(b"{}", b'{"a":1}', b' {"b":[1,2]} ', b'{"c":"\xc3\xa9"}', b"", b"  ", b"\t\r"),
        *(b"[]", b"1", b'"x"', b"null", b"{", b"{}{}", b'{"a":NaN}', b'{"\xff":1}'),
        b"\xef\xbb\xbf{}",
    ]
)


def oracle(body: bytes) -> list[bytes] | int:
    """The lines that hold an object, or the number of the first that is anything else."""
    kept = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode(), parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError):
            return number
        if not isinstance(value, dict):
            return number
        kept.append(line)
    return kept


@given(st.lists(LINES, max_size=8), headers)
def test_json_lines_are_kept_or_the_first_bad_one_is_named(
    kernel: Kernel, lines: list[bytes], header: bytes
) -> None:
    body = b"\n".join(lines)
    expected = oracle(body)
    if isinstance(expected, list) and expected:
        assert entries(kernel.pack_json_lines(body, header)) == [header + e for e in expected]
        return
    with pytest.raises(InputError) as error:
        kernel.pack_json_lines(body, header)
    assert error.value.line == (expected or None)


@pytest.mark.fuzz
@given(st.binary(), headers)
def test_any_bytes_as_json_lines_are_kept_or_refused(
    kernel: Kernel, body: bytes, header: bytes
) -> None:
    try:
        found = entries(kernel.pack_json_lines(body, header))
    except InputError:
        return
    assert all(json.loads(entry[len(header) :]) == {} or entry for entry in found)
    assert b"".join(e[len(header) :] for e in found).split() == body.split()


def test_deeply_nested_json_is_refused_as_bad_input(kernel: Kernel) -> None:
    with pytest.raises(InputError) as error:
        kernel.pack_json_lines(b"{}\n" + b'{"a":' * 30_000 + b"1" + b"}" * 30_000, b"")
    assert error.value.line == 2


@pytest.mark.parametrize("blank", [b"", b"\n"])
def test_a_line_over_the_bound_is_named(kernel: Kernel, blank: bytes) -> None:
    fits = b'{"a":"%s"}' % (b"x" * (MAX_ENTRY_BYTES - len(HEADER) - 8))
    assert entries(kernel.pack_json_lines(blank + fits, HEADER)) == [HEADER + fits]
    longer = fits.replace(b"x", b"xx", 1)
    first = 2 if blank else 1
    for pack in (kernel.pack_json_lines, kernel.pack_lines):
        with pytest.raises(TooLarge) as error:
            pack(blank + b"{}\n" * 3 + longer + b"\n{", HEADER)
        assert error.value.line == 3 + first


@pytest.mark.parametrize("later", [b"{", b"[]", b"{}\n{", b"\n[]"])
def test_of_two_bad_lines_the_first_is_named(kernel: Kernel, later: bytes) -> None:
    broken = b"{" * (MAX_ENTRY_BYTES + 1)
    for longer in (broken, b'{"a":"%s"}' % (b"x" * MAX_ENTRY_BYTES)):
        with pytest.raises(TooLarge) as error:
            kernel.pack_json_lines(b" " * 70_000 + b"\n{}\n" + longer + b"\n" + later, HEADER)
        assert error.value.line == 3
    with pytest.raises(InputError) as bad:
        kernel.pack_json_lines(b"{}\n" + later + b"\n" + broken, HEADER)
    assert bad.value.line == 2 + later.count(b"\n")


def test_the_largest_entry_fits_and_one_byte_more_does_not(kernel: Kernel) -> None:
    (chunk,) = kernel.pack_records([b"x" * (MAX_ENTRY_BYTES - len(HEADER))], HEADER)
    assert len(kernel.unpack(chunk.payload)[0]) == MAX_ENTRY_BYTES
    for place in range(3):
        records = [b"a", b"b", b"c"]
        records[place] = b"x" * (MAX_ENTRY_BYTES - len(HEADER) + 1)
        with pytest.raises(TooLarge) as error:
            kernel.pack_records(records, HEADER)
        assert error.value.line == place + 1


def test_a_record_over_the_bound_is_counted_across_chunks(kernel: Kernel) -> None:
    records = [bytes(60_000)] * 40 + [bytes(MAX_ENTRY_BYTES + 1)]
    with pytest.raises(TooLarge) as error:
        kernel.pack_records(records, b"")
    assert error.value.line == 41


def test_a_chunk_is_closed_by_the_entry_that_fills_it(kernel: Kernel) -> None:
    chunks = kernel.pack_records([bytes(60_000)] * 40, HEADER)
    assert [chunk.count for chunk in chunks] == [18, 18, 4]
    assert all(len(chunk.payload) >= CHUNK_BYTES for chunk in chunks[:-1])
    assert entries(chunks) == [HEADER + bytes(60_000)] * 40


@pytest.mark.fuzz
@given(st.binary())
def test_unpacking_any_bytes_gives_entries_that_pack_to_them_or_a_value_error(
    kernel: Kernel, data: bytes
) -> None:
    try:
        found = kernel.unpack(data)
    except ValueError:
        return
    assert b"".join(len(e).to_bytes(2, "big") + e for e in found) == data


@given(records, st.data())
def test_a_payload_that_is_cut_short_is_refused(
    kernel: Kernel, records: list[bytes], data: st.DataObject
) -> None:
    (chunk,) = kernel.pack_records(records, b"")
    length = data.draw(st.integers(0, len(chunk.payload) - 1))
    try:
        found = kernel.unpack(chunk.payload[:length])
    except ValueError:
        return
    assert found == records[: len(found)] and len(found) < len(records)
