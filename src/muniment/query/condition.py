"""Compiles a query into an SQL condition with parameters, for a table with given columns.

A part of the index has only those columns that hold anything in it. A term over a column that
is not there is plainly false, so whole parts drop out before they are opened. Values reach SQL
as parameters alone; the names in the text come from the schema.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from muniment.errors import QueryError
from muniment.query import address
from muniment.query.field import FIELDS, UNMAPPED, Field, Kind, Path, find_field
from muniment.query.instant import span
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
)

_INTEGER = re.compile(r"-?\d{1,18}\Z", re.ASCII)
_HUNDREDS = re.compile(r"[1-9]xx\Z", re.IGNORECASE)
_RAW = Path("raw_data")


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL condition over a table `e`, and the values of its `?`s in order."""

    sql: str
    values: tuple[Any, ...] = ()


TRUE = Condition("TRUE")
FALSE = Condition("FALSE")


def compile_query(query: Query, columns: Set[str]) -> Condition:
    """Returns the condition of a query on a table that has `columns` (dotted leaf names).

    TRUE and FALSE are returned as these very objects. A condition can be NULL where SQL says so;
    that counts as false. Raises QueryError for a value that does not suit its field.
    """
    match query:
        case Everything():
            return TRUE
        case And(parts):
            return _all([compile_query(part, columns) for part in parts])
        case Or(parts):
            return _any([compile_query(part, columns) for part in parts])
        case Not(part):
            return _not(compile_query(part, columns))
        case Text(word):
            return _prose(_name(_RAW), word)
        case Match() | Compare() | Between():
            return _term(query, columns)


def check(query: Query) -> None:
    """Raises QueryError where a value in the query does not suit its field."""
    compile_query(query, FIELDS.keys())


def _all(parts: list[Condition]) -> Condition:
    parts = [part for part in parts if part is not TRUE]
    if any(part is FALSE for part in parts):
        return FALSE
    return _join(" AND ", parts) if parts else TRUE


def _any(parts: list[Condition]) -> Condition:
    parts = [part for part in parts if part is not FALSE]
    if any(part is TRUE for part in parts):
        return TRUE
    return _join(" OR ", parts) if parts else FALSE


def _not(part: Condition) -> Condition:
    if part is TRUE or part is FALSE:
        return FALSE if part is TRUE else TRUE
    return Condition(f"(({part.sql}) IS NOT TRUE)", part.values)


