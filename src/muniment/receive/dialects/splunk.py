"""The dialect of Splunk's HTTP Event Collector: events, raw lines, and questions after them.

An id for the indexer acknowledgement is given once what it stands for is durable, and never
before. So any id that a receiver has given is good, whenever and wherever it is asked for: the id
itself tells that it was given, on this channel, and nothing needs to be remembered.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Annotated
from zlib import crc32

import msgspec
import orjson

from muniment.errors import (
    Forbidden,
    InputError,
    MunimentError,
    NotFound,
    TooLarge,
    TryLater,
    Unauthenticated,
)
from muniment.log import Acknowledgement
from muniment.receive.coding import Coding, Grow
from muniment.receive.dialect import Posting, Reply, Taken
from muniment.receive.dialects.splunk_events import HecError, events
from muniment.receive.groups import Records

CHANNEL = b"x-splunk-request-channel"
MAX_ACK_BODY = 1 << 20

_PATH = re.compile(r"/services/collector(?:/(event|raw|ack|health))?(?:/1\.0)?/?")
_GUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_SAID = ("host", "source", "sourcetype", "index", "time")
_LINE_COST = 60
_ASKED_COST = 24
_CHECK_BITS = 18

_TEXTS = {
    0: "Success",
    2: "Token is required",
    3: "Invalid authorization",
    4: "Invalid token",
    5: "No data",
    6: "Invalid data format",
    8: "Internal server error",
    9: "Server is busy",
    10: "Data channel is missing",
    11: "Invalid data channel",
    12: "Event field is required",
    13: "Event field cannot be blank",
    17: "HEC is healthy",
    18: "HEC is unhealthy, queues are full",
    27: "Request entity too large",
    404: "The requested URL was not found on this server.",
}


class _Question(msgspec.Struct):
    acks: list[Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]]


_QUESTION = msgspec.json.Decoder(_Question)


class Splunk:
    """The dialect; see muniment.receive.dialect.Dialect."""

    name = "splunk"

    def handles(self, path: str) -> bool:
        """Whether a collector takes posts here."""
        found = _PATH.fullmatch(path)
        return found is not None and found[1] != "health"

    def coding(self, posting: Posting) -> Coding:
        """Raises HecError where a channel is missing or is none; UnsupportedMedia."""
        if not _channel(posting) and _kind(posting.path) in ("raw", "ack"):
            raise HecError(10, "send a GUID as X-Splunk-Request-Channel, or ?channel=")
        return Coding.of(posting.header(b"content-encoding"))

    def take(
        self,
        posting: Posting,
        body: bytes,
        limit: int,  # noqa: ARG002 (nothing is compressed inside)
        grow: Grow,
    ) -> Taken:
        """Cuts the body into events or lines; a question has no records.

        Raises HecError, TooLarge, Overloaded.
        """
        kind = _kind(posting.path)
        if kind == "ack":
            return Taken((), reply=_asked(body, grow))
        given = posting.parameters()
        about = {name: given[name] for name in _SAID if given.get(name)}
        channel = _channel(posting)
        if channel:
            about["channel"] = channel
        if kind == "raw":
            return Taken([Records(posting.inner or "text", _lines(body, grow), about)])
        return Taken([Records(posting.source(self.name), events(body, grow), about)])

    def accepted(
        self, posting: Posting, taken: Taken, acknowledgement: Acknowledgement | None
    ) -> Reply:
        """Success, with an id to ask for where there is a channel; or what was asked."""
        channel = _channel(posting)
        if acknowledgement is None:
            found = {str(asked): was_given(asked, channel) for asked in taken.reply}
            return Reply(200, orjson.dumps({"acks": found}))
        if channel:
            return _reply(200, 0, ackId=ack_id(acknowledgement, channel))
        return _reply(200, 0)

    def refused(self, posting: Posting, error: MunimentError) -> Reply:
        """Splunk's codes. Whatever can succeed later is 503: clients drop all 4xx but 429."""
        status, code = _status(posting, error)
        more: dict[str, object] = {}
        if isinstance(error, HecError) and error.event is not None:
            more["invalid-event-number"] = error.event
        more["detail"] = error.detail.encode("utf-8", "replace").decode()
        return _reply(status, code, **more)


