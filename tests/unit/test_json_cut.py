"""Members and elements of JSON, cut out as they stand, by the strict way and by counting."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import InputError, TooLarge
from muniment.json_cut import Members, elements, readable, text_of

NAMES = Members("a", "b")


def free(amount: int) -> None:
    """Memory without end."""


def bounded(total: int):
    """A `grow` that refuses beyond `total` bytes."""
    held = 0

    def grow(amount: int) -> None:
        nonlocal held
        held += amount
        if held > total:
            raise TooLarge("too much memory")

    return grow


POISON = [
    rb'{"patch":"\ud800"}',
    b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"x":' * 5_000 + b"1" + b"}" * 5_000,
    rb'{"x":"\q"}',
    b'{"x":01}',
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'{"a": 1.0e0 ,"b":"x"}', (b"1.0e0", b'"x"')),
        (b' {"z":{"a":2},"b" : [1, 2] }\n', (b"", b"[1, 2]")),
        (b'{"a":1,"a":2}', (b"2", b"")),
        (b"{}", (b"", b"")),
    ],
)
def test_members_are_cut_out_as_they_stand(text: bytes, found: tuple[bytes, bytes]) -> None:
    assert NAMES.of(text) == found
    for poison in POISON:
        spoiled = text.rstrip().removesuffix(b"}") + (b"," if b":" in text else b"")
        assert NAMES.of(spoiled + b'"poison":' + poison + b"}") == found


@pytest.mark.parametrize("poison", POISON)
def test_what_one_element_holds_costs_the_others_nothing(poison: bytes) -> None:
    sound = [b'{"a":"]},{"}', b'{"b":[{},{}]}', rb'{"c":"\"\\"}']
    body = b"[ " + b" ,\n".join([sound[0], poison, *sound[1:]]) + b" ]"
    assert elements(body, free) == [sound[0], poison, *sound[1:]]


def test_arrays_of_nothing_are_empty() -> None:
    assert elements(b"[]", free) == elements(b" [ \n] ", free) == []


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{}", b"null", b"[", b"[{}", b"[{]", b"[{}}", b'["', b'[{"a":"}]', b"[]]", b"[] x"),
        *(b"[1]", b'["a"]', b"[null]", b"[[{}]]", b"[{},1]", b"[" * 10_000, b"[{}" * 10_000),
        b"\xef\xbb\xbf[]",
    ],
)
def test_what_is_no_array_of_objects_is_refused(text: bytes) -> None:
    with pytest.raises(InputError):
        elements(text, free)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"a"', b'{"a":1', b"1", b'"{}"', b"{}{}"])
def test_what_is_no_object_has_no_members(text: bytes) -> None:
    with pytest.raises(InputError):
        NAMES.of(text)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"{}," * 1_000_000 + b"{}]",
        b"[" + b"{}," * 1_000_000 + rb'{"a":"\ud800"}]',
        b"[" + b"{" * 3_000_000,
    ],
    ids=["objects", "objects and a poisoned one", "brackets"],
)
def test_millions_of_elements_are_refused_before_they_cost_memory(body: bytes) -> None:
    with pytest.raises(InputError):
        elements(body, bounded(64 << 20))


def test_a_million_commas_cost_no_more_than_their_length() -> None:
    text = b'{"a":1' + b"," * 1_000_000 + b"}"
    assert NAMES.of(text) == (b"1", b"")
    assert readable(text) == {"a": 1}
    with pytest.raises(InputError):
        elements(b"[{}" + b"," * 1_000_000 + b"]", free)


def test_texts() -> None:
    assert text_of(b'"a\\u00e4"') == "a\u00e4"
    assert text_of(rb'"\ud800x"') == r"\ud800x"
    assert text_of(b"1") == text_of(b"") == text_of(b'{"a":1}') == ""


def test_what_can_be_read_of_a_text_that_is_cut_short_is_read() -> None:
    whole = {"a": 1, "b": {"c": [1, 2]}, "d": "x,y", "e": "the end"}
    text = json.dumps(whole).encode()
    assert readable(text) == whole
    assert readable(text[:-5]) == {name: whole[name] for name in "abd"}
    assert readable(text, frozenset(("b",))) == {name: whole[name] for name in "ade"}
    assert readable(rb'{"a":1,"b":"\ud800","c":3}') == {"a": 1, "c": 3}
    assert readable(b"nothing") == readable(b"") == {}


objects = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=5,
    ),
    max_size=4,
)


@given(st.lists(objects, max_size=5), st.sampled_from([None, 1]), st.sampled_from([b"", *POISON]))
def test_any_array_of_objects_is_cut_without_changing_a_byte(
    values: list[dict[str, object]], indent: int | None, poison: bytes
) -> None:
    texts = [json.dumps(value, indent=indent, ensure_ascii=False).encode() for value in values]
    texts += [poison] if poison else []
    assert elements(b"[" + b" ,\n".join(texts) + b"]", free) == texts


@pytest.mark.fuzz
@given(st.binary(max_size=200))
def test_any_bytes_are_cut_or_refused(data: bytes) -> None:
    for text in (data, b"[" + data, b"[{" + data + b"}]", b'[{"a":"' + data + b'"}, {}]'):
        try:
            found = elements(text, bounded(1 << 20))
        except InputError:
            continue
        # Nothing is lost but what stands between elements.
        assert sum(map(len, found)) >= len(text) - text.count(b",") - 2 - sum(
            text.count(space) for space in (b" ", b"\t", b"\r", b"\n")
        )
    for text in (data, b'{"a":' + data, b'{"a":1,' + data + b"}"):
        assert isinstance(readable(text), dict)
        try:
            NAMES.of(text)
        except InputError:
            continue
