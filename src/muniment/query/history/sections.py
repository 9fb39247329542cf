"""Which sections of a proxy's configuration differ: HAProxy's sections, NGINX's blocks.

Comments and white space do not count, and neither does the order of sections of HAProxy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_LINES = 100
"""Lines of one section that are shown as removed or added."""

MAX_SECTIONS = 500
_HAPROXY = re.compile(
    r"(?:global|defaults|frontend|backend|listen|peers|resolvers|mailers|userlist|cache|program|"
    r"ring|http-errors|log-forward|log-profile|fcgi-app|crt-store|traces|acme)\b"
)
_TOKEN = re.compile(
    r"""#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{};]|(?:[^\s{};"'\\]|\\.|\$\{)+""", re.DOTALL
)
_BEFORE_COMMENT = re.compile(r"""(?:"(?:[^"\\]|\\.)*+"|'[^']*+'|\\.|[^#"'\\])*+(?=#|$)""")
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Section:
    """A section that was `added`, `removed` or `changed`, with its directives that differ."""

    name: str
    change: str
    removed: list[str]
    added: list[str]


Directives = dict[str, list[str]]
"""The directives of each section, by its name."""


def changed_sections(name: str, before: str, after: str) -> list[Section] | None:
    """Returns the sections that differ; None where no sections are known in such a file.

    `name` is that of the object, which says what kind of file it is: `haproxy:lb1/file/etc/…`.
    """
    read = next((reader for word, reader in _READERS.items() if word in name.lower()), None)
    if read is None:
        return None
    old, new = read(before), read(after)
    if not old and not new:
        return None
    found = [_compared(name, old, new) for name in {**old, **new}]
    return [section for section in found if section is not None][:MAX_SECTIONS]


def _compared(name: str, before: Directives, after: Directives) -> Section | None:
    old, new = before.get(name), after.get(name)
    if old == new:
        return None
    gone, come = Counter(old or ()), Counter(new or ())
    change = "added" if old is None else "removed" if new is None else "changed"
    return Section(name, change, _list(gone - come), _list(come - gone))


def _list(lines: Counter[str]) -> list[str]:
    return list(lines.elements())[:MAX_LINES]


def haproxy(text: str) -> Directives:
    """The directives of HAProxy's sections, by the line that begins each; empty: it is none."""
    found: Directives = {}
    own: list[str] | None = None
    for line in text.splitlines():
        told = _BEFORE_COMMENT.match(line)
        plain = " ".join((told[0] if told else line).split())
        if not plain:
            continue
        if not line[0].isspace() and _HAPROXY.match(plain):
            own = found.setdefault(plain, [])
        elif own is not None:
            own.append(plain)
    return found


def nginx(text: str) -> Directives:
    """The directives of NGINX's blocks, by their path (`http / server example.org / location /`).

    Servers are told apart by `server_name` and `listen`. Empty: it is no such file.
    """
    return _Blocks(text).found


class _Blocks:
    def __init__(self, text: str) -> None:
        self.found: Directives = {}
        self._path: list[str] = []
        words: list[str] = []
        for token in _TOKEN.finditer(text):
            word = token[0]
            if word == ";":
                self._directive(words)
                words = []
            elif word == "{":
                self._open(words, text, token.end())
                words = []
            elif word == "}":
                self._path = self._path[:-1]
                words = []
            elif not word.startswith("#"):
                words.append(word)

    def _directive(self, words: list[str]) -> None:
        if words:
            self.found.setdefault(" / ".join(self._path) or "main", []).append(" ".join(words))

    def _open(self, words: list[str], text: str, at: int) -> None:
        name = " ".join(words)
        if name == "server":
            name = _server(text, at)
        if len(self._path) < _MAX_DEPTH:
            self._path = [*self._path, name]
        self.found.setdefault(" / ".join(self._path), [])


_NAMED = re.compile(r"[\s;{](listen|server_name)\s+([^;{}]+);")
_SERVER = re.compile(r"[\s;}]server\s*\{")
_REACH = 4_096


def _server(text: str, at: int) -> str:
    """`server` with its first name and address, as far as they stand near its beginning."""
    said: dict[str, str] = {}
    other = _SERVER.search(text, at, at + _REACH)
    for found in _NAMED.finditer(text, max(0, at - 1), other.start() if other else at + _REACH):
        said.setdefault(found[1], found[2].split()[0])
        if len(said) == 2:
            break
    return " ".join(["server", *(said[key] for key in ("server_name", "listen") if key in said)])


_READERS: Mapping[str, Callable[[str], Directives]] = {"haproxy": haproxy, "nginx": nginx}
