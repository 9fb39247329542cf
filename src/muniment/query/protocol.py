"""What the query process and its owner say to each other: one JSON object a line.

To the process: `{"id": n, "op": name, "args": {...}}` asks, and `advance` without an id tells the
size of a shard, perhaps of one that is new. From it: `{"id": n, "ok": ...}` or `{"id": n, "error":
{...}}` answers, and `{"indexed": {log: {shard: next index}}, "following": [log, ...], "duplicates":
{log: [entries left out as copies, conflicts]}}` tells, without an id, that more has become
searchable.
"""

from __future__ import annotations

from typing import Any

from muniment import errors
from muniment.errors import MunimentError, TryLater

MAX_LINE = 48 << 20
"""Bytes of the longest line that the process may send."""

MAX_REQUEST = 1 << 20
"""Bytes of the longest line that the process takes."""

_KINDS: tuple[type[MunimentError], ...] = (
    errors.QueryError,
    errors.UnknownLog,
    errors.UnknownShard,
    errors.NotFound,
    errors.Overloaded,
    errors.Unavailable,
)


def error_message(error: MunimentError) -> dict[str, Any]:
    """Returns an error as a JSON object."""
    kind = next((kind for kind in _KINDS if isinstance(error, kind)), errors.Unavailable)
    message: dict[str, Any] = {"kind": kind.__name__, "detail": error.detail}
    if isinstance(error, TryLater):
        message["retry_after"] = error.retry_after
    return message


def read_error(message: dict[str, Any]) -> MunimentError:
    """Returns the error that `error_message` described."""
    kind = next((k for k in _KINDS if k.__name__ == message["kind"]), errors.Unavailable)
    if issubclass(kind, TryLater):
        return kind(message["detail"], retry_after=message.get("retry_after", 1))
    return kind(message["detail"])
