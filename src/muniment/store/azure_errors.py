"""Errors of the Azure SDK as errors of a store.

Messages carry the service's error code and nothing else: the SDK's own can carry a request's URL,
and with it the signature of a SAS. For the same reason nothing is chained.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from xml.etree.ElementTree import ParseError

from azure.core import exceptions as azure

from muniment.errors import MunimentError, NoSuchObject, StoreFailing, StoreLocked

TAKEN = frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"})
"""What a refused `If-None-Match: *` is called."""

_KEPT = ("Immutab", "LegalHold")
_ABSENT = frozenset({"", "BlobNotFound", "ResourceNotFound"})
_FULL = frozenset({"AccountQuotaExceeded", "BlockCountExceedsLimit", "InsufficientStorage"})
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ParseError)
"""What the SDK lets through where an answer is not what it expects."""

_BUSY, _SLOW = frozenset({429, 503}), frozenset({408, 504})


@contextlib.contextmanager
def translating(what: str, *, write: bool = False) -> Iterator[None]:
    """Turns the SDK's errors into ours; a `write` whose end nobody knows is `unknown`."""
    try:
        yield
    except azure.ClientAuthenticationError as error:  # also of azure-identity, without an answer
        detail = f"{what}: {error.status_code or 'no token'} {code_of(error)}".rstrip()
        raise StoreFailing(detail, reason="credentials") from None
    except azure.HttpResponseError as error:
        raise _answered(what, error, write) from None
    except (azure.ServiceRequestTimeoutError, azure.ServiceRequestError):
        raise StoreFailing(f"{what}: cannot be reached", reason="unreachable") from None
    except azure.ServiceResponseTimeoutError:
        raise StoreFailing(f"{what}: no answer in time", reason="slow", unknown=write) from None
    except (azure.AzureError, OSError) as error:
        detail = f"{what}: {type(error).__name__}"
        raise StoreFailing(detail, reason="unreachable", unknown=write) from None
    except _UNREADABLE as error:
        detail = f"{what}: an answer that is none of Azure's ({type(error).__name__})"
        raise StoreFailing(detail, unknown=write) from None


def code_of(error: azure.HttpResponseError) -> str:
    """The service's code of an error, or nothing: it comes as a header, also without a body."""
    headers = getattr(error.response, "headers", None) or {}
    code = str(headers.get("x-ms-error-code", "") or getattr(error, "error_code", "") or "")
    return code[:80] if code.isalnum() else ""


def is_kept(error: azure.HttpResponseError) -> bool:
    """Whether it says that a policy or a hold keeps the blob."""
    return any(sign in code_of(error) for sign in _KEPT)


def _answered(what: str, error: azure.HttpResponseError, write: bool) -> MunimentError:
    status, code = error.status_code or 0, code_of(error)
    detail = f"{what}: {status} {code}".rstrip()
    if status == 404 and code in _ABSENT:
        return NoSuchObject(f"{what}: there is no such object")
    if is_kept(error):
        return StoreLocked(f"{what}: {code}")
    if status in (401, 403):
        return StoreFailing(detail, reason="credentials")
    if status in _BUSY:
        return StoreFailing(detail, reason="busy")
    if status == 507 or code in _FULL:
        return StoreFailing(detail, reason="full")
    if status in _SLOW or code == "OperationTimedOut":
        return StoreFailing(detail, reason="slow", unknown=write)
    if status >= 500 or status == 0:
        return StoreFailing(detail, reason="busy", unknown=write)
    return StoreFailing(detail)
