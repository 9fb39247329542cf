"""How a gRPC call ends: status codes, and the details that tell clients when to come back.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, `google/rpc/status.proto` and
`error_details.proto`. Which codes make a client send again is what OTLP/gRPC says of them.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import quote

from muniment.errors import (
    Forbidden,
    InputError,
    MunimentError,
    NotFound,
    TryLater,
    Unauthenticated,
    UnknownLog,
    UnsupportedMedia,
)
from muniment.receive.protobuf import varint

MAX_MESSAGE = 1_000
"""Characters of an explanation that go into a trailer."""

_RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class Code(IntEnum):
    """The codes that are answered."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    UNIMPLEMENTED = 12
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Status:
    """The end of a call. `retry_after` (seconds) says that the same may be sent again then."""

    code: Code
    message: str = ""
    retry_after: int | None = None

    @classmethod
    def of(cls, error: MunimentError) -> Status:
        """The end that tells a sender what to do.

        What is not the sender's fault is UNAVAILABLE: senders keep it and come again, where they
        would drop it for INTERNAL. What is too large is INVALID_ARGUMENT: RESOURCE_EXHAUSTED is
        sent again by some.
        """
        if isinstance(error, TryLater):
            return cls(Code.UNAVAILABLE, error.detail, error.retry_after)
        for kind, code in _CODES:
            if isinstance(error, kind):
                advice = (
                    f" ({error.advice})" if isinstance(error, InputError) and error.advice else ""
                )
                return cls(code, error.detail + advice)
        return cls(Code.UNAVAILABLE, error.detail, 2)

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The header fields that end a call."""
        found = [(b"grpc-status", b"%d" % self.code)]
        if self.message:
            text = quote(self.message[:MAX_MESSAGE], safe=_PRINTABLE, errors="replace")
            found.append((b"grpc-message", text.encode("ascii")))
        if self.retry_after is not None:
            found.append((b"grpc-status-details-bin", b64encode(self.details).rstrip(b"=")))
            # Where OpenTelemetry's exporter in Python looks for it.
            found.append((b"google.rpc.retryinfo-bin", b64encode(self.retry_info).rstrip(b"=")))
        return found

    @property
    def retry_info(self) -> bytes:
        """The `google.rpc.RetryInfo`."""
        return _field(1, _number(1, self.retry_after or 0))

    @property
    def details(self) -> bytes:
        """The `google.rpc.Status` with a `RetryInfo` in it."""
        info = _field(1, _RETRY_INFO) + _field(2, self.retry_info)
        text = self.message[:MAX_MESSAGE].encode("utf-8", "replace")
        return _number(1, self.code) + _field(2, text) + _field(3, info)


OK = Status(Code.OK)

_CODES: tuple[tuple[type[MunimentError], Code], ...] = (
    (UnsupportedMedia, Code.UNIMPLEMENTED),
    (InputError, Code.INVALID_ARGUMENT),
    (Unauthenticated, Code.UNAUTHENTICATED),
    (Forbidden, Code.PERMISSION_DENIED),
    (UnknownLog, Code.NOT_FOUND),
    (NotFound, Code.UNIMPLEMENTED),
)


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return bytes((number << 3,)) + varint(value)
