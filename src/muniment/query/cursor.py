"""The cursor of a search: where the next page begins, and up to where the log reached at first.

Rows are in the order of (time, shard, index); a cursor names the last row that was shown. It also
holds, for each shard, the index that was next at the first page, so that rows that arrive later
change no page. A cursor is bound to its query; it is opaque, but holds no secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from muniment.errors import QueryError

MAX_LENGTH = 16_384
_NOT_ONE = "the cursor is not one that a search gave"


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A place between two rows. With an empty `shard`, all rows at `time` are still to come."""

    query: str
    time: int
    shard: str
    index: int
    reach: dict[str, int]

    def encode(self) -> str:
        """Returns the cursor as text for a URL."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def decode_cursor(text: str, query: str) -> Cursor:
    """Reads a cursor. Raises QueryError where it is none, or one of another query."""
    if len(text) > MAX_LENGTH:
        raise QueryError(_NOT_ONE)
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(data, type=Cursor)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise QueryError(_NOT_ONE) from error
    if cursor.query != query:
        raise QueryError("the cursor is of another query")
    return cursor


def query_key(*parts: object) -> str:
    """Returns what tells one query from another."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
