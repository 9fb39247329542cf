"""Puts the entries of maps and ACLs back, all at once: `prepare`, `add @version`, `commit`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from muniment.balancer.haproxy import StatsSocket, pattern_files, word
from muniment.capture.snapshot import Json, Snapshot, State
from muniment.capture.systems.haproxy_state import bare
from muniment.rollback.haproxy_acts import Act, obeyed
from muniment.rollback.port import ApplyFailed, CannotRollBack, Step

Lines = Sequence[tuple[str, ...]]


def plan(
    socket: StatsSocket, kind: str, name: str, live: Snapshot | None, wanted: State | None
) -> Sequence[Step]:
    """Returns the step that replaces all entries. Raises CannotRollBack."""
    if live is None or wanted is None:
        raise CannotRollBack(f"a {kind} is made by the configuration alone: roll back the file")
    if live.redacted:
        raise CannotRollBack(f"the entries of this {kind} are secrets, which are never captured")
    if live.state.get("entries") == wanted.get("entries") and "entries" in wanted:
        return ()
    if live.state.get("sha256") == wanted.get("sha256") and "sha256" in wanted:
        return ()
    old, new = _lines(live.state), _lines(wanted)
    own = f"#{_id(socket, kind, name)}"
    counts = f"{len(set(new) - set(old))} added, {len(set(old) - set(new))} removed"
    what = f"{kind} {live.state.get('file') or own}"
    return (
        Step(
            f"replace the entries of {what} at once ({counts}), in memory",
            f"replace the entries of {what} by those before",
            Act(lambda: _replace(socket, kind, own, new), lambda: _replace(socket, kind, own, old)),
        ),
    )


def _id(socket: StatsSocket, kind: str, name: str) -> str:
    for file in pattern_files(socket.ask(f"show {kind}")):
        if (bare(file.file) or file.id) == name:
            return file.id
    raise CannotRollBack(f"HAProxy has no {kind} {name} any more")


def _lines(state: State) -> Lines:
    entries = state.get("entries")
    if not isinstance(entries, dict):
        raise CannotRollBack("it has too many entries: no more than their digest was captured")
    return list(_each(entries))


def _each(entries: dict[str, Json]) -> Iterator[tuple[str, ...]]:
    for key, value in entries.items():
        if isinstance(value, int):
            yield from [(key,)] * value
        else:
            for one in value if isinstance(value, list) else [value]:
                if not one:
                    raise CannotRollBack(f"{key[:80]!r} has no value, and cannot be added so")
                yield key, str(one)


def _replace(socket: StatsSocket, kind: str, own: str, lines: Lines) -> str:
    answer = socket.ask(f"prepare {kind} {own}")
    version = re.fullmatch(r"New version created: (\d+)", answer.strip())
    if version is None:
        raise ApplyFailed(f"prepare {kind} {own}: {answer[:200] or 'no answer'}")
    at = f"@{version[1]} {own}"
    for line in lines:
        obeyed(socket, f"add {kind} {at} {' '.join(map(word, line))}")
    obeyed(socket, f"commit {kind} {at}")
    return f"{len(lines)} entries, committed as version {version[1]}"
