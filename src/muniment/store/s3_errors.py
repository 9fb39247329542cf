"""What goes wrong at an S3 server, in the words of this package.

Only the status and the error code of an answer come into a message: what a server says besides can
name keys and signatures. Codes are those of the S3 API reference ("Error responses"), and those of
Ceph (QuotaExceeded), MinIO (XMinioStorageFull) and versitygw.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from urllib3 import exceptions as http

from muniment.errors import MunimentError, StoreFailing

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9._-]{1,64})\s*</Code>")
_HEAD = 1 << 16
STALE = frozenset(
    [
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidToken",
        "TokenRefreshRequired",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "RequestExpired",
    ]
)
"""Codes after which the credentials are looked up anew."""

_CREDENTIALS = STALE | frozenset(
    [
        "AccessDenied",
        "AllAccessDisabled",
        "AccountProblem",
        "InvalidSecurity",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "UnauthorizedAccess",
        "AuthorizationHeaderMalformed",
        "Forbidden",
    ]
)
_BUSY = frozenset(
    [
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "ServiceUnavailable",
        "Busy",
        "TooManyRequests",
        "RequestTimeout",
        "OperationAborted",
        "ConditionalRequestConflict",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "InternalError",
        "ServerBusy",
    ]
)
_FULL = frozenset(
    [
        "QuotaExceeded",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "StorageFull",
        "InsufficientCapacity",
        "NotEnoughSpace",
        "DiskFull",
    ]
)
_UNDONE = frozenset({"SlowDown", "SlowDownWrite", "TooManyRequests", "ServiceUnavailable"})
_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    TokenRetrievalError,
    NoAuthTokenError,
    SSOError,
)


def code_of(body: bytes) -> str:
    """Returns the error code in an answer's XML, or nothing."""
    found = _CODE.search(body, 0, _HEAD)
    return found[1].decode("ascii") if found else ""


def reason_of(status: int, code: str) -> str:
    """Returns the `reason` of StoreFailing for an answer."""
    if code in _FULL or status == 507:
        return "full"
    if code in _BUSY or status in (429, 500, 502, 503) or (status == 409 and not code):
        return "busy"
    if status in (408, 504):
        return "slow"
    if code in _CREDENTIALS or status in (401, 403):
        return "credentials"
    return "refused"


def refusal(what: str, status: int, code: str, *, write: bool) -> StoreFailing:
    """Returns the error for an answer that is none of those expected.

    A write that a server answers with 5xx may have happened, unless the code says that it turned
    the request away.
    """
    return StoreFailing(
        f"{what}: the store answered {status} {code}".rstrip(),
        reason=reason_of(status, code),
        unknown=write and status >= 500 and status != 507 and code not in _UNDONE,
    )


def broken(what: str, error: Exception, *, write: bool) -> StoreFailing:
    """Returns the error for a connection that could not be had, or that broke."""
    timed_out = isinstance(error, http.ReadTimeoutError | TimeoutError) or (
        isinstance(error, http.ProtocolError)
        and any(isinstance(cause, TimeoutError) for cause in error.args)
    )
    if timed_out:
        return StoreFailing(f"{what}: no answer in time", reason="slow", unknown=write)
    if isinstance(error, http.NameResolutionError):
        return StoreFailing(f"{what}: the host's name is not known", reason="unreachable")
    if isinstance(error, http.ConnectTimeoutError):  # NewConnectionError is one
        return StoreFailing(f"{what}: no connection", reason="unreachable")
    if isinstance(error, http.SSLError | ssl.SSLError):
        refused = "CERTIFICATE_VERIFY_FAILED" in str(error)
        told = "the certificate is not trusted" if refused else "TLS failed"
        return StoreFailing(f"{what}: {told}", reason="unreachable", unknown=write and not refused)
    return StoreFailing(f"{what}: the connection broke", reason="unreachable", unknown=write)


def no_credentials(what: str, error: Exception | None = None) -> StoreFailing:
    """Returns the error where the SDK finds no credentials, or cannot renew them."""
    told = f" ({type(error).__name__})" if error else ""
    return StoreFailing(f"{what}: no credentials could be had{told}", reason="credentials")


@contextmanager
def translating(what: str, *, write: bool) -> Iterator[None]:
    """Turns what the SDK raises into StoreFailing. ClientError keeps its place as the cause."""
    try:
        yield
    except MunimentError:
        raise
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(error.response.get("Error", {}).get("Code", ""))[:64]
        raise refusal(what, status, code, write=write) from error
    except _NO_CREDENTIALS as error:
        raise no_credentials(what, error) from error
    except (http.HTTPError, OSError) as error:
        raise broken(what, error, write=write) from error
    except BotoCoreError as error:
        raise StoreFailing(
            f"{what}: the SDK failed ({type(error).__name__})", reason="unreachable", unknown=write
        ) from error
