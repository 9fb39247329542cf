"""JSON by slices: every record once, all other bytes as they came, memory asked for first."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from muniment.budget import Budget, Hold
from muniment.errors import InputError, MunimentError, TooLarge
from muniment.receive.dialects.json_slices import ARRAY, Document, cut

WAY = (("groups", "group_s"), ("records",))


def free(_: int) -> None:
    """Lets memory be used without a bound."""


def elements(text: bytes) -> list[bytes]:
    document = Document(text, free)
    return [document.slice(span) for span in document.elements(document.whole)]


def test_the_elements_of_an_array_keep_their_bytes() -> None:
    text = b' [ {"a" : 1e2 , "b":[1,\n{}]} ,\n\n{"c":"\\u00e4\xc3\xa4}"}\t] '
    assert elements(text) == [b'{"a" : 1e2 , "b":[1,\n{}]}', b'{"c":"\\u00e4\xc3\xa4}"}']
    assert elements(b"[]") == []


def test_the_value_of_a_member_is_found_where_it_stands() -> None:
    text = b'{"b":[7], "a" : [7] ,"c":{"a":0}}'
    document = Document(text, free)
    span = document.member(("a",), document.whole)
    assert span == (16, 19)
    assert document.slice(span) == b"[7]"
    assert document.member(("d",), document.whole) is None
    assert Document(b'{"a":null}', free).member(("a",), (0, 10)) is None


def test_a_member_may_have_another_name_but_not_both() -> None:
    document = Document(b'{"b":1}', free)
    assert document.member(("a", "b"), document.whole) == (5, 6)
    document = Document(b'{"b":1,"a":2}', free)
    with pytest.raises(InputError, match="both"):
        document.member(("a", "b"), document.whole)


def test_names_are_compared_as_they_read() -> None:
    document = Document(b'{"\\u0061":1}', free)
    assert document.member(("a",), document.whole) == (10, 11)


def test_records_come_with_all_the_other_bytes() -> None:
    body = b""" {"x":1.0e0, "groups" : [ {"z":{"k":[ ]} ,"records":[{"a":1}, {"b" : 2} ], "y":2},
        {"records":null}, {}, {"group":[]}, {"records":[{}] }], "x":[1]} """
    assert cut(body, WAY, free) == [
        b'{"x":1.0e0, "groups" : [{"z":{"k":[ ]} ,"records":[{"a":1}], "y":2}], "x":[1]}',
        b'{"x":1.0e0, "groups" : [{"z":{"k":[ ]} ,"records":[{"b" : 2}], "y":2}], "x":[1]}',
        b'{"x":1.0e0, "groups" : [{"records":[{}] }], "x":[1]}',
    ]


def test_records_that_are_arrays() -> None:
    body = b'{"groups":[{"records":[["1","[]"],[ ]]}]}'
    assert cut(body, WAY, free, ARRAY) == [
        b'{"groups":[{"records":[["1","[]"]]}]}',
        b'{"groups":[{"records":[[ ]]}]}',
    ]


@pytest.mark.parametrize("body", [b"{}", b'{"groups":null}', b'{"groups":[]}', b'{"groups":[{}]}'])
def test_no_records_are_none(body: bytes) -> None:
    assert cut(body, WAY, free) == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b'"\xff\xfe"', b"bytes that are no UTF-8"),
        (b'"\\ud83d"', b"half of a pair"),
        (b'"\\uDE00\\ud83d\\ude00 \\\\ud83d"', b"the wrong half, a pair, no escape at all"),
        (b'"\\u0000"', b"a NUL"),
        (b'[{"b":' * 9_000 + b'"]}"' + b"}]" * 9_000, b"ten thousand brackets"),
    ],
)
def test_strings_that_others_would_refuse_are_kept(text: bytes, kept: bytes) -> None:
    body = b'{"groups":[{"records":[{"a":%b},{"b":1}]}]}' % text
    found = cut(body, WAY, free)
    assert found == [
        b'{"groups":[{"records":[{"a":%b}]}]}' % text,
        b'{"groups":[{"records":[{"b":1}]}]}',
    ]


def test_of_a_member_that_is_there_twice_the_last_one_counts_and_the_first_one_is_kept() -> None:
    assert cut(b'{"groups":[{"records":[{"a":1}],"records":[{"b":1}]}]}', WAY, free) == [
        b'{"groups":[{"records":[{"a":1}],"records":[{"b":1}]}]}'
    ]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"", 1),
        (b"7", 1),
        (b"[]", 1),
        (b'\n\n{"groups":}', 3),
        (b'{"groups":{}}', 1),
        (b'{"groups":\n[\n{"records":\n7}]}', 4),
        (b'{"groups":[{"records":[1]}]}', 1),
        (b'{"groups":[{"records":[{}]}]', 1),
        (b'{"groups":[]} {}', 1),
        (b"\xef\xbb\xbf{}", 1),
        (b'{"a":"\n\\ud83d\\x"}', 1),
    ],
)
def test_what_is_not_wanted_is_refused_with_its_line(body: bytes, line: int) -> None:
    with pytest.raises(InputError, match=f"line {line}: "):
        cut(body, WAY, free)


@pytest.mark.parametrize("body", [b'{"a":' * 100_000, b"[" * 1_000_000, b'{"\\ud800":' * 100_000])
def test_depth_without_end_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        cut(body, WAY, free)


@pytest.mark.parametrize(
    "body",
    [
        b'{"groups":[' + b"{}," * 1_000_000 + b"{}]}",
        b'{"groups":[{"records":[' + b"{}," * 1_000_000 + b"{}]}]}",
        b'{"groups":[{"h":"' + b"h" * 100_000 + b'","records":[' + b"{}," * 10_000 + b"{}]}]}",
    ],
)
def test_memory_is_asked_for_before_it_is_used(body: bytes) -> None:
    with pytest.raises(TooLarge, match="memory"):
        cut(body, WAY, Hold(Budget(16 << 20)).grow)


def test_an_array_of_what_is_no_object_costs_nothing() -> None:
    with pytest.raises(InputError, match="Expected `object`"):
        cut(b'{"groups":[' + b"1," * 1_000_000 + b"1]}", WAY, Hold(Budget(1 << 10)).grow)


texts = st.text(max_size=6)
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.just(1.5e300), texts)
values = st.one_of(plain, st.lists(plain, max_size=2), st.dictionaries(texts, plain, max_size=2))
objects = st.dictionaries(st.text(max_size=4), values, max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> tuple[object, int | None]:
    """Whole documents, and how they are indented."""
    group = st.tuples(objects, st.lists(objects, max_size=4), objects)
    groups = [
        {**before, "records": records, **after}
        for before, records, after in draw(st.lists(group, max_size=4))
    ]
    return {**draw(objects), "groups": groups, **draw(objects)}, draw(st.sampled_from((None, 1)))


@pytest.mark.fuzz
@given(documents(), st.booleans())
def test_every_record_is_found_once_in_order_with_all_other_members(
    document: tuple[dict[str, object], int | None], ascii_: bool
) -> None:
    value, indent = document
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    groups: list[dict[str, object]] = value["groups"]  # type: ignore[assignment]
    expected = [
        {**value, "groups": [{**group, "records": [record]}]}
        for group in groups
        for record in group["records"]  # type: ignore[attr-defined]
    ]
    found = cut(text, WAY, free)
    assert [json.loads(one) for one in found] == expected


@pytest.mark.fuzz
@given(st.binary(max_size=200))
@example(b'{"groups":[{"records":[{}]}]}')
@example(b'{"groups":[{"records":[{"a":"\\ud800"}]}]}')
def test_any_bytes_are_cut_or_refused(body: bytes) -> None:
    check(body)


@pytest.mark.fuzz
@given(
    documents(),
    st.lists(
        st.tuples(st.integers(0, 1 << 20), st.sampled_from(list(b'"\\{}[],: \xff0u\n'))),
        min_size=1,
        max_size=4,
    ),
)
def test_documents_with_wrong_bytes_are_cut_or_refused(
    document: tuple[object, int | None], changes: list[tuple[int, int]]
) -> None:
    body = bytearray(json.dumps(document[0], indent=document[1]).encode())
    for place, value in changes:
        body[place % len(body)] = value
    check(bytes(body))


def check(body: bytes) -> None:
    """Refused as ours, or cut into texts of the same kind, each with one record."""
    asked: list[int] = []
    try:
        found = cut(body, WAY, asked.append)
    except MunimentError:
        return
    assert sum(map(len, found)) <= sum(asked)
    for one in found:
        assert cut(one, WAY, free) == [one]
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    groups = [group for name in WAY[0] for group in value.get(name) or []]
    records = [record for group in groups for record in group.get("records") or []]
    kept = [orjson.loads(one) for one in found]
    assert [(o.get("groups") or o.get("group_s"))[0]["records"] for o in kept] == [
        [record] for record in records
    ]
