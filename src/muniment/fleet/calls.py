"""Calls to other nodes: mutual TLS, a token, bounds on time and size."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import httpx

from muniment import __version__
from muniment.errors import MunimentError, NotFound, SettingsError
from muniment.fleet.heads import Heads, HeadTransport
from muniment.settings import FleetSettings

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
MAX_ANSWER = 4 << 20
PLAIN = "identity"
"""The one coding of answers: what is packed is bounded only after it was unpacked."""


class PeerFailing(MunimentError):
    """Another node cannot be reached, does not answer in time, or answers with an error."""

    slug = "peer-failing"
    title = "Another node does not answer"


class Calls:
    """Calls other nodes as this one; for any thread. Close it after use.

    Urls come from members, which may lie. The token goes over TLS to who has a certificate of the
    fleet's own authority, or is named in the settings; in plain text to this machine alone. Other
    plain text is spoken only where this node is reached by it, too.
    """

    def __init__(self, fleet: FleetSettings, *, transport: httpx.BaseTransport | None = None):
        """Reads the files of the settings. Raises SettingsError."""
        self._token, self._ca = fleet.token, fleet.ca
        self._plain = urlsplit(fleet.url).scheme == "http"
        self._named = {_origin(one) for one in (fleet.url, *fleet.members)}
        self._heads = Heads()
        limits = httpx.Limits(max_connections=1_000, max_keepalive_connections=200)
        self._http = httpx.Client(
            headers={"user-agent": f"muniment/{__version__}", "accept-encoding": PLAIN},
            trust_env=False,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            transport=transport or HeadTransport(_tls(fleet), limits, self._heads),
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def get(self, url: str, *, server_name: str = "", most: int = MAX_ANSWER) -> bytes:
        """Returns the body of an answer. `server_name` is what the certificate is to be for, where
        the url names an address. Raises PeerFailing, NotFound.
        """
        until = time.monotonic() + ANSWER_SECONDS
        with self.stream(url, server_name=server_name) as response:
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > most:
                    raise PeerFailing(f"{url} answers with more than {most:,} bytes")
                if time.monotonic() > until:
                    raise PeerFailing(f"{url} does not answer within {ANSWER_SECONDS:g} s")
            return bytes(body)

    @contextmanager
    def stream(
        self,
        url: str,
        params: Mapping[str, str | int | float] | None = None,
        *,
        server_name: str = "",
        seconds: float = ANSWER_SECONDS,
    ) -> Iterator[httpx.Response]:
        """An answer whose body is read as it comes, silent for `seconds` at most.

        Its head is there in `seconds` as well. Raises PeerFailing, NotFound.
        """
        extensions = {"sni_hostname": server_name} if server_name else {}
        headers = self._headers(url, server_name)
        timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            with ExitStack() as stack:
                with self._heads.within(seconds):
                    asked = self._http.stream(
                        "GET",
                        url,
                        params=dict(params) if params else None,
                        headers=headers,
                        timeout=timeout,
                        extensions=extensions,
                    )
                    response = stack.enter_context(asked)
                if response.status_code == httpx.codes.NOT_FOUND:
                    raise NotFound(f"{url} has no such thing")
                if not response.is_success:
                    raise PeerFailing(f"{url} answers {response.status_code}")
                if response.headers.get("content-encoding", PLAIN).lower() != PLAIN:
                    raise PeerFailing(f"{url} packs its answer, which nobody asked for")
                yield response
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            raise PeerFailing(f"{url}: {str(error) or type(error).__name__}") from error

    def _headers(self, url: str, server_name: str) -> Mapping[str, str]:
        parts = _split(url)
        here = _is_loopback(parts.hostname or "")
        if parts.scheme == "http" and not (here or self._plain):
            raise PeerFailing(f"{url} is plain text, and this fleet speaks TLS")
        named = bool(server_name) or _origin(url) in self._named
        known = here or (parts.scheme == "https" and (self._ca is not None or named))
        if self._token is None or not known:
            return {}
        return {"authorization": f"Bearer {read_token(self._token)}"}


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise PeerFailing("a url that is none") from error


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: Path) -> str:
    """Reads a bearer token, each time anew: it may be renewed. Raises SettingsError."""
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: the token for the other nodes cannot be read") from error
    if not token:
        raise SettingsError(f"{path} is empty: it is to hold the token for the other nodes")
    return token


def _tls(fleet: FleetSettings) -> ssl.SSLContext:
    """A client's context: TLS 1.2 and up, this node's certificate, the fleet's authority."""
    try:
        context = ssl.create_default_context(cafile=str(fleet.ca) if fleet.ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if fleet.certificate is not None and fleet.key is not None:
            context.load_cert_chain(fleet.certificate, fleet.key)
    except (OSError, ssl.SSLError) as error:
        named = f"{fleet.ca}, {fleet.certificate}, {fleet.key}"
        raise SettingsError(f"fleet: {named} cannot be used for TLS: {error}") from error
    return context
