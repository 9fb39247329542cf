"""The dialect of Elasticsearch's bulk API, and of its single documents.

A bulk body is lines: an action, then the document that it is for (a `delete` has none). Each
action is an entry, with its document's line as it came, JSON or not. Shippers read the answer item
by item, so there is one for each action. Nothing is ever updated or deleted: that somebody asked
for it is what is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from muniment.errors import (
    AccessDenied,
    InputError,
    MunimentError,
    NotFound,
    TooLarge,
    TryLater,
    UnsupportedMedia,
)
from muniment.log import Acknowledgement
from muniment.receive.coding import Coding, Grow
from muniment.receive.dialect import Posting, Reply, Taken
from muniment.receive.dialects.elastic_answer import RESULTS, Action, bulk_answer, document_answer
from muniment.receive.groups import Records

PRODUCT = (("X-Elastic-Product", "Elasticsearch"),)
"""Stands on every answer: the official clients talk to nothing else."""

MEDIA = frozenset(
    {
        "application/x-ndjson",
        "application/json",
        "application/vnd.elasticsearch+x-ndjson",
        "application/vnd.elasticsearch+json",
        "text/json",
    }
)
MAX_ACTION_BYTES = 65_535
MAX_NAME_BYTES = 512
"""Of an index or a document id that a path names."""

_BULK = re.compile(r"(?:/([^/_][^/]*)(?:/([^/]+))?)?/_bulk/?", re.DOTALL)
_DOCUMENT = re.compile(r"/([^/_][^/]*)/(?:_doc/?|(_doc|_create)/(.+))", re.DOTALL)
_COMPATIBLE = re.compile(r'application/vnd\.elasticsearch\+json *; *compatible-with *= *"?([0-9])')

_SAID = ("pipeline", "routing", "op_type", "version", "version_type", "require_alias")
"""Parameters that speak of the documents; others speak of the answer."""

_ENTRY_COST = 320
"""Bytes of memory that an entry and its item of the answer take beside its own."""

_KNOWN_ACTIONS = 64


@dataclass(frozen=True, slots=True)
class _Place:
    """What a path names. `verb` is that of a single document, empty for a bulk."""

    index: str = ""
    type: str = ""
    id: str = ""
    verb: str = ""


class Elastic:
    """The dialect; see muniment.receive.dialect.Dialect."""

    name = "elastic"

    def handles(self, path: str) -> bool:
        """Whether this is a bulk, or a document to be kept."""
        return _BULK.fullmatch(path) is not None or _DOCUMENT.fullmatch(path) is not None

    def coding(self, posting: Posting) -> Coding:
        """Raises InputError, UnsupportedMedia."""
        if posting.media not in MEDIA:
            raise UnsupportedMedia(
                f"Content-Type header [{posting.media[:80]}] is not supported",
                advice="send application/x-ndjson or application/json",
            )
        _place(posting.path)
        posting.parameters()
        return Coding.of(posting.header(b"content-encoding"))

    def take(
        self,
        posting: Posting,
        body: bytes,
        limit: int,  # noqa: ARG002 (nothing is compressed inside)
        grow: Grow,
    ) -> Taken:
        """Cuts the body at its actions. Raises InputError naming the line, TooLarge, Overloaded."""
        if not body:
            raise InputError("request body is required")
        place, about = _place(posting.path), posting.parameters()
        about = {name: about[name] for name in _SAID if about.get(name)}
        index = _json(place.index)
        if place.verb:
            verb = "create" if about.get("op_type") == "create" else place.verb
            about = {"action": verb, "index": place.index, "id": place.id} | about
            records, actions = [body], [Action(verb, index, _json(place.id))]
        else:
            about = {"index": place.index, "type": place.type} | about
            lines = body.count(b"\n") + 1
            grow(len(body) + lines * (_ENTRY_COST + len(index)))
            records, actions = _cut(body, index)
        about = {name: value for name, value in about.items() if value}
        group = Records(posting.source(self.name), records, about)
        names = sum([len(action.name) + len(action.id) for action in actions])
        return Taken([group], reply=actions, reply_bytes=names + _ENTRY_COST * len(actions))

    def accepted(
        self, posting: Posting, taken: Taken, acknowledgement: Acknowledgement | None
    ) -> Reply:
        """One item for each action, in order, all of them good."""
        assert acknowledgement is not None, "a body without an action is refused"
        kind = media(posting.header(b"accept"))
        if _place(posting.path).verb:
            return Reply(201, document_answer(taken.reply[0], acknowledgement), kind, PRODUCT)
        wanted = posting.parameters().get("filter_path", "")
        return Reply(200, bulk_answer(taken.reply, acknowledgement, wanted), kind, PRODUCT)

    def refused(self, posting: Posting, error: MunimentError) -> Reply:
        """Elasticsearch's error JSON; whatever can succeed later is a 429, which all retry."""
        status = 429 if isinstance(error, TryLater) else error.status
        reason = error.detail
        if isinstance(error, InputError) and error.advice:
            reason += f"; {error.advice}"
        return failure(status, _kind(error), reason, posting.header(b"accept"))


