"""The Kubernetes audit webhook: EventLists of audit.k8s.io/v1, as the API server posts them.

The API server sends a batch again after any error, up to five times with growing pauses, and goes
by Retry-After where it is given; meanwhile it buffers 10,000 events and then discards. So nothing
is refused that can be kept: what one item holds never costs the others their place.

A batch that is sent again holds the same events in the same bytes, and each event names itself by
its auditID and stage. That makes the repetition of a batch known: it is taken once.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import orjson

from muniment.errors import InputError, MunimentError, TryLater, UnsupportedMedia
from muniment.json_cut import Members, elements, text_of
from muniment.log import Acknowledgement
from muniment.receive.coding import Coding, Grow
from muniment.receive.dialect import Posting, Reply, Taken
from muniment.receive.groups import Records

PATH = "/kubernetes/audit"
VERSION = "audit.k8s.io/v1"

_TOP = Members("kind", "apiVersion", "items")
_IDENTITY = Members("auditID", "stage")
_SUCCESS = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":200}'
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}


class Kubernetes:
    """The dialect `kubernetes`."""

    name = "kubernetes"

    def handles(self, path: str) -> bool:
        return path == PATH

    def coding(self, posting: Posting) -> Coding:
        if posting.media not in ("application/json", ""):
            raise UnsupportedMedia(
                f"the content type {posting.media[:80]!r} is not taken",
                advice="send application/json",
            )
        return Coding.of(posting.header(b"content-encoding"))

    def take(self, posting: Posting, body: bytes, limit: int, grow: Grow) -> Taken:  # noqa: ARG002
        events = _events(body, grow)
        if not events:
            return Taken([])
        return Taken([Records(self.name, events)], id=_id(body, events))

    def accepted(
        self,
        posting: Posting,  # noqa: ARG002
        taken: Taken,  # noqa: ARG002
        acknowledgement: Acknowledgement | None,  # noqa: ARG002
    ) -> Reply:
        return Reply(200, _SUCCESS)

    def refused(self, posting: Posting, error: MunimentError) -> Reply:  # noqa: ARG002
        """A Status of failure, which the API server writes into its own log."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": error.detail,
            "reason": _REASONS.get(error.status, "InternalError"),
            "code": error.status,
        }
        if isinstance(error, TryLater):
            status["details"] = {"retryAfterSeconds": error.retry_after}
        return Reply(error.status, orjson.dumps(status))


def _events(body: bytes, grow: Grow) -> Sequence[bytes]:
    """The events of a list as they stand in it; the body itself where it is an event."""
    grow(len(body))
    kind, version, items = _TOP.of(body)
    if text_of(version) != VERSION:
        raise InputError(
            f"the apiVersion is {text_of(version)[:80]!r}, not {VERSION}",
            advice="set --audit-webhook-version=audit.k8s.io/v1, or leave it out",
        )
    if text_of(kind) == "Event":
        return [body]
    if text_of(kind) != "EventList":
        raise InputError(f"the kind is {text_of(kind)[:80]!r}, not EventList")
    return elements(items, grow) if items not in (b"", b"null") else []


def _id(body: bytes, events: Sequence[bytes]) -> str:
    """An id for the batch, empty unless every event has one of its own.

    Events without would be known again by nothing but their content, which proves no repetition.
    """
    for event in events:
        identity, stage = _IDENTITY.of(event)
        if not text_of(identity) or not text_of(stage):
            return ""
    return blake2b(body, digest_size=16).hexdigest()


DIALECT = Kubernetes()
