"""Errors of Google's SDK as errors of a store. Nothing of theirs is in the messages but the status
and the reason in one word, and nothing is chained: their own can carry a request's URL and headers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import requests
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from muniment.errors import MunimentError, NoSuchObject, StoreFailing, StoreLocked

_KEPT = ("retentionpolicynotmet", "objectunderactivehold")
_KEPT_WORDS = (*_KEPT, "is subject to", "is under active", "cannot be deleted or overwritten")
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)
"""What the SDK lets through where an answer is not what it expects."""

_FULL = "quotaexceeded"


@contextlib.contextmanager
def translating(what: str, *, write: bool = False) -> Iterator[None]:
    """Turns the SDK's errors into ours; a `write` whose end nobody knows is `unknown`."""
    try:
        yield
    except GoogleAPICallError as error:
        raise _answered(what, error, write) from None
    except InvalidResponse as error:
        status = int(getattr(error.response, "status_code", 0) or 0)
        raise _by_status(what, status, "", write) from None
    except TransportError:
        raise StoreFailing(f"{what}: no token: unreachable", reason="unreachable") from None
    except GoogleAuthError as error:
        detail = f"{what}: {type(error).__name__}"
        raise StoreFailing(detail, reason="credentials") from None
    except DataCorruption:
        raise StoreFailing(f"{what}: the checksum is another", unknown=write) from None
    except (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError):
        raise StoreFailing(f"{what}: cannot be reached", reason="unreachable") from None
    except requests.exceptions.Timeout:
        raise StoreFailing(f"{what}: no answer in time", reason="slow", unknown=write) from None
    except (requests.exceptions.RequestException, OSError) as error:
        refused = "NewConnectionError" in repr(error)
        detail = f"{what}: {'cannot be reached' if refused else type(error).__name__}"
        raise StoreFailing(detail, reason="unreachable", unknown=write and not refused) from None
    except _UNREADABLE as error:
        detail = f"{what}: an answer that is none of Google's ({type(error).__name__})"
        raise StoreFailing(detail, unknown=write) from None


def reason_of(error: GoogleAPICallError) -> str:
    """The reason that the service gives in one word, or nothing."""
    for found in error.errors or ():
        reason = found.get("reason", "") if isinstance(found, dict) else ""
        if isinstance(reason, str) and reason.isalnum():
            return reason[:80]
    return ""


def _answered(what: str, error: GoogleAPICallError, write: bool) -> MunimentError:
    status, reason = int(error.code or 0), reason_of(error)
    # Of an upload the SDK passes the answer on as text, with the reason somewhere in it.
    text = str(error.message or "").lower()
    if status == 404 and "bucket does not exist" not in text:
        return NoSuchObject(f"{what}: there is no such object")
    if reason.lower() in _KEPT or (status == 403 and any(words in text for words in _KEPT_WORDS)):
        return StoreLocked(f"{what}: {reason or 'locked'}")
    if _FULL in reason.lower() or _FULL in text:
        return StoreFailing(f"{what}: {status} quota exceeded", reason="full")
    return _by_status(what, status, reason, write)


def _by_status(what: str, status: int, reason: str, write: bool) -> StoreFailing:
    detail = f"{what}: {status} {reason}".rstrip()
    if status == 507:
        return StoreFailing(detail, reason="full")
    if status in (401, 403):
        return StoreFailing(detail, reason="credentials")
    if status in (429, 503):
        return StoreFailing(detail, reason="busy")
    if status in (408, 504):
        return StoreFailing(detail, reason="slow", unknown=write)
    if status >= 500 or status == 0:
        return StoreFailing(detail, reason="busy", unknown=write)
    return StoreFailing(detail)
