"""The query as a tree, and the tree as text again.

A `Word` is text with wildcards: its pieces are what stands between the `*`s. One piece is plain
text, `("", "")` is a lone `*`. `format_query` prints a tree such that parsing gives it back.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z0-9_/@%+=,;?&#$~{}\[\]|'^!:.-]+\Z")


@dataclass(frozen=True, slots=True)
class Word:
    """Text with wildcards between its pieces."""

    pieces: tuple[str, ...]

    @property
    def plain(self) -> bool:
        """Whether there is no wildcard in it."""
        return len(self.pieces) == 1

    @property
    def anything(self) -> bool:
        """Whether it is a lone `*`."""
        return len(self.pieces) > 1 and not any(self.pieces)


@dataclass(frozen=True, slots=True)
class Everything:
    """Matches every entry: the empty query."""


@dataclass(frozen=True, slots=True)
class Text:
    """The raw line holds this, in any letter case."""

    word: Word


@dataclass(frozen=True, slots=True)
class Match:
    """A field has this value; `column` is where the value began in the query (from 1)."""

    field: str
    word: Word
    column: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """A field stands in an order (`>`, `>=`, `<`, `<=`) to a value."""

    field: str
    operator: str
    value: str
    column: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Between:
    """A field lies between two values, both included."""

    field: str
    low: str
    high: str
    column: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """What the part does not match, entries without the field included."""

    part: Query


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more parts match."""

    parts: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more parts matches."""

    parts: tuple[Query, ...]


Query = Everything | Text | Match | Compare | Between | Not | And | Or


def format_query(query: Query) -> str:
    """Prints a query in its own language."""
    match query:
        case Everything():
            return ""
        case And(parts):
            return " ".join(_grouped(part) for part in parts)
        case Or(parts):
            return " OR ".join(_grouped(part) for part in parts)
        case Not(part):
            return "-" + _grouped(part)
        case Text(word):
            return _text(word)
        case Match(name, word):
            return f"{name}:{_word(word)}"
        case Compare(name, operator, value):
            return f"{name}:{operator}{_quoted(value) if value[:1] == '=' else _piece(value)}"
        case Between(name, low, high):
            return f"{name}:{_piece(low)}..{_piece(high)}"


def _grouped(query: Query) -> str:
    text = format_query(query)
    return f"({text})" if isinstance(query, And | Or) else text


def _text(word: Word) -> str:
    """Free text is always quoted: bare, it may be read as a field, a keyword or a negation."""
    if word.plain:
        return _quoted(word.pieces[0])
    return "*".join(_quoted(piece) if piece else "" for piece in word.pieces)


def _word(word: Word) -> str:
    if word.plain:
        return _piece(word.pieces[0])
    return "*".join(_piece(piece) if piece else "" for piece in word.pieces)


def _piece(text: str) -> str:
    dots = ".." in text or text[:1] == "." or text[-1:] == "."
    return text if _PLAIN.match(text) and not dots else _quoted(text)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
