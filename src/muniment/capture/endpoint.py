"""One endpoint: a server that takes parcels, over a connection that stays."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import httpx
import orjson

from muniment import __version__
from muniment.capture.parcel import MEDIA, PATH
from muniment.capture.settings import AgentSettings
from muniment.errors import MunimentError, SettingsError

MAX_ANSWER = 1 << 20
MAX_RETRY_AFTER = 300.0
CONNECT_SECONDS = 5.0
_TRY_LATER = (408, 425, 429, 500, 502, 503, 504)


class NotTaken(MunimentError):
    """An endpoint did not take a parcel.

    `sent` says that it may have got it all the same, `refused` that it will say the same again
    until somebody changes something, `wait` how many seconds it wants to be left alone.
    """

    def __init__(
        self, detail: str, *, sent: bool = False, refused: bool = False, wait: float = 0.0
    ) -> None:
        super().__init__(detail)
        self.sent, self.refused, self.wait = sent, refused, wait


class Endpoint:
    """Posts to one server. One thread's; close it after use."""

    def __init__(
        self, url: str, settings: AgentSettings, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url, self._settings, self._transport = url, settings, transport
        self._client: httpx.Client | None = None

    def post(self, parcel: bytes, count: int) -> None:
        """Sends a compressed parcel; returns when its `count` records are kept. Raises NotTaken."""
        headers = {"content-type": MEDIA, "content-encoding": "zstd"}
        path = f"{self.url}/in/{self._settings.log}{PATH}"
        status, body, wait = self._ask("POST", path, content=parcel, headers=headers)
        if status in (200, 201):
            _check_answer(self.url, body, count)
            return
        detail = f"{self.url} answers {status}: {_detail(body)}"
        if status in (401, 403):
            self.close()  # the token may have been renewed in its file
        later = status in _TRY_LATER
        raise NotTaken(detail, sent=status >= 500, refused=not later, wait=wait if later else 0.0)

    def check(self) -> str:
        """Returns what is wrong with the endpoint, empty if nothing: one parcel would be taken.

        It posts a parcel without records, which a server refuses (400) after it has judged who
        sends it and where to.
        """
        path = f"{self.url}/in/{self._settings.log}{PATH}"
        try:
            status, body, _ = self._ask("POST", path, content=b"", headers={"content-type": MEDIA})
        except NotTaken as error:
            return error.detail
        if status == 400 and b"parcel" in body:
            return ""
        return f"{self.url} answers {status}: {_detail(body)}"

    def close(self) -> None:
        """Closes the connection; the next `post` opens another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _ask(
        self, method: str, path: str, *, content: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, float]:
        try:
            client = self._client = self._client or self._open()
            due = monotonic() + self._settings.timeout
            with client.stream(method, path, content=content, headers=headers) as response:
                body = b""
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER:
                        break
                    if monotonic() > due:
                        raise httpx.ReadTimeout("its answer does not end")
                return response.status_code, body, _retry_after(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, SettingsError) as error:
            self.close()
            raise NotTaken(f"{self.url} cannot be reached: {_said(error)}") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self.close()
            raise NotTaken(f"{self.url} did not answer: {_said(error)}", sent=True) from error

    def _open(self) -> httpx.Client:
        settings = self._settings
        headers = {"user-agent": f"muniment-capture/{__version__}"}
        try:
            if settings.token_file is not None:
                token = settings.token_file.read_text(encoding="ascii").strip()
                headers["authorization"] = f"Bearer {token}"
            return httpx.Client(
                headers=headers,
                verify=tls_context(settings) if self.url.startswith("https:") else False,
                trust_env=not _is_loopback(self.url),
                timeout=httpx.Timeout(settings.timeout, connect=CONNECT_SECONDS),
                transport=self._transport,
            )
        except (OSError, ValueError) as error:
            said = (isinstance(error, OSError) and error.strerror) or error
            raise SettingsError(f"token_file {settings.token_file}: {said}") from error


def tls_context(settings: AgentSettings) -> ssl.SSLContext:
    """Returns what TLS needs. Raises SettingsError where a file of it cannot be used."""
    path: Path | None = settings.ca
    try:
        context = ssl.create_default_context(cafile=str(path) if path else None)
        path = settings.client_certificate
        if path is not None:
            context.load_cert_chain(str(path), str(settings.client_key or path))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return context


def _check_answer(url: str, body: bytes, count: int) -> None:
    """Only what says how many records it keeps is an acknowledgement; a proxy's page is none."""
    try:
        answer = orjson.loads(body)
        kept = answer["count"] if "receipt" in answer else None
    except (ValueError, TypeError, KeyError):
        kept = None
    if kept != count:
        raise NotTaken(f"{url} gives no acknowledgement: is it a Muniment server?", refused=True)


def _detail(body: bytes) -> str:
    try:
        found = orjson.loads(body)
        return str(found["detail"])[:300]
    except (ValueError, TypeError, KeyError):
        return body[:100].decode(errors="replace").strip() or "nothing"


def _retry_after(response: httpx.Response) -> float:
    """Seconds of Retry-After (RFC 9110, 10.2.3); 0 where there is none that can be read."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    try:
        wait = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, wait), MAX_RETRY_AFTER)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
