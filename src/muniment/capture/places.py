"""On which line of a TOML file a key stands, for messages; the standard library does not say."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TABLE = re.compile(r"\s*\[(\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*[.=]")


def line_of(text: str, where: Sequence[str | int]) -> str:
    """Returns `line 12: ` for a place such as ("tail", 0, "paths"); an empty text if not found.

    Where the key itself is not there, it is the line of its table.
    """
    tables = (_TABLE.fullmatch(line) for line in text.splitlines())
    names = {found[2] for found in tables if found is not None and found[1]}
    in_table = len(where) > 1 and isinstance(where[1], int) and where[0] in names
    wanted = (str(where[0]), int(where[1])) if in_table else ("", 0)
    key = next((part for part in where[2 if in_table else 0 :] if isinstance(part, str)), "")
    best, table, seen = 0, ("", 0), dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        found = _TABLE.fullmatch(line)
        if found is not None:
            name = found[2]
            if found[1]:
                table = (name, seen.get(name, -1) + 1)
                seen[name] = table[1]
            elif "." not in name:
                table = (name, 0)
            if table == wanted and not best:
                best = number
        elif table == wanted and (named := _KEY.match(line)) is not None and named[1] == key:
            return f"line {number}: "
    return f"line {best}: " if best else ""
