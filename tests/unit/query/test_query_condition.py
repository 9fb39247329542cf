"""Compiled conditions agree with a small evaluator that knows nothing of SQL."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from query_fixture import BASE, row, table

from muniment.errors import QueryError
from muniment.index.columns import leaf_columns, prune
from muniment.query.bounds import bounds
from muniment.query.condition import FALSE, TRUE, check, compile_query
from muniment.query.engine import Engine
from muniment.query.field import FIELDS
from muniment.query.instant import span
from muniment.query.parser import parse
from muniment.query.syntax import And, Between, Compare, Everything, Match, Not, Or, Query, Text

NAMES = ["alice", "Bob", "a*b", "50%_", "it's", 'say "x"', "\\", "", "éa"]
PATHS = ["/", "/api/1", "/api/2", "/API/1", "/a b/*", "/../x"]
IPS = ["10.0.0.1", "10.0.1.7", "10.200.0.9", "2001:db8::1", "fe80::1:2", "::", "not an ip"]
CODES = [200, 301, 404, 499, 500, 503]
MESSAGES = ["Disk full", "disk FULL today", "fine"]
OPTIONAL_NAME = st.none() | st.sampled_from(NAMES)

ROW = st.fixed_dictionaries(
    {
        "actor": st.none()
        | st.fixed_dictionaries(
            {
                "user": st.none()
                | st.fixed_dictionaries({"name": OPTIONAL_NAME, "uid": OPTIONAL_NAME})
            }
        ),
        "src_endpoint": st.none()
        | st.fixed_dictionaries(
            {"ip": st.none() | st.sampled_from(IPS), "port": st.none() | st.integers(0, 99)}
        ),
        "http_response": st.none()
        | st.fixed_dictionaries({"code": st.none() | st.sampled_from(CODES)}),
        "http_request": st.none()
        | st.fixed_dictionaries(
            {"url": st.none() | st.fixed_dictionaries({"path": st.sampled_from(PATHS)})}
        ),
        "resources": st.none()
        | st.lists(st.none() | st.fixed_dictionaries({"name": OPTIONAL_NAME}), max_size=3),
        "is_mfa": st.none() | st.booleans(),
        "status_id": st.none() | st.integers(0, 2),
        "message": st.none() | st.sampled_from(MESSAGES),
        "parse_error": st.none() | st.sampled_from(MESSAGES),
        "unmapped": st.none() | st.sampled_from(['{"a":{"b":"x"}}', '{"a":7}', "{bad", "[]"]),
        "raw_data": st.sampled_from([*MESSAGES, "a*b 50%_ it's", "ÄÖ straße"]),
        "time_ms": st.integers(BASE - 3, BASE + 3),
    }
)

TERMS = [
    "actor:alice",
    "actor:Bob",
    "actor:*",
    r"actor:a\*b",
    "actor:a*b",
    'actor:"50%_"',
    "actor:50*",
    'actor:"it\'s"',
    'actor:""',
    "actor:*é*",
    "path:/api/*",
    "path:/../x",
    "path:*x",
    'path:"/a b/*"',
    "client:10.0.0.0/8",
    "client:10.0.0.0/15",
    "client:10.0.0.1",
    "client:0.0.0.0/0",
    "client:2001:db8::/33",
    "client:::/0",
    "client:10.*",
    "status:404",
    "status:>=500",
    "status:<404",
    "status:>404",
    "status:<=404",
    "status:400..499",
    "status:4xx",
    "status:40*",
    "status:*",
    "outcome:failure",
    "outcome:1",
    "src_endpoint.port:10..20",
    "resource:alice",
    "resources.name:a*",
    "resources.name:*",
    "is_mfa:true",
    "is_mfa:false",
    "message:disk",
    "error:*",
    "error:full",
    "raw:STRASSE",
    "raw:a*50",
    "unmapped.a.b:x",
    "unmapped.a:7",
    "unmapped.a.b:*",
    "full",
    '"50%_"',
    "disk*today",
    f"time:{BASE}",
    f"time:>{BASE}",
    f"time:{BASE - 1}..{BASE + 1}",
    "time:2026-03-01T10:00",
    "time:<2026-03-01T10",
    "time_dt:>=2026-03-01T10:00:00.000",
    "received:2026-03-01",
    "received:>2026-03-01",
]
TERM = st.sampled_from([parse(term) for term in TERMS])


def combined(parts: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(Not, parts), st.builds(And, several), st.builds(Or, several))


QUERY: st.SearchStrategy[Query] = st.recursive(TERM, combined, max_leaves=6)


def values(record: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """All values at a path, through lists."""
    if record is None:
        return
    if isinstance(record, list):
        for item in record:
            yield from values(item, names)
    elif not names:
        yield record
    elif isinstance(record, dict):
        yield from values(record.get(names[0]), names[1:])


def matches(query: Query, record: dict[str, Any]) -> bool:
    match query:
        case Everything():
            return True
        case And(parts):
            return all(matches(part, record) for part in parts)
        case Or(parts):
            return any(matches(part, record) for part in parts)
        case Not(part):
            return not matches(part, record)
        case Text(word):
            return contains(record["raw_data"], word.pieces)
    if query.field.startswith("unmapped."):
        return member_matches(query, record)
    field = FIELDS[query.field]
    found = [v for path in field.paths for v in values(record, tuple(path.dotted.split(".")))]
    return any(value_matches(query, value) for value in found)


def member_matches(query: Any, record: dict[str, Any]) -> bool:
    try:
        value = json.loads(record["unmapped"] or "null")
    except ValueError:
        return False
    for name in query.field.split(".")[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return False
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return query.word.anything or glob(text, query.word.pieces)


def value_matches(query: Any, value: Any) -> bool:
    prose = query.field in ("message", "error", "raw")
    if isinstance(query, Match):
        pieces = query.word.pieces
        if query.word.anything:
            return True
        if isinstance(value, bool):
            return value == (pieces[0] == "true")
        if prose:
            return contains(value, pieces)
        if query.field == "client" and len(pieces) == 1 and "/" in pieces[0]:
            return in_network(value, pieces[0])
        if is_time(query.field):
            return in_span(value, *span(pieces[0]))
        if isinstance(value, int) and len(pieces) == 1:
            names = {"failure": 2}
            if pieces[0] == "4xx":
                return 400 <= value <= 499
            return value == names.get(pieces[0], pieces[0]) or str(value) == pieces[0]
        return glob(str(value), pieces)
    if isinstance(query, Between):
        if is_time(query.field):
            return in_span(value, span(query.low)[0], span(query.high)[1])
        return int(query.low) <= value <= int(query.high)
    assert isinstance(query, Compare)
    if is_time(query.field):
        first, after = span(query.value)
        limits = {
            ">=": (first, 1 << 60),
            ">": (after, 1 << 60),
            "<": (-(1 << 60), first),
            "<=": (-(1 << 60), after),
        }
        return in_span(value, *limits[query.operator])
    bound = int(query.value)
    results = {">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound}
    return results[query.operator]


def is_time(field: str) -> bool:
    return field in ("time", "time_dt", "received")


def in_span(value: Any, first: int, after: int) -> bool:
    at = value.timestamp() * 1000 if isinstance(value, datetime) else value
    return bool(first <= at < after)


def in_network(text: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(text) in ipaddress.ip_network(network)
    except ValueError:
        return False


def glob(text: str, pieces: tuple[str, ...]) -> bool:
    pattern = ".*".join(re.escape(piece) for piece in pieces)
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def contains(text: str, pieces: tuple[str, ...]) -> bool:
    return glob(text.lower(), ("", *(piece.lower() for piece in pieces), ""))


def found_by_sql(engine: Engine, query: Query, records: list[dict[str, Any]]) -> list[int]:
    whole = prune(table(records))
    condition = compile_query(query, leaf_columns(whole.schema))
    if condition is FALSE:
        return []
    with engine.session(30) as session:
        session.table("t", whole)
        sql = f'SELECT e."index" FROM t e WHERE {condition.sql} ORDER BY 1'
        return list(session.fetch(sql, condition.values)["index"].to_pylist())


@settings(max_examples=300)
@given(query=QUERY, rows=st.lists(ROW, min_size=1, max_size=6))
def test_sql_and_the_evaluator_agree(
    engine: Engine, query: Query, rows: list[dict[str, Any]]
) -> None:
    records = [row(number, **given) for number, given in enumerate(rows)]
    expected = [record["index"] for record in records if matches(query, record)]
    assert found_by_sql(engine, query, records) == expected


@settings(max_examples=200)
@given(query=QUERY, rows=st.lists(ROW, min_size=1, max_size=4))
def test_no_row_that_matches_is_out_of_bounds(query: Query, rows: list[dict[str, Any]]) -> None:
    limits = bounds(query)
    for number, given_ in enumerate(rows):
        record = row(number, **given_)
        if matches(query, record):
            assert limits.start <= record["time"] < limits.end
            assert limits.first <= record["index"] < limits.after
            assert limits.shard in (None, record["shard"])


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_ipv4_networks(engine: Engine, address: Any, base: Any, length: int) -> None:
    network = ipaddress.ip_network(f"{base}/{length}", strict=False)
    query = parse(f"client:{network}")
    for one in (address, network.network_address, network.broadcast_address):
        records = [row(0, src_endpoint={"ip": str(one)})]
        assert bool(found_by_sql(engine, query, records)) == (one in network)


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.integers(0, 128), st.booleans())
def test_ipv6_networks(engine: Engine, address: Any, base: Any, length: int, long: bool) -> None:
    network = ipaddress.ip_network(f"{base}/{length}", strict=False)
    query = parse(f"client:{network}")
    for one in (address, network.network_address, network.broadcast_address):
        text = one.exploded.upper() if long else str(one)
        records = [row(0, src_endpoint={"ip": text})]
        assert bool(found_by_sql(engine, query, records)) == (one in network)


@pytest.mark.parametrize(
    "text", ["1.2.3", "1.2.3.4.5", "::1::", "12345::", ":::", "1:2:", "1:2:3:4:5:6:7:8:9", ""]
)
def test_what_is_no_address_is_in_no_network(engine: Engine, text: str) -> None:
    records = [row(0, src_endpoint={"ip": text})]
    for network in ("0.0.0.0/0", "0.0.0.0/1", "::/0"):
        assert found_by_sql(engine, parse(f"client:{network}"), records) == []


@pytest.mark.parametrize("text", ["::", "1::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "0:0::0"])
def test_every_way_to_shorten_an_address_is_read(engine: Engine, text: str) -> None:
    query = parse(f"client:{ipaddress.ip_address(text)}/128")
    assert found_by_sql(engine, query, [row(0, src_endpoint={"ip": text})]) == [0]


def test_a_term_over_a_column_that_is_not_there_is_plainly_false() -> None:
    columns = frozenset(["raw_data", "time"])
    assert compile_query(parse("status:500"), columns) is FALSE
    assert compile_query(parse("-status:500"), columns) is TRUE
    assert compile_query(parse("status:500 x"), columns) is FALSE
    assert compile_query(parse("status:500 OR x"), columns).sql.startswith("contains(")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("status:abc", "column 8: status: expected a whole number, not 'abc'"),
        ("x status:>abc", "column 10: status: expected a whole number, not 'abc'"),
        ("outcome:good", "column 9: outcome: expected a whole number or one of unknown, success"),
        ("time:soon", "column 6: time: 'soon' is not a time; write 2026"),
        ("time:2026*", "column 6: time: a time takes no wildcard"),
        ("client:10.0.0.1/8", "column 8: client: 10.0.0.1/8 has host bits set"),
        ("is_mfa:yes", "column 8: is_mfa: expected true or false"),
    ],
)
def test_values_that_do_not_suit_their_field_are_named(text: str, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        check(parse(text))
    assert message in caught.value.detail


@given(st.sampled_from(sorted(FIELDS)), st.text(st.characters(codec="utf-8"), max_size=12))
def test_every_field_takes_any_text_or_refuses_it(engine: Engine, name: str, text: str) -> None:
    value = text.replace("\\", "").replace('"', "").replace("\0", "")
    try:
        query = parse(f'{name}:"{value}"')
        check(query)
    except QueryError:
        return
    assert found_by_sql(engine, query, [row(0)]) in ([], [0])


@pytest.mark.parametrize("text", ["index:1xx", "index:1*", "index:>=x"])
def test_an_index_that_is_no_number_bounds_nothing(text: str) -> None:
    assert bounds(parse(text)) == bounds(parse("raw:x"))
