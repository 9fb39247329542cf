"""Every error of Muniment, as one tree; the branch says what the caller does next.

MunimentError
├── InputError             change what was sent
│   ├── TooLarge           send less at once
│   ├── UnsupportedMedia   send it as another media type or coding
│   ├── Conflict           the id was used for something else
│   └── QueryError         mend the query
├── NotFound               ask for something that exists
│   ├── UnknownLog
│   ├── LogElsewhere       ask where it is kept
│   ├── UnknownShard
│   ├── NoSuchEntry
│   ├── Expired
│   └── NoSuchObject
├── AccessDenied
│   ├── Unauthenticated    show a token
│   ├── Forbidden          ask for the right
│   └── StoreLocked        wait until the retention ends
├── TryLater               send the same again after `retry_after` seconds
│   ├── Overloaded
│   ├── StorageFailing
│   ├── StoreFailing
│   ├── Fenced
│   └── Unavailable
├── EvidenceError          stop and look: what is stored is not what was promised
│   ├── Corrupt
│   ├── ProofInvalid
│   └── SignatureInvalid
└── SettingsError          mend the settings
"""

from __future__ import annotations

from typing import ClassVar


class MunimentError(Exception):
    """Base of all errors that Muniment raises on purpose.

    `detail` is one sentence for a person. `status`, `slug` and `title` are the HTTP status, the
    last part of the problem type and the problem title of RFC 9457.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InputError(MunimentError):
    """What was sent cannot be taken; `line` (from 1) names the place where one is known."""

    status = 400
    slug = "bad-input"
    title = "The input cannot be taken"

    def __init__(self, detail: str, *, line: int | None = None, advice: str = "") -> None:
        super().__init__(detail if line is None else f"line {line}: {detail}")
        self.line = line
        self.advice = advice


class TooLarge(InputError):
    """A body, a line or an entry is over its bound."""

    status = 413
    slug = "too-large"
    title = "Too large"


class UnsupportedMedia(InputError):
    """The content type or the content coding is not one that is taken here."""

    status = 415
    slug = "unsupported-media"
    title = "Unsupported media type"


class Conflict(InputError):
    """An idempotency id was used before for different bytes."""

    status = 409
    slug = "conflict"
    title = "The id was used for something else"


class QueryError(InputError):
    """A search or SQL text is wrong."""

    slug = "bad-query"
    title = "The query cannot be understood"


class NotFound(MunimentError):
    """There is no such thing."""

    status = 404
    slug = "not-found"
    title = "Not found"


class UnknownLog(NotFound):
    """No log of that name."""

    slug = "unknown-log"
    title = "No such log"


class LogElsewhere(NotFound):
    """The log is kept by other nodes of the fleet, perhaps in another jurisdiction."""

    status = 421
    slug = "log-elsewhere"
    title = "The log is kept elsewhere"


class UnknownShard(NotFound):
    """No shard of that name in this log."""

    slug = "unknown-shard"
    title = "No such shard"


class NoSuchEntry(NotFound):
    """The index is at or beyond the size of the shard."""

    slug = "no-such-entry"
    title = "No such entry"


class Expired(NotFound):
    """The entry was there until its retention ended; its hash is still in the tree."""

    status = 410
    slug = "expired"
    title = "Expired"


class NoSuchObject(NotFound):
    """The store has no object of that key, or its latest version is a delete marker."""

    slug = "no-such-object"
    title = "No such object"


class AccessDenied(MunimentError):
    """The caller may not do this."""

    status = 403
    slug = "forbidden"
    title = "Not allowed"


class Unauthenticated(AccessDenied):
    """No valid token was shown."""

    status = 401
    slug = "unauthenticated"
    title = "A token is needed"


class Forbidden(AccessDenied):
    """The token is valid, but does not carry the right."""


class StoreLocked(AccessDenied):
    """The store keeps an object as it is: its retention has not ended, or it is on hold."""

    slug = "locked"
    title = "Locked"


class TryLater(MunimentError):
    """The same request can succeed after `retry_after` seconds."""

    status = 503
    slug = "unavailable"
    title = "Not now"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Overloaded(TryLater):
    """A bounded queue is full."""

    status = 429
    slug = "overloaded"
    title = "Too much at once"


class IndexBehind(Overloaded):
    """Entries come faster than the index can follow; later ones are taken again."""

    slug = "index-behind"
    title = "Search cannot keep up"


class StorageFailing(TryLater):
    """The disk refuses writes or syncs; nothing of this request was acknowledged."""

    slug = "storage-failing"
    title = "The storage fails"


class StoreFailing(TryLater):
    """An object store does not do what was asked.

    `reason` is one of `unreachable`, `slow`, `busy` (429, 503), `full`, `credentials` (401, 403,
    expired) and `refused`. `unknown` says that a write may have happened all the same.
    """

    slug = "store-failing"
    title = "The store fails"

    def __init__(
        self, detail: str, *, reason: str = "refused", unknown: bool = False, retry_after: int = 2
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.reason = reason
        self.unknown = unknown


class Fenced(TryLater):
    """Another node took this shard over: this one may not write to it any more."""

    slug = "fenced"
    title = "Another node writes this shard"


class Unavailable(TryLater):
    """A part of Muniment (the query process, say) is starting or restarting."""


class EvidenceError(MunimentError):
    """What is stored or shown is not what was promised."""

    slug = "evidence"
    title = "The evidence does not hold"


class Corrupt(EvidenceError):
    """A file does not hold what it must.

    `file` is the path as the caller knows it, `offset` the byte at which the broken part begins;
    `expected` and `found` say what was to be there and what is.
    """

    slug = "corrupt"

    def __init__(self, file: str, offset: int, expected: str, found: str) -> None:
        super().__init__(f"{file}: at byte {offset}: expected {expected}, found {found}")
        self.file = file
        self.offset = offset
        self.expected = expected
        self.found = found


class ProofInvalid(EvidenceError):
    """A Merkle proof does not lead to the root that it names."""

    slug = "proof-invalid"


class SignatureInvalid(EvidenceError):
    """A signature by a known key is wrong, or none by a known key is there."""

    slug = "signature-invalid"


class SettingsError(MunimentError):
    """The settings contradict each other or are unsafe."""

    slug = "settings"
    title = "The settings cannot be used"
