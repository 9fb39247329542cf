"""The HTTP interface of a Muniment server, with its errors as errors of Muniment."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from muniment import __version__
from muniment.cli.problems import error_of
from muniment.errors import MunimentError, SettingsError, TooLarge

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 120.0
FILE_SECONDS = 600.0
"""A whole file is made durable, perhaps in a remote store, before it is answered."""

CERTIFICATE, KEY = "MUNIMENT_CERT", "MUNIMENT_KEY"
"""Variables that name PEM files; a certificate's file may hold the key as well."""

MAX_ANSWER = 64 << 20
"""Bytes of an answer that is taken into memory."""


class Unreachable(MunimentError):
    """The server cannot be reached, or the connection broke before the answer was whole."""

    slug = "unreachable"
    title = "The server cannot be reached"


class Server:
    """One server; close it after use. Every method raises MunimentError.

    Proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`) are used, but never to reach a loopback
    address. `MUNIMENT_CERT` and `MUNIMENT_KEY` name what a node that asks for a client's
    certificate is shown.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        ca: Path | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        headers = {"user-agent": f"muniment/{__version__}"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        try:
            verify = _trust(ca)
            self._http = httpx.Client(
                base_url=url,
                headers=headers,
                verify=verify,
                trust_env=not _is_loopback(url),
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
                transport=transport,
            )
        except (ssl.SSLError, httpx.InvalidURL, UnicodeEncodeError, ValueError) as error:
            raise SettingsError(f"{ca or url}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def get_json(self, path: str, params: Mapping[str, str | int | None] | None = None) -> Any:
        """Returns the decoded answer."""
        return _decode(self._ask("GET", path, params=_given(params)))

    def get_bytes(self, path: str) -> bytes:
        """Returns the body of the answer, MAX_ANSWER bytes at most."""
        return self._ask("GET", path)[1]

    def post_json(self, path: str, value: object) -> Any:
        """Sends a JSON value and returns the decoded answer."""
        return _decode(self._ask("POST", path, json=value))

    def delete(self, path: str) -> None:
        """Removes what the path names."""
        self._ask("DELETE", path)

    def append(
        self, log: str, source: str, body: bytes, media_type: str, id_: str
    ) -> dict[str, Any]:
        """Sends one batch of entries with its Idempotency-Key; returns the acknowledgement."""
        headers = {"content-type": media_type, "idempotency-key": id_}
        path = f"/api/v1/logs/{quote(log)}/entries"
        answer = self._ask("POST", path, params={"as": source}, content=body, headers=headers)
        found = _decode(answer)
        if not isinstance(found, dict):
            raise Unreachable(f"{self.url} gives no acknowledgement: is it a Muniment server?")
        return found

    def put_file(
        self, path: str, pieces: Iterator[bytes], headers: Mapping[str, str], **params: str
    ) -> Any:
        """Sends a body as it is read; returns the decoded answer."""
        timeout = httpx.Timeout(FILE_SECONDS, connect=CONNECT_SECONDS)
        return _decode(
            self._ask(
                "PUT",
                path,
                params=params,
                content=pieces,
                headers=dict(headers),
                timeout=timeout,
            )
        )

    @contextmanager
    def stream(
        self, path: str, params: Mapping[str, str | int | None], headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        """A response whose body is read as it comes; it may be silent for 30 s at most."""
        timeout = httpx.Timeout(30.0, connect=CONNECT_SECONDS)
        with (
            _translated(self.url),
            self._http.stream(
                "GET", path, params=_given(params), headers=dict(headers), timeout=timeout
            ) as response,
        ):
            if not response.is_success:
                raise error_of(response, _bounded(response))
            yield response

    def _ask(self, method: str, path: str, **request: Any) -> tuple[httpx.Response, bytes]:
        with _translated(self.url), self._http.stream(method, path, **request) as response:
            body = _bounded(response)
            if not response.is_success:
                raise error_of(response, body)
            return response, body


def _trust(ca: Path | None) -> ssl.SSLContext | bool:
    """Whom to believe, and what to show of oneself. Raises SettingsError, or SSLError of `ca`."""
    shown, key = os.environ.get(CERTIFICATE), os.environ.get(KEY)
    if not shown:
        return ssl.create_default_context(cafile=str(ca)) if ca else True
    context = ssl.create_default_context(cafile=str(ca)) if ca else httpx.create_ssl_context()
    try:
        context.load_cert_chain(shown, key or None)
    except OSError as error:
        raise SettingsError(f"{CERTIFICATE}, {KEY}: {error.strerror or error}") from error
    return context


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise Unreachable(f"{url} does not answer in time") from error
    except httpx.HTTPError as error:
        raise Unreachable(f"{url} cannot be reached: {_reason(error, url)}") from error
    except httpx.InvalidURL as error:
        raise SettingsError(f"{url}: {error}") from error


def _reason(error: httpx.HTTPError, url: str) -> str:
    reason = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return f"{reason}; --ca names the authority of its certificate"
    ended = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
    if ended and url.startswith("https:") and not os.environ.get(CERTIFICATE):
        return f"{reason}; if it asks for a client's certificate, name one in {CERTIFICATE}"
    return reason


def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_ANSWER:
            raise TooLarge(f"the answer of the server is over {MAX_ANSWER:,} bytes")
    return bytes(body)


def _decode(answer: tuple[httpx.Response, bytes]) -> Any:
    import json

    response, body = answer
    try:
        return json.loads(body)
    except ValueError as error:
        raise Unreachable(
            f"{response.url} does not answer in JSON: is it a Muniment server?"
        ) from error


def _given(params: Mapping[str, str | int | None] | None) -> dict[str, str | int]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
