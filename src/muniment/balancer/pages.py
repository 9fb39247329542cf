"""A balancer's own pages over HTTP: small, bounded, and over a Unix socket where it has one."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import orjson

from muniment.errors import TryLater

MOST = 64 << 20
"""Bytes that a page may have."""

SECONDS = 10.0
"""How long a connection, a write or a read may take."""


class NotSeen(TryLater):
    """A page could not be had, or is not what it should be; the next look may have it."""

    slug = "not-seen"
    title = "The balancer's page could not be read"


class Pages:
    """Reads pages below an address, on connections that are kept. Used from one thread.

    `socket` is a Unix socket to go through, `ca` a PEM file of who may have signed its certificate.
    """

    def __init__(self, url: str, socket: Path | None = None, ca: Path | None = None) -> None:
        """Raises NotSeen for an authority file that cannot be read."""
        self._url = url.rstrip("/")
        self._place = self._url.rpartition("@")[2]  # what stands before it is a password
        try:
            transport = httpx.HTTPTransport(
                uds=None if socket is None else str(socket),
                verify=ssl.create_default_context(cafile=str(ca)) if ca else True,
                trust_env=False,
            )
        except OSError as error:
            raise NotSeen(f"{ca}: {error}") from error
        self._client = httpx.Client(transport=transport, timeout=SECONDS, trust_env=False)

    def text(self, path: str, most: int = MOST) -> bytes:
        """Returns the body of a page. Raises NotSeen."""
        url = self._url + path
        body = bytearray()
        try:
            with self._client.stream("GET", url) as answer:
                if answer.status_code != 200:
                    raise NotSeen(f"{path or self._place} answers {answer.status_code}")
                for part in answer.iter_bytes(65_536):
                    body += part
                    if len(body) > most:
                        raise NotSeen(f"{path or self._place} has more than {most} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise NotSeen(f"{path or self._place}: {type(error).__name__}: {error}") from error
        return bytes(body)

    def json(self, path: str, most: int = MOST) -> dict[str, Any]:
        """Returns the object that a page is. Raises NotSeen."""
        try:
            found = orjson.loads(self.text(path, most))
        except orjson.JSONDecodeError as error:
            raise NotSeen(f"{path} is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise NotSeen(f"{path} is not an object")
        return found

    def close(self) -> None:
        self._client.close()
