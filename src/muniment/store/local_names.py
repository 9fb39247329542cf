"""Keys as paths below a folder, and back: no key leaves the folder, and no two share a path.

A part of a key is a name as it is where it has only letters, digits and `-_.=@,~`; other characters
are `%` and two hex digits, and so is a dot at the beginning: names with one are not objects. An
empty part is `%-`. A part whose name would be too long is cut: all pieces but the last are folders
whose names end with `%`.
"""

from __future__ import annotations

import string
from urllib.parse import unquote

from muniment.errors import StoreFailing

LONGEST = 240
"""Bytes of a name; systems take 255, and a lock's file beside it has six more."""

PIECE = LONGEST // 3
LONGEST_KEY = 900
EMPTY, CONTINUED = "%-", "%"
_PLAIN = frozenset(string.ascii_letters + string.digits + "-_.=@,~")


def path_of(key: str) -> list[str]:
    """Returns the names of a key's folders and of its file. StoreFailing for other strings."""
    if not is_key(key):
        raise StoreFailing(f"{key[:100]!r} cannot be a key", reason="refused")
    return [name for part in key.split("/") for name in _names(part)]


def is_key(key: str) -> bool:
    """Whether this is 1 to 900 printable ASCII characters that do not begin with a slash."""
    return (
        0 < len(key) <= LONGEST_KEY
        and key.isascii()
        and key.isprintable()
        and not key.startswith("/")
    )


def part_of(name: str) -> str | None:
    """Returns what a file's or folder's name adds to a key; None where no key has such a name."""
    if name == EMPTY:
        return ""
    text = unquote(name.removesuffix(CONTINUED), "latin-1")
    return text if text and _quoted(text) == name.removesuffix(CONTINUED) else None


def folder_part_of(name: str) -> str | None:
    """Returns the same for a folder, with the slash behind it where one belongs."""
    part = part_of(name)
    return part if part is None or name.endswith(CONTINUED) else f"{part}/"


def _names(part: str) -> list[str]:
    if not part:
        return [EMPTY]
    whole = _quoted(part)
    if len(whole) <= LONGEST:
        return [whole]
    pieces = [_quoted(part[at : at + PIECE]) for at in range(0, len(part), PIECE)]
    return [*(piece + CONTINUED for piece in pieces[:-1]), pieces[-1]]


def _quoted(text: str) -> str:
    quoted = "".join(sign if sign in _PLAIN else f"%{ord(sign):02X}" for sign in text)
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
