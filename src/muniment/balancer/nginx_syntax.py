"""NGINX's configuration language: directives, their arguments and blocks, with their places.

The rules are those of ngx_conf_read_token(): arguments are separated by white space, may be quoted,
`\\` keeps the next character, `#` begins a comment where an argument could begin, `${` belongs to
an argument. Blocks of Lua (`content_by_lua_block {`) are kept as one argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from muniment.errors import InputError

MAX_DEPTH = 64
MAX_DIRECTIVES = 500_000

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<comment>\#[^\n]*)
    |(?P<mark>[;{}])
    |"(?P<double>(?:[^"\\]|\\.)*+)"(?=[ \t\r\n;{)]|$)
    |'(?P<single>(?:[^'\\]|\\.)*+)'(?=[ \t\r\n;{)]|$)
    |(?P<bare>(?!["'])(?:[^ \t\r\n;{\\$]|\\.|\$\{|\$)(?:[^ \t\r\n;{\\$]|\\.|\$\{|\$)*+)""",
    re.X | re.S,
)
_ESCAPE = re.compile(r"""\\(["'\\ trn])""")
_MEANS = {"t": "\t", "r": "\r", "n": "\n"}
_LUA = re.compile(
    r"""--\[(?P<c>=*)\[.*?\](?P=c)\]|--[^\n]*|\[(?P<s>=*)\[.*?\](?P=s)\]"""
    r"""|"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|(?P<brace>[{}])""",
    re.S,
)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument: what it means, and where it stands in the text, with its quotes."""

    value: str
    start: int
    end: int


@dataclass(slots=True)
class Directive:
    """A directive. `block` is what stands in its braces, None where it has none.

    `start` and `end` are its place in the text, up to its `;` or the `{`, `name_end` is the end of
    its name. `includes` are the files that an `include` brings in, once they are known.
    """

    name: str
    args: list[Argument]
    line: int
    start: int
    end: int
    name_end: int
    block: list[Directive] | None = None
    includes: tuple[str, ...] = ()

    @property
    def values(self) -> list[str]:
        """The arguments as they are meant."""
        return [argument.value for argument in self.args]


@dataclass(slots=True)
class Parsed:
    """A file's directives, and where its comments stand (without the `#`)."""

    directives: list[Directive] = field(default_factory=list)
    comments: list[tuple[int, int]] = field(default_factory=list)


def parse(text: str) -> Parsed:
    """Returns what a configuration file says. Raises InputError with the line."""
    parsed = Parsed()
    blocks = [parsed.directives]
    words: list[Argument] = []
    tokens = _Tokens(text, parsed.comments)
    count = 0
    for mark, word in tokens:
        if word is not None:
            words.append(word)
            continue
        if mark == "}":
            if words or len(blocks) == 1:
                raise InputError('unexpected "}"', line=tokens.line)
            blocks.pop()
            continue
        if not words:
            raise InputError(f'unexpected "{mark}"', line=tokens.line)
        count += 1
        if count > MAX_DIRECTIVES or len(blocks) > MAX_DEPTH:
            raise InputError("more directives or deeper blocks than are read", line=tokens.line)
        name = words[0]
        made = Directive(name.value, words[1:], tokens.line, name.start, tokens.at, name.end)
        words = []
        blocks[-1].append(made)
        if mark == "{" and made.name.endswith("_by_lua_block"):
            made.args.append(tokens.lua())
        elif mark == "{":
            made.block = []
            blocks.append(made.block)
    if words or len(blocks) > 1:
        raise InputError('the file ends where ";" or "}" is expected', line=tokens.line)
    return parsed


class _Tokens:
    """Yields (mark, None) for `;`, `{`, `}` and ("", argument) for arguments."""

    def __init__(self, text: str, comments: list[tuple[int, int]]) -> None:
        self._text, self.at, self._comments = text, 0, comments
        self._counted, self._lines = 0, 1

    @property
    def line(self) -> int:
        """The line, from 1, that is being read."""
        self._lines += self._text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._lines

    def __iter__(self) -> Iterator[tuple[str, Argument | None]]:
        while self.at < len(self._text):
            found = _TOKEN.match(self._text, self.at)
            if found is None:
                raise InputError("a quote is not closed, or goes on behind it", line=self.line)
            self.at = found.end()
            kind = found.lastgroup
            if kind == "mark":
                yield found["mark"], None
            elif kind == "comment":
                self._comments.append((found.start() + 1, found.end()))
            elif kind != "space" and kind is not None:
                value = _ESCAPE.sub(lambda m: _MEANS.get(m[1], m[1]), found[kind])
                yield "", Argument(value, found.start(), found.end())

    def lua(self) -> Argument:
        """Skips a block of Lua and returns it as one argument."""
        depth, start = 1, self.at
        for found in _LUA.finditer(self._text, start):
            if found["brace"]:
                depth += 1 if found["brace"] == "{" else -1
            if depth == 0:
                self.at = found.end()
                return Argument(self._text[start : found.start()], start, found.start())
        raise InputError("a block of Lua is not closed", line=self.line)
