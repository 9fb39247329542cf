"""Reads the query language.

    query   = [ or ]
    or      = and { "OR" and }
    and     = not { [ "AND" ] not }
    not     = ( "NOT" | "-" ) not | group
    group   = "(" or ")" | field ":" "(" or ")" | field ":" value | word
    value   = ( ">=" | ">" | "<=" | "<" ) word | word ".." word | word

Comparison and ranges belong to numbers and times; in a text field, `<`, `>` and `..` are text.
Within `field:( ... )` every word is a value of that field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from muniment.errors import QueryError
from muniment.query.field import Field, Kind, find_field
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
from muniment.query.token import Letter, Token, tokens

MAX_TERMS = 64
MAX_DEPTH = 24
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z", re.ASCII)
_ORDERED = {Kind.NUMBER, Kind.TIME, Kind.INSTANT}


def parse(text: str) -> Query:
    """Returns the tree of a query; the empty query matches everything.

    Raises QueryError, which names the column and what was expected there.
    """
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the tokens of one query."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._end = len(text) + 1
        self._next = 0
        self._terms = 0

    def whole(self) -> Query:
        if not self._tokens:
            return Everything()
        query = self._or(None, 0)
        left = self._peek()
        if left is not None:
            raise QueryError(f"column {left.column}: unexpected ')'; expected a term or the end")
        return query

    def _peek(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, keyword: str) -> bool:
        token = self._peek()
        found = token is not None and token.keyword(keyword)
        self._next += found
        return found

    def _or(self, field: Field | None, depth: int) -> Query:
        parts = [self._and(field, depth)]
        while self._take("OR"):
            parts.append(self._and(field, depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self, field: Field | None, depth: int) -> Query:
        parts = [self._not(field, depth)]
        while True:
            if not self._take("AND"):
                token = self._peek()
                if token is None or token.kind == ")" or token.keyword("OR"):
                    break
            parts.append(self._not(field, depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self, field: Field | None, depth: int) -> Query:
        if depth > MAX_DEPTH:
            raise QueryError(f"the query is nested deeper than {MAX_DEPTH} levels")
        if self._take("NOT"):
            return Not(self._not(field, depth + 1))
        token = self._peek()
        if token is not None and token.letters[:1] == (Letter("-", True),):
            rest = token.letters[1:]
            if rest or token.quoted:
                self._tokens[self._next] = Token("word", token.column + 1, rest, token.quoted)
            elif self._opens_after(token):
                self._next += 1
            else:
                raise QueryError(f"column {token.column + 1}: expected a term after '-'")
            return Not(self._not(field, depth + 1))
        return self._group(field, depth)

    def _opens_after(self, token: Token) -> bool:
        """Whether a parenthesis opens right behind this word, without a space."""
        place = self._next + 1
        following = self._tokens[place] if place < len(self._tokens) else None
        return (
            following is not None
            and following.kind == "("
            and following.column == token.column + len(token.letters)
        )

    def _group(self, field: Field | None, depth: int) -> Query:
        token = self._peek()
        if token is None or token.kind == ")" or token.keyword("OR") or token.keyword("AND"):
            column = self._end if token is None else token.column
            raise QueryError(f"column {column}: expected a term")
        if token.kind == "(":
            return self._parenthesis(field, depth)
        self._count(token)
        name, rest = (None, token.letters) if field else _split_field(token.letters)
        if name is None:
            self._next += 1
            return _value(field, token.letters, token.column) if field else Text(_word(rest))
        found = find_field(name, token.column)
        if rest or token.quoted:
            self._next += 1
            return _value(found, rest, token.column + len(name) + 1)
        if not self._opens_after(token):
            column = token.column + len(name) + 1
            raise QueryError(f"column {column}: expected a value right after '{name}:'")
        self._next += 1
        return self._parenthesis(found, depth)

    def _parenthesis(self, field: Field | None, depth: int) -> Query:
        opening = self._tokens[self._next]
        self._next += 1
        query = self._or(field, depth + 1)
        token = self._peek()
        if token is None:
            raise QueryError(
                f"column {self._end}: expected ')' for the '(' in column {opening.column}"
            )
        self._next += 1
        return query

    def _count(self, token: Token) -> None:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise QueryError(f"column {token.column}: more than {MAX_TERMS} terms")


def _split_field(letters: Sequence[Letter]) -> tuple[str | None, tuple[Letter, ...]]:
    """The field name before the first bare colon, when what stands there can be one."""
    for place, letter in enumerate(letters):
        if letter == Letter(":", True):
            name = _plain(letters[:place])
            if _NAME.match(name) and all(found.bare for found in letters[:place]):
                return name, tuple(letters[place + 1 :])
            break
    return None, tuple(letters)


def _value(field: Field, letters: Sequence[Letter], column: int) -> Query:
    if field.kind in _ORDERED:
        bare = "".join(letter.text if letter.bare else "\0" for letter in letters)
        for operator in (">=", "<=", ">", "<"):
            if bare.startswith(operator):
                value = _plain(letters[len(operator) :])
                if not value:
                    raise QueryError(f"column {column}: expected a value after '{operator}'")
                return Compare(field.name, operator, value, column)
        low, dots, _ = bare.partition("..")
        if dots:
            ends = _plain(letters[: len(low)]), _plain(letters[len(low) + 2 :])
            if not all(ends):
                raise QueryError(f"column {column}: expected a value on both sides of '..'")
            return Between(field.name, *ends, column)
    return Match(field.name, _word(letters), column)


def _plain(letters: Sequence[Letter]) -> str:
    return "".join(letter.text for letter in letters)


def _word(letters: Sequence[Letter]) -> Word:
    """Cuts at the bare stars; stars in a row are one."""
    pieces: list[str] = [""]
    for letter in letters:
        if letter != Letter("*", True):
            pieces[-1] += letter.text
        elif len(pieces) == 1 or pieces[-1]:
            pieces.append("")
    return Word(tuple(pieces))
