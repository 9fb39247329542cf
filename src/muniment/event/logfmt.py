"""logfmt, as logrus and other loggers of Go write it: `key=value key="quoted value"`."""

from __future__ import annotations

import re

import orjson

_PAIR = re.compile(r'([A-Za-z_@][A-Za-z0-9_@.\-/]*)=("(?:[^"\\]|\\.)*+"|[^ "]*+)(?: +|$)')
_MOST_PAIRS = 128


def pairs(text: str) -> dict[str, str] | None:
    """The values by key; None where the text is anything else than such pairs.

    Of two pairs with the same key the first one counts.
    """
    found: dict[str, str] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        pair = _PAIR.match(text, at)
        if pair is None or len(found) >= _MOST_PAIRS:
            return None
        found.setdefault(pair[1], unquoted(pair[2]))
        at = pair.end()
    return found or None


def unquoted(value: str) -> str:
    """The text of a value; what Go's quoting escapes is undone as far as JSON knows it, too."""
    if not value.startswith('"'):
        return value
    try:
        text = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value[1:-1]
    return text if isinstance(text, str) else value
