"""Change events: how an object differs from what it was, with its whole state after.

    {"object": "haproxy:lb1/server/web/w2", "change": "update",
     "time": "2026-11-21T10:00:05.0Z", "since": "2026-11-21T10:00:00.0Z",
     "version": "<SHA-256>", "previous": "<SHA-256>",
     "fields": [{"path": "/weight", "before": 100, "after": 50}],
     "state": {"address": "10.0.0.2:80", "weight": 50, ...}}

- `change`: `observe` (the first sight of an object: nothing is known of before), `create`,
  `update`, `delete`. A deleted object has no `version` and no `state`.
- `time` is when it was looked at, `since` the look before: the change happened between them.
- `fields` are the differences by JSON pointer (RFC 6901); `before` or `after` is left out where
  there was, or is, no such member. Of text members (files) they say no more than that they differ:
  the versions have the texts.
- `redacted`, `names`, `by`, `where` as in `Snapshot`, where they are not empty; a `delete` has no
  `by`.
- `note` is the agent's signature, see `attestation`.

The entry's source (`as`) is `change`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson

from muniment.capture.snapshot import Json, Snapshot

SOURCE = "change"
LONG_TEXT = 256
"""A text longer than this, or with newlines, is not repeated in `fields`."""


def change(
    name: str,
    before: Snapshot | None,
    after: Snapshot | None,
    *,
    time: str,
    since: str = "",
) -> dict[str, Json] | None:
    """Returns the change event between two looks at an object; None where it is the same.

    `since` is empty at the first look, where nothing is known of before. Times are RFC 3339.
    """
    if before is None and after is None:
        return None
    if before is not None and after is not None and before.version == after.version:
        return None
    event: dict[str, Json] = {"object": name, "change": _kind(before, after, since), "time": time}
    if since:
        event["since"] = since
    if after is not None:
        event["version"] = after.version
    if before is not None:
        event["previous"] = before.version
    if before is not None and after is not None:
        event["fields"] = list(differences(before.state, after.state))
    shown = after or before
    assert shown is not None
    facts = _facts(shown)
    if after is None:
        del facts["by"]  # it says who edited it last, not who deleted it
    event |= {key: value for key, value in facts.items() if value}
    if after is not None:
        event["state"] = after.state
    return event


def _kind(before: Snapshot | None, after: Snapshot | None, since: str) -> str:
    if after is None:
        return "delete"
    if before is not None:
        return "update"
    return "create" if since else "observe"


def _facts(shown: Snapshot) -> dict[str, Json]:
    return {
        "redacted": list(shown.redacted),
        "names": list(shown.names),
        "by": dict(shown.by),
        "where": dict(shown.where),
    }


def differences(before: Json, after: Json, path: str = "") -> Iterator[dict[str, Json]]:
    """Yields what differs, by JSON pointer, in the order of the members' names.

    Lists are compared as wholes unless they are of the same length.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            place = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            yield from _member(before, after, key, place)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{path}/{number}")
    elif before != after or type(before) is not type(after):
        yield {"path": path, **_shown("before", before), **_shown("after", after)}


def _member(
    before: Mapping[str, Json], after: Mapping[str, Json], key: str, place: str
) -> Iterator[dict[str, Json]]:
    if key not in before:
        yield {"path": place, **_shown("after", after[key])}
    elif key not in after:
        yield {"path": place, **_shown("before", before[key])}
    else:
        yield from differences(before[key], after[key], place)


def _shown(side: str, value: Json) -> dict[str, Json]:
    if isinstance(value, str) and (len(value) > LONG_TEXT or "\n" in value):
        return {}
    return {side: value}


def record(event: Mapping[str, Json]) -> bytes:
    """Returns a change event as the bytes of an entry."""
    return orjson.dumps(event)