DIALECT = Splunk()


def answer(method: str, path: str, *, ready: bool = True) -> Reply | None:
    """Answers what is no post: the health that clients ask for, and docker's OPTIONS before all.

    None where the path or the method is another's.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    if found[1] == "health":
        if method not in ("GET", "HEAD"):
            return None
        return _reply(200, 17) if ready else _reply(503, 18)
    if method == "OPTIONS":
        return Reply(200, b"", headers=(("Allow", "POST"),))
    return None


def ack_id(acknowledgement: Acknowledgement, channel: str) -> int:
    """Returns the id for a batch that is durable, on a channel: 53 bits, as JSON has them.

    28 bits of the last entry's index and 7 of the shard tell batches apart; 18 bits check that
    the id was given, so that another collector's ids, which count from 0, are not taken for ours.
    """
    last = acknowledgement.first + acknowledgement.count - 1
    shard = crc32(f"{acknowledgement.log}/{acknowledgement.shard}".encode())
    value = last % (1 << 28) << 7 | shard % (1 << 7)
    return value << _CHECK_BITS | _check(value, channel)


def was_given(id_: int, channel: str) -> bool:
    """Whether an id was given on this channel, and so is of a batch that is durable."""
    if not 0 <= id_ < 1 << 53:
        return False
    value, check = divmod(id_, 1 << _CHECK_BITS)
    return check == _check(value, channel)


def _check(value: int, channel: str) -> int:
    text = f"{channel.lower()}/{value}".encode()
    digest = blake2b(text, digest_size=4, person=b"muniment ackid").digest()
    return int.from_bytes(digest) % (1 << _CHECK_BITS)


def _kind(path: str) -> str:
    """Returns `event`, `raw` or `ack`."""
    found = _PATH.fullmatch(path)
    assert found is not None, "only paths that are handled come here"
    return found[1] or "event"


def _channel(posting: Posting) -> str:
    """Returns the channel; empty where there is none. Raises HecError."""
    channel = posting.header(CHANNEL) or posting.parameters().get("channel", "")
    if channel and not _GUID.fullmatch(channel):
        raise HecError(11, "a channel is a GUID")
    return channel


def _lines(body: bytes, grow: Grow) -> list[bytes]:
    """The bytes between newlines as they are; the last newline is optional."""
    if not body:
        raise HecError(5, "the body is empty")
    grow(len(body) + _LINE_COST * (body.count(b"\n") + 1))
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _asked(body: bytes, grow: Grow) -> list[int]:
    if len(body) > MAX_ACK_BODY:
        raise TooLarge("too many ids are asked for at once")
    grow(_ASKED_COST * len(body))
    try:
        return _QUESTION.decode(body).acks
    except (msgspec.DecodeError, RecursionError) as error:
        raise HecError(6, f'send {{"acks":[0,1]}}: {error}') from None


def _status(posting: Posting, error: MunimentError) -> tuple[int, int]:
    """Returns the HTTP status and Splunk's code for an error."""
    if isinstance(error, HecError):
        return 400, error.code
    if isinstance(error, Unauthenticated):
        shown = posting.header(b"authorization")
        if shown is None:
            return 401, 2
        return (403, 4) if shown.lower().startswith(("splunk ", "basic ", "bearer ")) else (401, 3)
    if isinstance(error, Forbidden):
        return 403, 4
    if isinstance(error, TryLater):
        return 503, 9
    if isinstance(error, NotFound):
        return 404, 404
    if isinstance(error, TooLarge):
        return 413, 27
    return error.status, 6 if isinstance(error, InputError) else 8


def _reply(status: int, code: int, **more: object) -> Reply:
    return Reply(status, orjson.dumps({"text": _TEXTS[code], "code": code, **more}))
