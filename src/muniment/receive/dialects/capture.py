"""Parcels of Muniment's own agent: numbered records of a stream, chained where they were captured.

The shape of a parcel is judged, its chain is not: a broken one is evidence, which is kept and
found by whoever checks chains. Stream, number and bytes make a parcel that is sent again the same
one; an agent that lost its state numbers anew, and its parcels are others.
"""

from __future__ import annotations

from hashlib import sha256

import orjson

from muniment.capture.parcel import MEDIA, PATH, decode
from muniment.errors import MunimentError, UnsupportedMedia
from muniment.log import Acknowledgement
from muniment.receive.coding import Coding, Grow
from muniment.receive.dialect import Posting, Reply, Taken, problem_reply
from muniment.receive.groups import Records

_DIGITS = 16
"""Of the digest of a parcel, in its id."""


class Capture:
    """The dialect `capture`."""

    name = "capture"

    def handles(self, path: str) -> bool:
        return path == PATH

    def coding(self, posting: Posting) -> Coding:
        if posting.media != MEDIA:
            raise UnsupportedMedia(
                f"the content type {posting.media[:80]!r} is not taken", advice=f"send {MEDIA}"
            )
        return Coding.of(posting.header(b"content-encoding"))

    def take(self, posting: Posting, body: bytes, limit: int, grow: Grow) -> Taken:  # noqa: ARG002
        parcel = decode(body, grow)
        group = Records(
            parcel.source, parcel.records, parcel.about, parcel.seq, parcel.stream, parcel.prev
        )
        digest = sha256(body).hexdigest()[:_DIGITS]
        return Taken([group], id=f"{parcel.stream} {parcel.seq} {digest}")

    def accepted(
        self,
        posting: Posting,  # noqa: ARG002
        taken: Taken,  # noqa: ARG002
        acknowledgement: Acknowledgement | None,
    ) -> Reply:
        """201: where the records are, and the checkpoint that holds them."""
        assert acknowledgement is not None, "no parcel is without records"
        answer = {
            "log": acknowledgement.log,
            "shard": acknowledgement.shard,
            "first": acknowledgement.first,
            "count": acknowledgement.count,
            "replayed": acknowledgement.replayed,
            "receipt": acknowledgement.receipt,
        }
        return Reply(201, orjson.dumps(answer))

    def refused(self, posting: Posting, error: MunimentError) -> Reply:  # noqa: ARG002
        """Problem details (RFC 9457)."""
        return problem_reply(error)


DIALECT = Capture()
