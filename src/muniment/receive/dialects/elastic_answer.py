"""What Elasticsearch says of each document that it took.

Shippers read this item by item: how many are `acked` is what they find in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from muniment.log import Acknowledgement

RESULTS = {
    "index": ("created", 201),
    "create": ("created", 201),
    "update": ("updated", 200),
    "delete": ("deleted", 200),
}
"""The actions that there are, with their result and status."""

_HEADS = ("took", "errors", "items")
_ITEM = ("_index", "_id", "_version", "result", "_seq_no", "_primary_term", "status")
_WHOLE = frozenset(_ITEM)


class Action(NamedTuple):
    """What one item asks for. `name` and `id` are JSON texts; empty where none is given.

    `name` is the index.
    """

    verb: str
    name: str
    id: str


def bulk_answer(
    actions: Sequence[Action], acknowledgement: Acknowledgement, filter_path: str
) -> bytes:
    """The answer to a bulk. `errors` and `items` stand side by side, without a space.

    fluent-bit looks for that text where its buffer of 4 KiB cuts the answer.
    """
    heads, fields = _wanted(filter_path)
    parts = [f'"{name}":{value}' for name, value in heads]
    if fields == {"status"}:  # what Beats and Logstash ask for
        items = [f'{{"{verb}":{{"status":{RESULTS[verb][1]}}}}}' for verb, _, _ in actions]
        parts.append(f'"items":[{",".join(items)}]')
    elif fields:
        parts.append(f'"items":[{",".join(_items(actions, acknowledgement, fields))}]')
    return ("{" + ",".join(parts) + "}").encode()


def _wanted(filter_path: str) -> tuple[list[tuple[str, str]], frozenset[str]]:
    """Reads a filter_path: the fields before `items`, and the fields of each item.

    Only the plain forms that shippers use are followed; with any other, the answer is whole.
    """
    heads, fields = [("took", "0"), ("errors", "false")], _WHOLE
    paths = [path.strip().split(".") for path in filter_path.split(",") if path.strip()]
    plain = all(len(path) < 3 or "*" not in path[2] for path in paths)
    if not paths or not plain or any(path[0] not in _HEADS for path in paths):
        return heads, fields
    named = {path[0] for path in paths}
    heads = [(name, value) for name, value in heads if name in named]
    asked = [path for path in paths if path[0] == "items"]
    if all(len(path) > 2 for path in asked):
        fields &= {path[2] for path in asked}
    return heads, fields


def _items(
    actions: Sequence[Action], acknowledgement: Acknowledgement, fields: frozenset[str]
) -> list[str]:
    """What became of each action, as JSON texts."""
    items = []
    for number, action in enumerate(actions):
        values = _values(action, number, len(actions), acknowledgement)
        if fields != _WHOLE:
            values = [v for key, v in zip(_ITEM, values, strict=True) if key in fields]
        items.append(f'{{"{action.verb}":{{{",".join(values)}}}}}')
    return items


def _values(action: Action, number: int, of: int, acknowledgement: Acknowledgement) -> list[str]:
    """The fields of one item. An id that was not given is made of the entry's place."""
    verb, name, id_ = action
    result, status = RESULTS[verb]
    shard, first = acknowledgement.shard, acknowledgement.first
    if not id_:  # a document kept in parts moves those behind it: then count from the first
        whole = acknowledgement.count == of
        id_ = f'"{shard}-{first + number}"' if whole else f'"{shard}-{first}-{number}"'
    return [
        f'"_index":{name}' if name else f'"_index":"{acknowledgement.log}"',
        f'"_id":{id_}',
        '"_version":1',
        f'"result":"{result}"',
        f'"_seq_no":{first + number}',
        '"_primary_term":1',
        f'"status":{status}',
    ]


def document_answer(action: Action, acknowledgement: Acknowledgement) -> bytes:
    """The answer to a single document."""
    values = _values(action, 0, 1, acknowledgement)[:-1]
    values.append('"_shards":{"total":1,"successful":1,"failed":0}')
    return ("{" + ",".join(values) + "}").encode()
