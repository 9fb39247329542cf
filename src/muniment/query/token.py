"""Cuts a query into tokens, each with its column (counted from 1).

A word runs up to white space or a parenthesis. Within it, `"..."` takes everything literally
(`\\"` and `\\\\` inside), `\\` takes the next character literally, `*` is a wildcard; the rest is
text, in which the parser still looks for `field:`, `..`, and comparison signs.
"""

from __future__ import annotations

from dataclasses import dataclass

from muniment.errors import QueryError

MAX_LENGTH = 4_096


@dataclass(frozen=True, slots=True)
class Letter:
    """One character of a word; `bare` when it was neither quoted nor escaped."""

    text: str
    bare: bool


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is `(`, `)` or `word`; `quoted` tells that the word held quotes (and may be empty)."""

    kind: str
    column: int
    letters: tuple[Letter, ...] = ()
    quoted: bool = False

    def keyword(self, name: str) -> bool:
        """Whether this is the bare word `name`."""
        return self.kind == "word" and self.letters == tuple(Letter(c, True) for c in name)


def tokens(text: str) -> list[Token]:
    """Returns the tokens of a query. Raises QueryError, naming the column."""
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the query is longer than {MAX_LENGTH} characters")
    if "\0" in text:
        raise QueryError(f"column {text.index(chr(0)) + 1}: a NUL character is not allowed")
    found = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] in "()":
            found.append(Token(text[at], at + 1))
            at += 1
        else:
            token, at = _word(text, at)
            found.append(token)
    return found


def _word(text: str, at: int) -> tuple[Token, int]:
    start, quoted = at, False
    letters: list[Letter] = []
    while at < len(text) and not text[at].isspace() and text[at] not in "()":
        if text[at] == '"':
            quoted = True
            at = _quotation(text, at, letters)
        elif text[at] == "\\":
            if at + 1 == len(text):
                raise QueryError(f"column {at + 1}: nothing follows the backslash")
            letters.append(Letter(text[at + 1], False))
            at += 2
        else:
            letters.append(Letter(text[at], True))
            at += 1
    return Token("word", start + 1, tuple(letters), quoted), at


def _quotation(text: str, at: int, letters: list[Letter]) -> int:
    """Adds what is quoted to `letters` and returns the place after the closing quote."""
    start = at
    at += 1
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        letters.append(Letter(text[at], False))
        at += 1
    if at >= len(text):
        raise QueryError(f"column {start + 1}: the quotation is not closed; expected '\"'")
    return at + 1
