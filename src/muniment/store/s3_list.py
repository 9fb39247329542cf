"""Pages of S3's lists (ListObjectsV2, ListObjectVersions), read in the order of the document.

That order is what says which version is the newest: the times have whole seconds, and the SDK takes
delete markers and versions apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from muniment.errors import StoreFailing
from muniment.store.port import Object

PAGE = 1_000
"""Objects in a page at most, as S3 has it."""

_ROOTS = ("ListBucketResult", "ListVersionsResult")
_ENTRIES = ("Contents", "Version", "DeleteMarker")


@dataclass(frozen=True, slots=True)
class Page:
    """Entries with full keys; `truncated` says that there is more, behind the two markers."""

    entries: list[Object]
    truncated: bool = False
    next_key: str = ""
    next_version: str = ""


def page_of(what: str, body: bytes) -> Page:
    """Reads one page. Raises StoreFailing where it is none."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 (expat bounds what entities grow to)
        if _name(root) not in _ROOTS:
            raise ValueError(_name(root))
        texts = {_name(child): child.text or "" for child in root if not len(child)}
        plain = unquote_plus if texts.get("EncodingType") == "url" else str
        return Page(
            [_entry(child, plain) for child in root if _name(child) in _ENTRIES],
            texts.get("IsTruncated") == "true",
            plain(texts.get("NextKeyMarker", "")),
            texts.get("NextVersionIdMarker", ""),
        )
    except (ElementTree.ParseError, ValueError, LookupError, OverflowError) as error:
        raise StoreFailing(f"{what}: the list cannot be read") from error


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _entry(element: ElementTree.Element, plain: Callable[[str], str]) -> Object:
    texts = {_name(child): child.text or "" for child in element}
    marker = _name(element) == "DeleteMarker"
    size = 0 if marker else int(texts["Size"])
    if size < 0:
        raise ValueError("a size below 0")
    latest = texts.get("IsLatest", "true") == "true"
    version = texts.get("VersionId", "")
    return Object(
        plain(texts["Key"]),
        size,
        "" if version == "null" and latest else version,
        _time(texts.get("LastModified", "")),
        latest,
        marker,
    )


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
