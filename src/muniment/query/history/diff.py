"""How two versions of an object differ: by structure where there is one, by lines where not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from muniment.query.history.lines import unified
from muniment.query.history.sections import Section, changed_sections

TEXT = "text"
"""The member of a state that holds the content of a file."""

MAX_FIELDS = 2_000
MAX_SHOWN = 4_096
"""Characters of a text value that is shown among the fields."""

_NAMES = ("name", "id", "uid", "arn", "host", "address", "path", "key")
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Difference:
    """`fields` differ, by JSON pointer; `text` is the unified diff of the content of files.

    `semantic` tells that all that differs is in `fields` and `sections`: it was compared by what
    it means, not by lines alone. `left_out` says that there are more fields.
    """

    fields: list[dict[str, Any]]
    text: str = ""
    sections: list[Section] = field(default_factory=list)
    semantic: bool = True
    left_out: bool = False


def compare(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    name: str,
    from_name: str,
    to_name: str,
) -> Difference:
    """Compares two states; None is an object that was not there. `name` is the object's."""
    old, new = dict(before or {}), dict(after or {})
    texts = _text(old), _text(new)
    is_file = TEXT in old or TEXT in new
    if is_file:
        old.pop(TEXT, None)
        new.pop(TEXT, None)
    found = list(islice(differences(old, new), MAX_FIELDS + 1))
    text = unified(*texts, from_name, to_name) if is_file else ""
    sections = changed_sections(name, *texts) if text else None
    return Difference(
        fields=found[:MAX_FIELDS],
        text=text,
        sections=sections or [],
        semantic=not text or sections is not None,
        left_out=len(found) > MAX_FIELDS,
    )


def _text(state: Mapping[str, Any]) -> str:
    found = state.get(TEXT)
    return found if isinstance(found, str) else ""


def differences(
    before: Any, after: Any, path: str = "", depth: int = 0
) -> Iterator[dict[str, Any]]:
    """Yields {path, before, after} of what differs, in the order of names.

    Items of lists whose items all have a name of their own (`name`, `id`, `host` …) are matched by
    it, and it stands in the path in place of the number. `before` or `after` is left out where
    there was, or is, nothing.
    """
    if depth > _MAX_DEPTH:
        if before != after:
            yield {"path": path, "before": _shown(before), "after": _shown(after)}
    elif isinstance(before, dict) and isinstance(after, dict):
        yield from _members(before, after, path, depth)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, path, depth)
    elif type(before) is not type(after) or before != after:
        yield {"path": path, "before": _shown(before), "after": _shown(after)}


def _members(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str, depth: int
) -> Iterator[dict[str, Any]]:
    for key in sorted(before.keys() | after.keys()):
        place = f"{path}/{_escaped(key)}"
        if key not in before:
            yield {"path": place, "after": _shown(after[key])}
        elif key not in after:
            yield {"path": place, "before": _shown(before[key])}
        else:
            yield from differences(before[key], after[key], place, depth + 1)


def _items(
    before: Sequence[Any], after: Sequence[Any], path: str, depth: int
) -> Iterator[dict[str, Any]]:
    if before == after:
        return
    old, new = _by_name(before), _by_name(after)
    if old is None or new is None:
        if len(before) == len(after):
            for number, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from differences(one, other, f"{path}/{number}", depth + 1)
        else:
            yield {"path": path, "before": _shown(before), "after": _shown(after)}
        return
    yield from _members(old, new, path, depth)
    if [name for name in old if name in new] != [name for name in new if name in old]:
        yield {"path": path, "before": list(old), "after": list(new)}


def _by_name(items: Sequence[Any]) -> dict[str, Any] | None:
    """The items by a name that each has, and has alone; None where there is no such."""
    if not all(isinstance(item, dict) for item in items):
        return None
    for name in _NAMES:
        found = {item[name]: item for item in items if isinstance(item.get(name), str)}
        if len(found) == len(items):
            return found
    return None


def _shown(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_SHOWN:
        return f"{value[:MAX_SHOWN]}… ({len(value):,} characters)"
    return value


def _escaped(key: str) -> str:
    """A member's name in a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")
