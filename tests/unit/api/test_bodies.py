"""Bodies: the bytes of each entry as they arrived."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment import kernel
from muniment.api.bodies import Media, pack
from muniment.budget import Budget, Hold
from muniment.errors import InputError, TooLarge, UnsupportedMedia

HEADER = b'{"at":"now"}\n'
MIB = 1 << 20


def hold(total: int = 256 * MIB) -> Hold:
    return Hold(Budget(total))


def entries(media: Media, body: bytes) -> list[bytes]:
    """The raw bytes of the entries that a body makes."""
    chunks = pack(media, body, HEADER, hold())
    found = [entry for chunk in chunks for entry in kernel.unpack(chunk.payload)]
    assert all(entry.startswith(HEADER) for entry in found)
    return [entry[len(HEADER) :] for entry in found]


def test_content_types_are_read_without_their_parameters() -> None:
    assert Media.of("Text/Plain; charset=iso-8859-1") is Media.TEXT
    assert Media.of("application/json") is Media.JSON
    for wrong in (None, "", "text", "application/x-www-form-urlencoded", "text/plain, text/plain"):
        with pytest.raises(UnsupportedMedia, match="content type"):
            Media.of(wrong)


def test_text_is_one_entry_a_line_whatever_the_bytes() -> None:
    assert entries(Media.TEXT, b"a\r\n\n\xff\x00b\n c ") == [b"a\r", b"", b"\xff\x00b", b" c "]
    assert entries(Media.TEXT, b"a\n") == entries(Media.TEXT, b"a") == [b"a"]
    assert entries(Media.TEXT, b"\n") == [b""]


def test_lines_of_json_keep_their_bytes_and_blank_lines_are_passed_over() -> None:
    body = b' {"a": 1.0e0} \n\r\n{"a":1,"a":2}\n'
    assert entries(Media.LINES, body) == [b' {"a": 1.0e0} ', b'{"a":1,"a":2}']


def test_one_object_is_kept_exactly_as_it_arrived() -> None:
    body = b'\n {"a" :\t1 }\r\n'
    assert entries(Media.JSON, body) == [body]


def test_the_elements_of_an_array_keep_their_bytes() -> None:
    body = b' [ {"a" : 1e2 , "b":[1,\n2]} ,\n\n{"c":"\\u00e4\xc3\xa4"}\t] '
    assert entries(Media.JSON, body) == [
        b'{"a" : 1e2 , "b":[1,\n2]}',
        b'{"c":"\\u00e4\xc3\xa4"}',
    ]


def test_bytes_are_one_entry() -> None:
    assert entries(Media.BYTES, b"a\nb\n\0") == [b"a\nb\n\0"]


@pytest.mark.parametrize(
    ("media", "body", "line"),
    [
        (Media.LINES, b'{"a":1}\n{"b":2}\n{"c":\n{"d":4}', 3),
        (Media.LINES, b'{"a":1}\n[1]', 2),
        (Media.LINES, b'{"a":"\xff"}', 1),
        (Media.LINES, b'{"a":1} {"b":2}', 1),
        (Media.LINES, b'\n\n"text"', 3),
        (Media.JSON, b'{"a":1,\n"b":}', 2),
        (Media.JSON, b"1", 1),
        (Media.JSON, b'[{"a":1},\n\n{"b":"\xff"}]', 3),
        (Media.JSON, b'[{"a":1},\n{"b":\n nope}]', 3),
        (Media.JSON, b'[{"a":1},\n{"b":2},\n7]', 3),
        (Media.JSON, b'[{"a":1}\n,\n]', 3),
        (Media.JSON, b'[{"a":1}', 1),
        (Media.JSON, b'[{"a":"\xed\xa0\x80"}]', 1),
    ],
)
def test_broken_json_names_its_line(media: Media, body: bytes, line: int) -> None:
    with pytest.raises(InputError) as caught:
        pack(media, body, HEADER, hold())
    assert caught.value.line == line
    assert not isinstance(caught.value, TooLarge)


@pytest.mark.parametrize("media", list(Media))
def test_an_empty_body_holds_no_entry(media: Media) -> None:
    with pytest.raises(InputError):
        pack(media, b"", HEADER, hold())
    if media is Media.JSON:
        for body in (b" \n", b"[]", b"[ ]"):
            with pytest.raises(InputError):
                pack(media, body, HEADER, hold())


@pytest.mark.parametrize(
    ("media", "body", "line"),
    [
        (Media.TEXT, b"a\nb\n" + b"x" * 65_536 + b"\nc", 3),
        (Media.LINES, b'{"a":1}\n{"b":"' + b"x" * 65_600 + b'"}\n', 2),
        (Media.LINES, b'{"b":[' + b"1," * 3 * MIB, 1),
        (Media.JSON, b'{"b":"' + b"x" * 65_600 + b'"}', 1),
        (Media.JSON, b'[{"a":1},\n{"b":"' + b"x" * 65_600 + b'"}]', 2),
        (Media.BYTES, b"x" * 65_536, 1),
    ],
    ids=["text", "line", "line without end", "object", "element", "bytes"],
)
def test_what_no_entry_can_hold_is_named(media: Media, body: bytes, line: int) -> None:
    with pytest.raises(TooLarge) as caught:
        pack(media, body, HEADER, hold())
    assert caught.value.line == line


def test_the_longest_entry_fits_and_one_byte_more_does_not() -> None:
    room = kernel.MAX_ENTRY_BYTES - len(HEADER)
    assert entries(Media.TEXT, b"x" * room + b"\ny") == [b"x" * room, b"y"]
    with pytest.raises(TooLarge):
        entries(Media.TEXT, b"x" * (room + 1))


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (Media.TEXT, b"\n" * 4_000_000),
        (Media.LINES, b"{}\n" * 2_000_000),
        (Media.JSON, b"[" + b"{}," * 2_000_000 + b"{}]"),
        (Media.JSON, b"[" + b"1," * 4_000_000 + b"1]"),
    ],
    ids=["empty lines", "empty objects", "array of objects", "array of numbers"],
)
def test_millions_of_tiny_entries_are_refused_before_they_cost_memory(
    media: Media, body: bytes
) -> None:
    held = hold(64 * MIB)
    with pytest.raises(TooLarge, match="memory"):
        pack(media, body, HEADER, held)


def test_nesting_without_end_is_an_error_and_no_crash() -> None:
    for body in (b"[" * 60_000, b"[" + b'{"a":' * 10_000, b'{"a":' * 10_000):
        with pytest.raises(InputError):
            pack(Media.JSON, body, HEADER, hold())


json_objects = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)


@given(st.lists(json_objects, min_size=1, max_size=5), st.sampled_from([None, 1]))
def test_any_array_of_objects_is_taken_apart_without_changing_a_byte(
    objects: list[dict[str, object]], indent: int | None
) -> None:
    texts = [json.dumps(o, indent=indent, ensure_ascii=False).encode() for o in objects]
    assert entries(Media.JSON, b"[" + b" ,\n".join(texts) + b"]") == texts


@pytest.mark.fuzz
@given(st.binary(max_size=200), st.sampled_from(list(Media)))
def test_any_bytes_are_packed_or_refused(body: bytes, media: Media) -> None:
    for attempt in (body, b"[" + body, b"{" + body, b'[{"a":1},' + body + b"]"):
        try:
            pack(media, attempt, HEADER, hold())
        except InputError:
            continue
