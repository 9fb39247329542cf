"""OTLP logs over HTTP, in protobuf and JSON, cut into requests of one log record each.

The standard is the OpenTelemetry Protocol Specification 1.x, section "OTLP/HTTP". Senders repeat
what is answered with 429, 502, 503 or 504 and drop what gets any other refusal, so whatever may
succeed later is answered with one of the first.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from muniment.errors import (
    Conflict,
    Forbidden,
    InputError,
    MunimentError,
    NotFound,
    Overloaded,
    Unauthenticated,
    UnsupportedMedia,
)
from muniment.log import Acknowledgement
from muniment.receive import protobuf
from muniment.receive.coding import Coding, Grow
from muniment.receive.dialect import Posting, Reply, Taken
from muniment.receive.dialects import json_slices
from muniment.receive.groups import Records

PATH = "/v1/logs"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_FIELDS = (1, 2, 2)
"""resource_logs of ExportLogsServiceRequest, scope_logs, log_records (opentelemetry-proto 1.x)."""

_MEMBERS = (
    ("resourceLogs", "resource_logs"),
    ("scopeLogs", "scope_logs"),
    ("logRecords", "log_records"),
)

_UNAVAILABLE = 14
_CODES: tuple[tuple[type[MunimentError], int], ...] = (
    (Conflict, 6),
    (InputError, 3),
    (Unauthenticated, 16),
    (Forbidden, 7),
    (NotFound, 5),
    (Overloaded, 8),
    (MunimentError, _UNAVAILABLE),
)
"""The code of google.rpc.Code for each branch of the errors, the first that fits."""


def records(body: bytes, grow: Grow) -> list[bytes]:
    """Cuts an ExportLogsServiceRequest in protobuf into requests with one log record each.

    Raises InputError, TooLarge, Overloaded.
    """
    return protobuf.cut(body, _FIELDS, grow)


def records_json(body: bytes, grow: Grow) -> list[bytes]:
    """The same in JSON; members may have the names of the .proto file, as for its parsers."""
    return json_slices.cut(body, _MEMBERS, grow)


_READERS: dict[str, Callable[[bytes, Grow], list[bytes]]] = {PROTOBUF: records, JSON: records_json}


class Otlp:
    """OTLP over HTTP. See muniment.receive.dialect.Dialect."""

    name = "otlp"

    def handles(self, path: str) -> bool:
        """Whether it is the path of logs; traces and metrics are not taken."""
        return path == PATH

    def coding(self, posting: Posting) -> Coding:
        """Raises UnsupportedMedia for what is neither protobuf nor JSON."""
        if posting.media not in _READERS:
            raise UnsupportedMedia(
                f"the content type {posting.media[:80]!r} is not taken",
                advice=f"send {PROTOBUF} or {JSON}",
            )
        return Coding.of(posting.header(b"content-encoding"))

    def take(self, posting: Posting, body: bytes, limit: int, grow: Grow) -> Taken:  # noqa: ARG002
        """A request without records is fine. Raises InputError, TooLarge, Overloaded."""
        found = _READERS[posting.media](body, grow)
        return Taken([Records(posting.source(self.name), found)] if found else [])

    def accepted(
        self,
        posting: Posting,
        taken: Taken,  # noqa: ARG002
        acknowledgement: Acknowledgement | None,  # noqa: ARG002
    ) -> Reply:
        """An empty ExportLogsServiceResponse: everything was taken."""
        if posting.media == PROTOBUF:
            return Reply(200, b"", PROTOBUF)
        return Reply(200, b"{}", JSON)

    def refused(self, posting: Posting, error: MunimentError) -> Reply:
        """A google.rpc.Status in the request's media type."""
        code = code_of(error)
        status = 503 if code == _UNAVAILABLE else error.status
        if posting.media == PROTOBUF:
            return Reply(status, _status(code, error.detail), PROTOBUF)
        return Reply(status, orjson.dumps({"code": code, "message": _plain(error.detail)}), JSON)


def code_of(error: MunimentError) -> int:
    """Returns the google.rpc.Code of an error."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def _status(code: int, message: str) -> bytes:
    text = _plain(message).encode()
    return b"\x08%b\x12%b%b" % (protobuf.varint(code), protobuf.varint(len(text)), text)


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


DIALECT = Otlp()
