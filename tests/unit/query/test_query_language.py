"""The query language: what is printed is read back, and mistakes are named with their column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import QueryError
from muniment.query.parser import MAX_DEPTH, MAX_TERMS, parse
from muniment.query.syntax import (
    And,
    Between,
    Compare,
    Everything,
    Match,
    Not,
    Or,
    Query,
    Text,
    Word,
    format_query,
)
from muniment.query.token import MAX_LENGTH

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PIECE = st.text(LETTERS, max_size=8) | st.sampled_from(
    ["AND", "OR", "-x", "a:b", "a..b", ">=5", '"', "\\", "*", "(", ")", " ", ".5", "=1", "/a b/*"]
)
PLAIN_WORD = PIECE.map(lambda piece: Word((piece,)))


def globbed(pieces: list[str]) -> Word:
    """Stars in a row are one, so only the ends may be empty."""
    inner = [piece for piece in pieces[1:-1] if piece]
    return Word((pieces[0], *inner, pieces[-1]))


WORD = PLAIN_WORD | st.lists(PIECE, min_size=2, max_size=4).map(globbed)
TEXT_FIELD = st.sampled_from(["actor", "path", "client", "raw", "http_request.url.path"])
NUMBER_FIELD = st.sampled_from(["status", "index", "time", "received", "src_endpoint.port"])
VALUE = PIECE.filter(bool)
TERM = st.one_of(
    st.builds(Text, WORD),
    st.builds(Match, TEXT_FIELD, WORD),
    st.builds(Match, NUMBER_FIELD, WORD),
    st.builds(Compare, NUMBER_FIELD, st.sampled_from([">", ">=", "<", "<="]), VALUE),
    st.builds(Between, NUMBER_FIELD, VALUE, VALUE),
)


def combined(parts: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(Not, parts), st.builds(And, several), st.builds(Or, several))


QUERY: st.SearchStrategy[Query] = st.recursive(TERM, combined, max_leaves=8)


@given(QUERY)
def test_what_is_printed_is_read_back(query: Query) -> None:
    assert parse(format_query(query)) == query


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as error:
        assert error.detail
    else:
        assert parse(format_query(query)) == query


def word(*pieces: str) -> Word:
    return Word(pieces)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", Everything()),
        ("   ", Everything()),
        ("error", Text(word("error"))),
        ('"free text"', Text(word("free text"))),
        ("fo*o", Text(word("fo", "o"))),
        ("12:30:01", Text(word("12:30:01"))),
        ("actor:alice", Match("actor", word("alice"))),
        ("actor:*", Match("actor", word("", ""))),
        ("path:/api/*", Match("path", word("/api/", ""))),
        ("path:/a/../b", Match("path", word("/a/../b"))),
        ("agent:<script>", Match("agent", word("<script>"))),
        (r"path:/a\*b", Match("path", word("/a*b"))),
        ('path:"/a b"*', Match("path", word("/a b", ""))),
        ("client:2001:db8::1", Match("client", word("2001:db8::1"))),
        ("status:>=500", Compare("status", ">=", "500")),
        ("status:400..499", Between("status", "400", "499")),
        ("a b", And((Text(word("a")), Text(word("b"))))),
        ("a AND b", And((Text(word("a")), Text(word("b"))))),
        ("a OR b c", Or((Text(word("a")), And((Text(word("b")), Text(word("c"))))))),
        ("(a OR b) c", And((Or((Text(word("a")), Text(word("b")))), Text(word("c"))))),
        ("-a", Not(Text(word("a")))),
        ("NOT a", Not(Text(word("a")))),
        ("-(a b)", Not(And((Text(word("a")), Text(word("b")))))),
        ("-method:GET", Not(Match("method", word("GET")))),
        ("status:(500 OR 502)", Or((Match("status", word("500")), Match("status", word("502"))))),
        ("or", Text(word("or"))),
        ('"OR"', Text(word("OR"))),
    ],
)
def test_examples(text: str, query: Query) -> None:
    assert parse(text) == query


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("status: 500", "column 8: expected a value right after 'status:'"),
        ("a OR", "column 5: expected a term"),
        ("OR a", "column 1: expected a term"),
        ("(a", "column 3: expected ')' for the '(' in column 1"),
        ("a)", "column 2: unexpected ')'; expected a term or the end"),
        ("()", "column 2: expected a term"),
        ('a "b', "column 3: the quotation is not closed"),
        ("a \\", "column 3: nothing follows the backslash"),
        ("-", "column 2: expected a term after '-'"),
        ("status:>=", "column 8: expected a value after '>='"),
        ("status:1..", "column 8: expected a value on both sides of '..'"),
        ("stauts:500", "column 1: there is no field 'stauts'; did you mean status"),
        ("a actr:x", "column 3: there is no field 'actr'; did you mean actor"),
        ("http_request:x", "did you mean http_request.body_length"),
        ("http://x", "put the text in quotes"),
        ("a\0b", "column 2: a NUL character"),
    ],
)
def test_mistakes_are_named_with_their_column(text: str, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert message in caught.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "x" * (MAX_LENGTH + 1),
        " ".join("x" * (MAX_TERMS + 1)),
        "(" * (MAX_DEPTH + 2) + "x" + ")" * (MAX_DEPTH + 2),
        "NOT " * (MAX_DEPTH + 2) + "x",
        "-" * (MAX_DEPTH + 2) + "x",
    ],
)
def test_a_query_is_bounded(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)