def _join(word: str, parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    values = tuple(value for part in parts for value in part.values)
    return Condition("(" + word.join(part.sql for part in parts) + ")", values)


def _term(term: Match | Compare | Between, columns: Set[str]) -> Condition:
    field = find_field(term.field, term.column)
    try:
        found = [(path, _test(field, term, _Place(path))) for path in field.paths]
    except ValueError as error:
        raise QueryError(f"column {term.column}: {field.name}: {error}") from error
    return _any([test for path, test in found if path.column in columns])


class _Place:
    """The SQL expression of one path, and of a test on it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def test(self, condition: Condition) -> Condition:
        """A test on a list holds when it holds for any item."""
        if not self.path.listed:
            return condition
        sql = f"len(list_filter({_name(self.path)}, lambda item: {condition.sql})) > 0"
        return Condition(sql, condition.values)

    @property
    def value(self) -> str:
        if not self.path.listed:
            return _name(self.path)
        return "item" + "".join(f'."{name}"' for name in self.path.inner)


def _name(path: Path) -> str:
    return "e." + ".".join(f'"{name}"' for name in path.column.split("."))


def _test(field: Field, term: Match | Compare | Between, place: _Place) -> Condition:
    if isinstance(term, Match):
        if field.kind is Kind.JSON:
            return _json(place.path, term.word)
        if term.word.anything:
            return place.test(Condition(f"{place.value} IS NOT NULL"))
        return place.test(_match(field, term.word, place.value))
    if field.kind in (Kind.TIME, Kind.INSTANT):
        return place.test(_within(field.kind, place.value, *term_span(term)))
    if isinstance(term, Between):
        ends = _number(field, term.low), _number(field, term.high)
        return place.test(Condition(f"{place.value} BETWEEN ? AND ?", ends))
    value = _number(field, term.value)
    return place.test(Condition(f"{place.value} {term.operator} ?", (value,)))


def _match(field: Field, word: Word, column: str) -> Condition:
    text = word.pieces[0]
    if field.kind is Kind.PROSE:
        return _prose(column, word)
    if field.kind in (Kind.TIME, Kind.INSTANT):
        return _within(field.kind, column, *_named_span(word))
    if field.kind is Kind.BOOLEAN:
        if word.pieces not in (("true",), ("false",)):
            raise ValueError("expected true or false")
        return Condition(f"{column} = ?", (text == "true",))
    if field.kind is Kind.NUMBER:
        if not word.plain:
            return _like(f"CAST({column} AS VARCHAR)", word)
        if _HUNDREDS.match(text):
            return Condition(
                f"{column} BETWEEN ? AND ?", (int(text[0]) * 100, int(text[0]) * 100 + 99)
            )
        return Condition(f"{column} = ?", (_number(field, text),))
    if field.kind is Kind.ADDRESS and word.plain and "/" in text:
        return Condition(*address.in_network(column, text))
    return Condition(f"{column} = ?", (text,)) if word.plain else _like(column, word)


def _number(field: Field, text: str) -> int:
    known = field.names.get(text.lower())
    if known is not None:
        return known
    if not _INTEGER.match(text):
        names = ", ".join(field.names)
        raise ValueError(f"expected a whole number{names and ' or one of '}{names}, not {text!r}")
    return int(text)


def _prose(column: str, word: Word) -> Condition:
    if word.plain:
        return Condition(f"contains(lower({column}), lower(?))", word.pieces)
    found = _like(f"lower({column})", Word(("", *word.pieces, "")))
    return Condition(found.sql.replace("LIKE ?", "LIKE lower(?)"), found.values)


def _like(column: str, word: Word) -> Condition:
    escaped = (re.sub(r"([\\%_])", r"\\\1", piece) for piece in word.pieces)
    return Condition(f"{column} LIKE ? ESCAPE '\\'", ("%".join(escaped),))


def _json(path: Path, word: Word) -> Condition:
    """Tests a member of the JSON text in `unmapped`; text that is no JSON has no members."""
    place = "$" + "".join('."' + name.replace('"', "") + '"' for name in path.inner)
    column = _name(Path(UNMAPPED))
    member = f"(CASE WHEN json_valid({column}) THEN json_extract_string({column}, ?) END)"
    if word.anything:
        return Condition(f"{member} IS NOT NULL", (place,))
    if word.plain:
        return Condition(f"{member} = ?", (place, word.pieces[0]))
    found = _like(member, word)
    return Condition(found.sql, (place, *found.values))


def term_span(term: Match | Compare | Between) -> tuple[int | None, int | None]:
    """Returns the first millisecond that a term on a time allows, and the first one after.

    None is no bound. A whole day, hour ... counts as one instant.
    """
    if isinstance(term, Match):
        return _named_span(term.word)
    if isinstance(term, Between):
        return span(term.low)[0], span(term.high)[1]
    first, after = span(term.value)
    match term.operator:
        case ">=":
            return first, None
        case ">":
            return after, None
        case "<":
            return None, first
    return None, after


def _named_span(word: Word) -> tuple[int, int]:
    if not word.plain:
        raise ValueError("a time takes no wildcard; write a shorter time, as 2026-01")
    return span(word.pieces[0])


def _within(kind: Kind, column: str, first: int | None, after: int | None) -> Condition:
    value, scale = ("?", 1) if kind is Kind.TIME else ("make_timestamptz(?)", 1000)
    bounds = []
    if first is not None:
        bounds.append(Condition(f"{column} >= {value}", (first * scale,)))
    if after is not None:
        bounds.append(Condition(f"{column} < {value}", (after * scale,)))
    return _all(bounds)
