"""What a Kubernetes API server answers: JSON objects, errors, lists, the events of a watch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from muniment.errors import MunimentError, Unavailable

Object = dict[str, Any]

MAX_LINE = 8 << 20
"""Bytes of one event of a watch; an object in etcd has 1.5 MiB by default."""


class Refused(MunimentError):
    """The API server answered no; `code` is its HTTP status and `reason` its word for it."""

    status = 502
    slug = "kubernetes-refused"
    title = "The Kubernetes API server refused"

    def __init__(self, detail: str, code: int, reason: str = "") -> None:
        super().__init__(detail)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """ADDED, MODIFIED, DELETED or BOOKMARK, the object, and how many bytes told of it."""

    type: str
    object: Object
    size: int


def watch_event(line: bytes) -> WatchEvent:
    """Reads an event of a watch. Raises Refused for an ERROR, Unavailable for what is no event."""
    said = object_of(line)
    kind, thing = said.get("type"), said.get("object")
    if not isinstance(kind, str) or not isinstance(thing, dict):
        raise Unavailable("the API server sent an event of a watch without type or object")
    if kind == "ERROR":
        code = thing.get("code")
        raise refusal(code if isinstance(code, int) else 500, orjson.dumps(thing), "watch")
    return WatchEvent(kind, thing, len(line))


def refusal(code: int, body: bytes, asked: str) -> Refused:
    """Makes an error of an answer, which is a Status (meta/v1) or whatever a proxy says."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    status = said if isinstance(said, dict) else {}
    text = status.get("message") or body[:200].decode(errors="replace")
    return Refused(f"{asked}: {code} {str(text)[:2_000]}", code, str(status.get("reason") or ""))


def lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Cuts a stream into lines of at most MAX_LINE bytes; what has no end is not yielded."""
    parts: list[bytes] = []
    held = 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            whole = b"".join([*parts, line])
            parts, held = [], 0
            if whole.strip():
                yield whole
        parts.append(rest)
        held += len(rest)
        if held > MAX_LINE:
            raise Unavailable(f"the API server sent an event of more than {MAX_LINE:,} bytes")


def read(response: Any, most: int) -> bytes:
    parts: list[bytes] = []
    held = 0
    for chunk in response.stream(1 << 16, decode_content=True):
        parts.append(chunk)
        held += len(chunk)
        if held > most:
            raise Unavailable(f"the API server answered with more than {most:,} bytes")
    return b"".join(parts)


def object_of(content: bytes) -> Object:
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Unavailable(f"the API server did not answer in JSON: {error}") from None
    if not isinstance(said, dict):
        raise Unavailable("the API server did not answer with an object")
    return said


def member(said: Mapping[str, Any], name: str) -> Object:
    value = said.get(name)
    return value if isinstance(value, dict) else {}


def objects(said: Mapping[str, Any], name: str) -> Sequence[Object]:
    value = said.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def versions(group: Any) -> list[str]:
    """The versions of an APIGroup (meta/v1), the preferred one first."""
    given = [member(group, "preferredVersion"), *objects(group, "versions")]
    return list(dict.fromkeys(v["version"] for v in given if isinstance(v.get("version"), str)))


@contextmanager
def connection_errors() -> Iterator[None]:
    """Turns errors of the connection into Unavailable."""
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (HTTPError, OSError) as error:
        raise Unavailable(f"the API server does not answer: {error}") from error
