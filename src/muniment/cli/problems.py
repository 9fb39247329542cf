"""RFC 9457 problem details, and other refusals, as the error that the server raised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from muniment import errors
from muniment.cli.terminal import one_line, printable
from muniment.errors import InputError, MunimentError, TryLater, Unavailable

MAX_RETRY_AFTER = 300
"""Seconds; a server that asks for more is asked again after this long."""


class Refused(MunimentError):
    """The server answered with an error that Muniment does not know."""

    slug = "refused"


def error_of(response: httpx.Response, body: bytes) -> MunimentError:
    """Returns the error for an answer that is no success."""
    status = response.status_code
    found = _problem(response, body)
    detail = printable(str(found.get("detail") or found.get("title") or _plain(status, body)))
    kind = _kind(re.split("[/:]", str(found.get("type", "")))[-1], status)
    if issubclass(kind, TryLater):
        return kind(detail, retry_after=retry_after(response))
    if issubclass(kind, InputError):
        return _input_error(kind, detail, found)
    if issubclass(kind, errors.Corrupt):
        return errors.EvidenceError(detail)
    if kind is Refused:
        detail = f"{response.url.host} answers {status}: {detail}"
    return kind(detail)


def retry_after(response: httpx.Response, now: datetime | None = None) -> int:
    """Returns the seconds of Retry-After (RFC 9110 section 10.2.3), 0 to MAX_RETRY_AFTER.

    A header that is missing or cannot be read is 1 s.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text), MAX_RETRY_AFTER)
    try:
        wait = (parsedate_to_datetime(text) - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, TypeError):
        return 1
    return min(max(0, round(wait)), MAX_RETRY_AFTER)


def _problem(response: httpx.Response, body: bytes) -> dict[str, Any]:
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _plain(status: int, body: bytes) -> str:
    text = body[:200].decode(errors="replace").strip()
    return text if text and not text.startswith("<") else f"HTTP status {status}"


def _input_error(kind: type[InputError], detail: str, found: dict[str, Any]) -> InputError:
    line, advice = found.get("line"), one_line(str(found.get("advice") or ""))
    if type(line) is not int or line < 1:
        return kind(detail, advice=advice)
    return kind(detail.removeprefix(f"line {line}: "), line=line, advice=advice)


def _kind(slug: str, status: int) -> type[MunimentError]:
    own = [kind for kind in _tree(MunimentError) if kind.__module__ == errors.__name__]
    named = [kind for kind in own if (kind.slug, kind.status) == (slug, status)]
    if named:
        return named[-1]  # the most particular: a parent has the slug of one of its children
    by_status: dict[int, type[MunimentError]] = {
        400: InputError,
        401: errors.Unauthenticated,
        403: errors.Forbidden,
        404: errors.NotFound,
        409: errors.Conflict,
        413: errors.TooLarge,
        415: errors.UnsupportedMedia,
        429: errors.Overloaded,
    }
    if status in by_status:
        return by_status[status]
    return Unavailable if status in (408, 502, 503, 504) else Refused


def _tree(kind: type[MunimentError]) -> Iterator[type[MunimentError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)
