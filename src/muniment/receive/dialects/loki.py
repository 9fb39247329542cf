"""Loki's push API, in protobuf with snappy and in JSON, cut into pushes of one entry each.

Promtail, Alloy and their kin repeat what is answered with 429 or 5xx and drop what gets any other
refusal, so a 4xx is for what can never succeed. Loki's own server is the standard: JSON is what
says so, anything else is protobuf; the coding `snappy` says what is the case anyway.
"""

from __future__ import annotations

import cramjam

from muniment.errors import InputError, MunimentError, TooLarge
from muniment.log import Acknowledgement
from muniment.receive import protobuf
from muniment.receive.coding import Coding, Grow
from muniment.receive.dialect import Posting, Reply, Taken
from muniment.receive.dialects import json_slices
from muniment.receive.groups import Records

PATH = "/loki/api/v1/push"
OLD_PATH = "/api/prom/push"
READY_PATH = "/ready"

_FIELDS = (1, 2)
"""streams of PushRequest, entries of StreamAdapter (Loki's push.proto)."""

_MEMBERS = (("streams",), ("values",))
_OLD_MEMBERS = (("streams",), ("entries",))

_TEXT = "text/plain; charset=utf-8"


class Loki:
    """Loki's push. See muniment.receive.dialect.Dialect."""

    name = "loki"

    def handles(self, path: str) -> bool:
        """Whether it is the path of today's pushes or the one of Loki before 1.0."""
        return path in (PATH, OLD_PATH)

    def coding(self, posting: Posting) -> Coding:
        """Returns the coding around the body; snappy belongs to protobuf. Raises as Coding.of."""
        named = posting.header(b"content-encoding") or ""
        if named.strip().lower() == "snappy":
            return Coding.IDENTITY
        return Coding.of(named)

    def take(self, posting: Posting, body: bytes, limit: int, grow: Grow) -> Taken:
        """Streams without entries are fine. Raises InputError, TooLarge, Overloaded."""
        if posting.media != "application/json":
            found = protobuf.cut(unsnappy(body, limit, grow), _FIELDS, grow)
        elif posting.path == OLD_PATH:
            found = json_slices.cut(body, _OLD_MEMBERS, grow)
        else:
            found = json_slices.cut(body, _MEMBERS, grow, json_slices.ARRAY)
        tenant = posting.header(b"x-scope-orgid")
        about = {"tenant": tenant} if tenant else {}
        return Taken([Records(posting.source(self.name), found, about)] if found else [])

    def accepted(
        self,
        posting: Posting,  # noqa: ARG002
        taken: Taken,  # noqa: ARG002
        acknowledgement: Acknowledgement | None,  # noqa: ARG002
    ) -> Reply:
        """204 without a body."""
        return Reply(204, b"", _TEXT)

    def refused(self, posting: Posting, error: MunimentError) -> Reply:  # noqa: ARG002
        """The status of the error, and a line for the sender's own log."""
        return Reply(error.status, error.detail.encode("utf-8", "replace") + b"\n", _TEXT)


def unsnappy(body: bytes, limit: int, grow: Grow) -> bytes:
    """Undoes the raw format of snappy (without frames).

    The length that stands before the data is believed only as far as so much data can unpack to
    it. Raises TooLarge beyond `limit`, InputError for what is damaged, Overloaded.
    """
    try:
        size, start = protobuf.read_varint(body, 0)
    except (IndexError, InputError):
        raise InputError("the body is not snappy: it has no length") from None
    if size > limit:
        raise TooLarge(f"the body unpacks to more than {limit:,} bytes", advice="send less at once")
    if 3 * size > 64 * (len(body) - start):  # at most, a copy of 3 bytes stands for 64
        raise InputError("the body is not snappy: so little data cannot be so long")
    grow(2 * size)
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise InputError(f"the body is not snappy: {error}") from None


def probe(method: str, posting: Posting) -> Reply | None:
    """Answers `/ready`, which Vector asks before it sends anything."""
    if posting.path != READY_PATH or method not in ("GET", "HEAD"):
        return None
    return Reply(200, b"ready\n", _TEXT)


DIALECT = Loki()
