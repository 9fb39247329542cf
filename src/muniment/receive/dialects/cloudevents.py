"""CloudEvents over HTTP: one event in binary or structured mode, many in batched mode.

CloudEvents 1.0 (0.3 is taken too), its HTTP protocol binding, and the HTTP webhook specification
with its handshake against abuse. Events are kept as they came: the object as it stands in a
structured or batched body; in binary mode the body, with the attributes in the header's `about`.

`source` and `id` make an event one of a kind, and one that is sent again for want of an answer is
the same in all its bytes: then it is taken once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from urllib.parse import unquote_to_bytes

import orjson

from muniment.errors import InputError, MunimentError, UnsupportedMedia
from muniment.json_cut import Members, elements, text_of
from muniment.log import Acknowledgement
from muniment.receive.coding import Coding, Grow
from muniment.receive.dialect import Posting, Reply, Taken, problem_reply
from muniment.receive.groups import Records

PATH = "/cloudevents"
STRUCTURED = "application/cloudevents"
BATCHED = "application/cloudevents-batch"
VERSIONS = ("1.0", "0.3")
REQUIRED = ("specversion", "id", "source", "type")

_ATTRIBUTES = Members(*REQUIRED)
_PREFIX = b"ce-"
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PAIR = re.compile(rb"\\(.)", re.DOTALL)

_ORIGIN = re.compile(rb"[!-~]{1,255}")


class CloudEvents:
    """The dialect `cloudevents`."""

    name = "cloudevents"

    def handles(self, path: str) -> bool:
        return path == PATH

    def coding(self, posting: Posting) -> Coding:
        if _is_binary(posting):
            attributes(posting)
        elif posting.media not in (f"{STRUCTURED}+json", f"{BATCHED}+json"):
            raise UnsupportedMedia(
                f"the event format {posting.media[:80]!r} is not taken",
                advice=f"send {STRUCTURED}+json, {BATCHED}+json, or binary mode",
            )
        return Coding.of(posting.header(b"content-encoding"))

    def take(self, posting: Posting, body: bytes, limit: int, grow: Grow) -> Taken:  # noqa: ARG002
        about: Mapping[str, str] = {}
        if _is_binary(posting):
            about = attributes(posting)
            events: Sequence[bytes] = [body]
        elif posting.media.startswith(BATCHED):
            events = elements(body, grow)
            for number, event in enumerate(events, 1):
                _check_event(event, f"event {number}: ")
        else:
            events = [body]
            _check_event(body)
        if not events:
            return Taken([])
        group = Records(posting.source(self.name), events, about)
        return Taken([group], id=_id(about, body))

    def accepted(
        self,
        posting: Posting,  # noqa: ARG002
        taken: Taken,  # noqa: ARG002
        acknowledgement: Acknowledgement | None,  # noqa: ARG002
    ) -> Reply:
        """204: accepted and processed, without a payload (HTTP webhook, 2.2)."""
        return Reply(204)

    def refused(self, posting: Posting, error: MunimentError) -> Reply:  # noqa: ARG002
        """Problem details (RFC 9457); the webhook specification leaves the payload open."""
        return problem_reply(error)


def handshake(headers: Iterable[tuple[bytes, bytes]]) -> Reply:
    """The answer to OPTIONS: whoever may write here may send, at any rate (HTTP webhook, 4.2).

    Permission by callback is not given: the URL would be the sender's to choose.
    """
    asked = next((value for name, value in headers if name == b"webhook-request-origin"), None)
    allowed = [("Allow", "POST, OPTIONS")]
    if asked is not None and _ORIGIN.fullmatch(asked):
        allowed.append(("WebHook-Allowed-Origin", asked.decode("ascii")))
        allowed.append(("WebHook-Allowed-Rate", "*"))
    return Reply(200, headers=allowed)


def attributes(posting: Posting) -> dict[str, str]:
    """The attributes of an event in binary mode by their names, percent-decoded.

    The media type is `datacontenttype`, as the binding has it. Raises InputError where a required
    attribute is missing, one is given twice, or is no UTF-8.
    """
    found: dict[str, str] = {}
    for header, value in posting.headers:
        if not header.startswith(_PREFIX):
            continue
        name = header[len(_PREFIX) :].decode("latin-1")
        if name in found:
            raise InputError(f"the header ce-{name[:80]} is given twice")
        found[name] = _decoded(name, value)
    _check([found.get(name, "") for name in REQUIRED], "the header ce-")
    content_type = posting.header(b"content-type")
    if content_type:
        found["datacontenttype"] = content_type
    return found


def _is_binary(posting: Posting) -> bool:
    return not posting.media.startswith(STRUCTURED)


def _decoded(name: str, value: bytes) -> str:
    """Quoted strings and percent-encoding undone (HTTP binding, 3.1.3.2)."""
    quoted = _QUOTED.fullmatch(value.strip())
    if quoted:
        value = _PAIR.sub(rb"\1", quoted[1])
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise InputError(f"the header ce-{name[:80]} is not UTF-8, percent-encoded") from None


def _check_event(event: bytes, where: str = "") -> None:
    _check([text_of(value) for value in _ATTRIBUTES.of(event)], f"{where}the attribute ")


def _check(required: Sequence[str], what: str) -> None:
    for name, value in zip(REQUIRED, required, strict=True):
        if not value:
            raise InputError(f"{what}{name} is missing", advice="send " + ", ".join(REQUIRED))
    version = required[0]
    if version not in VERSIONS:
        raise InputError(f"{what}specversion is {version[:80]!r}, not 1.0")


def _id(about: Mapping[str, str], body: bytes) -> str:
    named = orjson.dumps(about, option=orjson.OPT_SORT_KEYS) if about else b""
    return blake2b(named + b"\n" + body, digest_size=16).hexdigest()


DIALECT = CloudEvents()
