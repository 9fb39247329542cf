"""What the headers of an S3 answer say of an object: its size, version, lock and hold."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from muniment.errors import StoreFailing
from muniment.store.port import Lock, Mode, Object
from muniment.store.s3_client import Answer


def version_of(answer: Answer) -> str:
    """Returns the version that an answer is about; empty where the bucket keeps none."""
    version = answer.headers.get("x-amz-version-id", "")
    return "" if version == "null" else version


def gone(answer: Answer) -> bool:
    """Whether the object or the version is not there, or is a delete marker (404, or 405)."""
    if answer.headers.get("x-amz-delete-marker") == "true" and answer.status in (404, 405):
        return True
    return answer.status == 404 and answer.code in ("", "NoSuchKey", "NoSuchVersion", "NotFound")


def object_of(what: str, key: str, answer: Answer) -> Object:
    """Reads the answer to a HEAD. Raises StoreFailing where it has no size."""
    size = answer.headers.get("content-length", "")
    if not (size.isascii() and size.isdigit() and len(size) < 19):
        raise StoreFailing(f"{what}: the answer has no size")
    return Object(key, int(size), version_of(answer), _date(answer.headers.get("last-modified")))


def lock_of(what: str, mode: str, until: str | datetime) -> Lock:
    """Returns a lock as S3 writes it. Raises StoreFailing where it is none."""
    try:
        moment = datetime.fromisoformat(until) if isinstance(until, str) else until
        return Lock(Mode(mode.lower()), moment.astimezone(UTC).replace(microsecond=0))
    except (ValueError, OverflowError) as error:
        raise StoreFailing(f"{what}: the lock cannot be read") from error


def headed_lock(what: str, answer: Answer) -> Lock | None:
    """Returns the lock that a HEAD shows; none also where the right to see it is missing."""
    mode = answer.headers.get("x-amz-object-lock-mode", "")
    until = answer.headers.get("x-amz-object-lock-retain-until-date", "")
    return lock_of(what, mode, until) if mode and until else None


def _date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError, OverflowError):
        return None
