"""Which frontends log what, out of HAProxy's configuration files: its counters do not tell.

Only what makes counters and lines differ is read (`option dontlognull`, `option dontlog-normal`,
`no log`, `set-log-level silent`, `monitor-uri`), in `defaults`, `frontend` and `listen`. Conditions
(`.if`) are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

_OTHERS = frozenset(
    [
        "global",
        "backend",
        "cache",
        "crt-store",
        "fcgi-app",
        "http-errors",
        "log-forward",
        "log-profile",
        "mailers",
        "peers",
        "program",
        "resolvers",
        "ring",
        "userlist",
    ]
)


@dataclass(frozen=True, slots=True)
class Logging:
    """What a frontend writes lines of.

    `null` says that it logs connections without a byte, `monitor` that it answers a `monitor-uri`,
    of which there is never a line, `silent` that it was told not to log all else.
    """

    null: bool = True
    monitor: bool = False
    silent: bool = False


def frontends(texts: Iterable[str]) -> dict[str, Logging]:
    """Returns the habits of each frontend of configuration files, read in their order.

    A frontend begins with what the `defaults` before it say, or those that it names by `from`.
    """
    defaults: dict[str, Logging] = {}
    found: dict[str, Logging] = {}
    latest = Logging()
    into, name = found, ""
    for text in texts:
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if not words:
                continue
            if words[0] in ("defaults", "frontend", "listen"):
                begun = (
                    defaults.get(words[words.index("from") + 1]) if "from" in words[:-1] else None
                )
                into = defaults if words[0] == "defaults" else found
                name = words[1] if len(words) > 1 and words[1] != "from" else ""
                inherited = Logging() if into is defaults else latest
                into[name] = begun or inherited
            elif words[0] in _OTHERS:
                name, into = "", {}
            elif name in into:
                into[name] = _said(into[name], words)
            if into is defaults and name in into:
                latest = into[name]
    return found


def _said(before: Logging, words: list[str]) -> Logging:
    switched = words[1:] if words[0] in ("no", "default") else words
    if switched[:2] == ["option", "dontlognull"]:
        return replace(before, null=switched is not words)
    if switched[:2] == ["option", "dontlog-normal"]:
        return replace(before, silent=switched is words)
    if words[:2] == ["no", "log"] or "set-log-level silent" in " ".join(words):
        return replace(before, silent=True)
    if words[0] == "monitor-uri" and len(words) > 1:
        return replace(before, monitor=True)
    return before
