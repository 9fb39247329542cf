"""HTTP to an S3 server: one pool of connections, requests signed by botocore (SigV4), no retries.

The plain bytes go over `Wire.send`: the SHA-256 that is signed is the one that the caller names, so
no byte is hashed twice, and a request costs a quarter of what the SDK takes for it. For policy
there is the SDK's own client, `client_of`, whose requests go over a pool of the same kind.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.session import Session

from muniment.errors import StoreFailing
from muniment.settings.store import Connection
from muniment.store.s3_errors import STALE, broken, code_of, no_credentials, translating

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of no bytes."""

MAX_ANSWER = 16 << 20
"""Bytes of an answer that is no object: a page of a list is below 2 MiB."""

MIN_RATE = 256 << 10
"""Bytes a second below which an object that is being read counts as not answered in time."""

_CHUNK = 1 << 20
_BLOCK = 256 << 10
_DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The S3 error code, where there is one."""
        return code_of(self.body) if self.status >= 300 else ""


class Wire:
    """Signed requests to one bucket. Safe for threads; makes no request before the first send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pools = pool_of(connection)
        self._lock = threading.Lock()
        self._session = Session()
        self._client: Any = None
        self._base = ""
        self.region = str(
            connection.region or self._session.get_config_variable("region") or _DEFAULT_REGION
        )

    def send(
        self,
        what: str,
        method: str,
        key: str = "",
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | Path = b"",
        digest: str = EMPTY,
        most: int = MAX_ANSWER,
        part: int = 0,
    ) -> Answer:
        """Sends one request and returns the answer, whatever its status.

        `digest` is the SHA-256 of `body` in hex, which the server checks; `most` bounds the bytes
        of the answer, `part` those of a part that was asked for (206). Raises
        StoreFailing where there is no answer.
        """
        write = method in ("PUT", "POST", "DELETE")
        url = self._url(what) + ("/" + quote(key, safe="/~") if key else "")
        if query:
            url += "?" + urlencode(query, quote_via=quote)
        request = AWSRequest(method=method, url=url, headers=dict(headers or {}))
        with translating(what, write=False):
            frozen = self._credentials(what).get_frozen_credentials()
            _Signer(frozen, self.region, digest).add_auth(request)
        with _opened(what, body) as (stream, size):
            signed = dict(request.headers.items())
            if method == "PUT":
                signed["Content-Length"] = str(size)
            try:
                answer = self._exchange(method, url, signed, stream, most, part)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise broken(what, error, write=write) from error
        if answer is None:
            raise StoreFailing(f"{what}: the answer is over {part or most} bytes")
        if answer.code in STALE:
            self._forget()
        return answer

    def client(self) -> Any:
        """Returns the SDK's client for this connection, made at the first call."""
        with self._lock:
            if self._client is None:
                self._client = _client(self._connection, self._session, self._pools)
            return self._client

    def close(self) -> None:
        """Lets the connections go."""
        self._pools.clear()

    def _exchange(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | BinaryIO,
        most: int,
        part: int,
    ) -> Answer | None:
        response = self._pools.connection_from_url(url).urlopen(
            method,
            url[url.index("/", len("https://")) :],
            body=body or None,
            headers=headers,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        try:
            bound = part if part and response.status == 206 else most
            read = _read(response, bound, self._connection.timeout)
        finally:
            if response.length_remaining:  # not read to its end: not for another request
                response.close()
            response.release_conn()
        lower = {name.lower(): value for name, value in response.headers.items()}
        return None if read is None else Answer(response.status, lower, read)

    def _url(self, what: str) -> str:
        if not self._base:
            with self._lock, translating(what, write=False):
                self._base = _bucket_url(self._connection, self._session, self.region)
        return self._base

    def _credentials(self, what: str) -> Any:
        given = self._connection
        if given.access_key is not None and given.secret_key is not None:
            return Credentials(given.access_key, given.secret_key.get_secret_value())
        with self._lock:
            found = self._session.get_credentials()
        if found is None:
            self._forget()
            raise no_credentials(what)
        return found

    def _forget(self) -> None:
        """Has files, environment and metadata asked anew for credentials at the next request."""
        if self._connection.access_key is None:
            with self._lock:
                self._session, self._client = Session(), None


@contextmanager
def _opened(what: str, body: bytes | Path) -> Iterator[tuple[bytes | BinaryIO, int]]:
    """Yields what is sent and its size. A file that cannot be read is the caller's trouble."""
    if isinstance(body, bytes):
        yield body, len(body)
        return
    try:
        stream = body.open("rb")
    except OSError as error:
        raise StoreFailing(f"{what}: {body.name} cannot be read ({error.strerror})") from error
    with stream:
        yield stream, os.fstat(stream.fileno()).st_size


class _Signer(S3SigV4Auth):  # type: ignore[misc]
    """SigV4 over a digest that is known already."""

    def __init__(self, credentials: object, region: str, digest: str) -> None:
        super().__init__(credentials, "s3", region)
        self._digest = digest

    def payload(self, request: object) -> str:  # noqa: ARG002 (the SDK calls it)
        return self._digest


def client_of(connection: Connection) -> Any:
    """Returns an S3 client of the SDK: its TLS, time-outs, addressing and credentials are those of
    the connection, its retries are off. Wrap calls in `s3_errors.translating`."""
    return _client(connection, Session(), pool_of(connection))


def pool_of(connection: Connection) -> urllib3.PoolManager:
    """Returns a pool: TLS 1.2 or later, certificates checked, every wait bounded."""
    context = ssl.create_default_context(cafile=str(connection.ca) if connection.ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return urllib3.PoolManager(
        num_pools=4,
        maxsize=64,
        ssl_context=context,
        timeout=urllib3.Timeout(connect=connection.timeout, read=connection.timeout),
        blocksize=_BLOCK,
    )


def _config(connection: Connection, **more: Any) -> Config:
    style = "path" if connection.endpoint else "virtual"  # "auto" presigns for the global host
    return Config(
        retries={"total_max_attempts": 1},
        s3={"addressing_style": style, "payload_signing_enabled": True},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="muniment",
        **more,
    )


def _client(connection: Connection, session: Session, pools: urllib3.PoolManager) -> Any:
    secret = connection.secret_key
    client = session.create_client(
        "s3",
        region_name=connection.region
        or session.get_config_variable("region")
        or (_DEFAULT_REGION if connection.endpoint else None),
        endpoint_url=connection.endpoint,
        aws_access_key_id=connection.access_key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=_config(connection),
    )

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        parts = urlsplit(request.url)
        response = pools.connection_from_url(request.url).urlopen(
            request.method,
            (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            body=request.body,
            headers={name: _text(value) for name, value in request.headers.items()},
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        if response.status in (301, 302, 307, 308):  # the SDK would look for the region itself
            raise StoreFailing(f"{parts.hostname} says that the bucket is elsewhere (region?)")
        return AWSResponse(request.url, response.status, response.headers, response)

    client.meta.events.register("before-send.s3", send)
    return client


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _bucket_url(connection: Connection, session: Session, region: str) -> str:
    """Returns where a bucket is: below the endpoint, or where AWS's own rules put it."""
    if connection.endpoint:
        return f"{connection.endpoint.rstrip('/')}/{connection.bucket}"
    client = session.create_client(
        "s3", region_name=region, config=_config(connection, signature_version=UNSIGNED)
    )
    url = str(client.generate_presigned_url("head_bucket", Params={"Bucket": connection.bucket}))
    return url.partition("?")[0].rstrip("/")


def _read(response: urllib3.BaseHTTPResponse, most: int, seconds: float) -> bytes | None:
    """Returns a body, or None where it is over `most` bytes."""
    parts, begun, size = BytesIO(), time.monotonic(), 0
    while chunk := response.read1(_CHUNK):
        size += len(chunk)
        if size > most:
            return None
        parts.write(chunk)
        if time.monotonic() - begun > seconds + size / MIN_RATE:
            raise TimeoutError("the answer comes too slowly")
    return parts.getvalue()
