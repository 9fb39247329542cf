"""Plain JSON lines are read all at once, and become what reading them one by one makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import entry
from muniment.event import flat, structured
from muniment.event.decode import decode, decode_packed

Events = list[dict[str, Any]]

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "200", "-", "create", "192.0.2.7:80", "[::1]:443", "::1", "unix:", 'a"b\\']
    ),
    st.sampled_from(["2026-11-20T23:06:18.734Z", "2026-11-20 23:06:18", "user.delete", "login"]),
    st.sampled_from(["warn", "ERROR", "1790000000", "1790000000.5"]),
)
WHOLE = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1, 200, 404, 503, 10**11, 10**14, 10**17, 1_790_000_000_000]),
)
KINDS = {"text": TEXTS, "whole": WHOLE, "truth": st.booleans()}
NAMES = [
    *("time", "id", "actor", "resource", "outcome", "reason", "severity", "client", "service"),
    *("comment", "message", "tenant", "request_id", "trace_id", "method", "url", "path"),
    *("user_agent", "status", "duration_ms", "agent", "pad", "", 'odd "name"', "größe", "a.b"),
    *("*", "^.*$", "literal", "msg", "level", "lvl", "@timestamp", "ts", "traceId", "req_id"),
]
ODD = [
    *('{"action":"a","action":"b"}', '{"action":1}', '{"action":null}', "{}", "", "[]", "nothing"),
    *('{"action":"a"}{"action":"b"}', '{"action":"a","x":[1]}', '{"action":"a","x":{"y":1}}'),
    *('{"action":"a","pad":1.5}', '{"action":"a","status":1e2}', '{"action":"a","status":1.0}'),
    *('{"action":"a","status":99999999999999999999}', '{"action":"a","client":{"ip":"::1"}}'),
    *('{"action":"a","pad":"\\ud800"}', '{"action":"a","pad":"\\u0000\\ud83d\\ude00"}'),
    *('{"action":"a","pad":"\x01"}', '{"action":"a","pad":"x', '"}', ' {"action":"a"}'),
    *('{"action":"a"}\n', '{"action":"a"} \n', '{"action":\n"a"}', '{"action":"a","new":"x"}'),
    *('{"action":{"b":{}', '{"c":1}}', '{"action":"a"}\x00', "{\x00}", '{"action":"\x7f"}'),
    *('{"class_uid":3002,"action":"a"}', '{"msg":"x","level":"warn"}', '{"action":"a","pad":NaN}'),
    *(
        '{"action":"a","pad":-0}',
        '{"action":"a","pad":00}',
        '{"a\\u0063tion":"a"}',
        '{"action":"a",}',
    ),
]


@st.composite
def batches(draw: st.DrawFn) -> list[str]:
    """Lines with the same members of the same types, and sometimes one that is otherwise."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=8))
    kinds = {name: KINDS[draw(st.sampled_from(sorted(KINDS)))] for name in names}
    form = {"action": TEXTS} if draw(st.booleans()) else {}
    whole = st.fixed_dictionaries({**form, **kinds})
    sparse = st.fixed_dictionaries(
        form, optional={name: st.none() | kind for name, kind in kinds.items()}
    )
    events = draw(st.lists(draw(st.sampled_from([whole, sparse])), min_size=1, max_size=12))
    ascii_only = draw(st.booleans())
    lines = [json.dumps(event, ensure_ascii=ascii_only) for event in events]
    for line in draw(st.lists(st.sampled_from(ODD), max_size=2)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    return lines


def rows(lines: Sequence[str]) -> Events:
    raws = [line.encode("utf-8", "surrogatepass") for line in lines]
    table = decode([entry(raw, "json") for raw in raws], log="l", shard="s", first=0)
    table.validate(full=True)
    return _opened(table)


def _opened(table: pa.Table) -> Events:
    """Rows in which `unmapped` is no text: the order of its members is not promised."""
    found: Events = table.to_pylist()
    for row in found:
        row["unmapped"] = None if row["unmapped"] is None else orjson.loads(row["unmapped"])
    return found


def one_by_one(lines: Sequence[str]) -> Events:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "sample", lambda lines: None)
        return rows(lines)


@given(batches())
def test_both_ways_say_the_same(lines: list[str]) -> None:
    assert rows(lines) == one_by_one(lines)


@given(batches(), st.lists(st.sampled_from(ODD), max_size=3))
def test_what_the_sample_did_not_show_is_found(lines: list[str], odd: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "_SAMPLE", 1)
        patch.setattr(structured, "_PIECE", 3)
        assert rows([*lines, *odd]) == one_by_one([*lines, *odd])


@pytest.fixture
def only_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test in which objects are looked at one by one."""

    def refuse(lines: pl.Series) -> pl.DataFrame:
        raise AssertionError(lines.to_list()[:1])

    monkeypatch.setattr(structured, "_one_by_one", refuse)


def test_plain_lines_are_read_at_once(only_at_once: None) -> None:
    lines = [
        f'{{"action":"read","status":{200 + n},"ok":true,"n":{n},"name":"ä\\"{n}"}}'
        for n in range(300)
    ]
    found = rows(lines)
    assert [row["parse_error"] for row in found] == [None] * 300
    assert found[7]["unmapped"] == {"ok": True, "n": 7, "name": 'ä"7'}
    assert found[7]["http_response"]["code"] == 207


def test_unmapped_is_the_same_text(only_at_once: None) -> None:
    """Where lines have their members in the same order, even the text is."""
    lines = [f'{{"b":"x/{n}é","action":"get","a":{n},"c":null,"d":"\\u00e9\\n"}}' for n in range(3)]
    table = decode([entry(line.encode(), "json") for line in lines], log="l", shard="s", first=0)
    assert table["unmapped"][2].as_py() == '{"b":"x/2é","a":2,"d":"é\\n"}'


def test_one_odd_line_costs_only_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real: Callable[[pl.Series], pl.DataFrame] = structured._one_by_one

    def counted(lines: pl.Series) -> pl.DataFrame:
        seen.append(len(lines))
        return real(lines)

    monkeypatch.setattr(structured, "_one_by_one", counted)
    lines = [f'{{"action":"read","n":{n}}}' for n in range(10_000)]
    lines[6_001] = '{"action":"read","n":[1]}'
    found = rows(lines)
    assert sum(seen) <= structured._PIECE
    assert (found[6_000]["unmapped"], found[6_001]["unmapped"]) == ({"n": 6_000}, {"n": [1]})


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"", b"{}\n", b"[]\n", b'{"as":"text"}\n', b"\xff\n"]),
            st.binary(max_size=20),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_packed_entries_are_decoded_alike(pairs: list[tuple[bytes, bytes]]) -> None:
    found = [header + raw for header, raw in pairs]
    packed = b"".join([len(each).to_bytes(2, "big") + each for each in found])
    place = {"log": "l", "shard": "s", "first": 5}
    assert decode_packed(packed, **place).equals(decode(found, **place))  # type: ignore[arg-type]