DIALECT = Elastic()


def media(accept: str | None) -> str:
    """Returns the content type of an answer: the versioned one for those who ask for it."""
    found = _COMPATIBLE.search(accept or "")
    if found is None:
        return "application/json"
    return f"application/vnd.elasticsearch+json;compatible-with={found[1]}"


def failure(status: int, kind: str, reason: str, accept: str | None = None) -> Reply:
    """Returns an error in Elasticsearch's JSON."""
    cause = {"type": kind, "reason": reason.encode("utf-8", "replace").decode()}
    body = {"error": {"root_cause": [cause], **cause}, "status": status}
    return Reply(status, orjson.dumps(body), media(accept), PRODUCT)


def _kind(error: MunimentError) -> str:
    """Elasticsearch's name for an error."""
    if isinstance(error, TryLater):
        return "es_rejected_execution_exception"
    if isinstance(error, AccessDenied):
        return "security_exception"
    if isinstance(error, NotFound):
        return "index_not_found_exception"
    if isinstance(error, TooLarge):
        return "content_too_long_exception"
    if isinstance(error, UnsupportedMedia):
        return "media_type_header_exception"
    return "illegal_argument_exception" if isinstance(error, InputError) else "exception"


def _place(path: str) -> _Place:
    """Returns what a path names. Raises InputError where a name is longer than any may be."""
    found = _BULK.fullmatch(path)
    if found is not None:
        place = _Place(found[1] or "", found[2] or "")
    else:
        found = _DOCUMENT.fullmatch(path)
        assert found is not None, "only paths that are handled come here"
        verb = "create" if found[2] == "_create" else "index"
        place = _Place(found[1], "", found[3] or "", verb)
    for name in (place.index, place.type, place.id):
        if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
            raise InputError(f"a name in the path is longer than {MAX_NAME_BYTES} bytes")
    return place


def _cut(body: bytes, index: str) -> tuple[list[bytes], list[Action]]:
    """Returns the bytes of each entry and what it asks for. Raises InputError, TooLarge.

    Blank lines between entries are passed over. The newline after the last line is optional.
    """
    records: list[bytes] = []
    actions: list[Action] = []
    known: dict[bytes, Action] = {}
    start = number = 0
    while start < len(body):
        number += 1
        end = stop = _end(body, start)
        line = body[start:stop]
        action = known.get(line)
        if action is None:
            if not line.strip():
                start = stop + 1
                continue
            action = _action(line, index, number)
            if len(known) < _KNOWN_ACTIONS:
                known[line] = action
        if action.verb != "delete":
            number += 1
            if stop + 1 >= len(body):
                raise InputError("the action before has no document", line=number)
            end = _end(body, stop + 1)
        records.append(body[start:end])
        actions.append(action)
        start = end + 1
    if not records:
        raise InputError("no requests added: the body has no action")
    return records, actions


def _end(body: bytes, start: int) -> int:
    stop = body.find(b"\n", start)
    return len(body) if stop < 0 else stop


def _action(line: bytes, index: str, number: int) -> Action:
    """Reads an action line. What is none leaves unknown where the next one stands."""
    if len(line) > MAX_ACTION_BYTES:
        raise TooLarge(f"an action is longer than {MAX_ACTION_BYTES:,} bytes", line=number)
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _malformed(f"not JSON: {error.msg}", number) from None
    if type(found) is not dict or len(found) != 1:
        raise _malformed("expected an object with one field", number)
    verb, target = next(iter(found.items()))
    if verb not in RESULTS:
        names = ", ".join(f"[{name}]" for name in RESULTS)
        raise _malformed(f"expected one of {names}, found [{verb[:80]}]", number)
    if type(target) is not dict:
        raise _malformed(f"expected an object in [{verb}]", number)
    named, id_ = target.get("_index"), target.get("_id")
    return Action(verb, _json(named) or index, _json(id_))


def _malformed(what: str, number: int) -> InputError:
    return InputError(f"malformed action/metadata, {what}", line=number)


def _json(name: object) -> str:
    """Returns a name as JSON text; empty for none. A number is taken as its digits."""
    if type(name) is int or type(name) is float:
        return f'"{name}"'
    if type(name) is not str or not name:
        return ""
    return orjson.dumps(name.encode("utf-8", "replace").decode()).decode()
