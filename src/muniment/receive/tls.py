"""TLS of servers: the context, its renewal, and who a client certificate says the sender is."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any, NoReturn

from muniment.errors import SettingsError

MAX_NAME = 128
_logger = logging.getLogger(__name__)


class ServerContext(ssl.SSLContext):
    """A server's context that takes renewed files without a restart.

    Each handshake looks whether certificate, key or the authorities of clients have changed, and
    is then led by a new context made of all three, which knows no session of the one before.
    Files that do not go together (yet) change nothing.
    """

    _files: tuple[Path, Path, Path | None]
    _protocols: tuple[str, ...]
    _loaded: object = None
    _current: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begins a handshake."""
        self._renew()
        return self._current.wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """The same on a socket."""
        self._renew()
        return self._current.wrap_socket(*arguments, **named)

    def load(
        self, certificate: Path, key: Path, client_ca: Path | None, protocols: tuple[str, ...]
    ) -> None:
        """Loads the files. Raises SettingsError."""
        self._files, self._protocols = (certificate, key, client_ca), protocols
        state = self._state()
        self._current = _context(certificate, key, client_ca, protocols)
        self._loaded = state

    def _state(self) -> object:
        try:
            found = [path.stat() for path in self._files if path is not None]
        except OSError:
            return None
        return [(one.st_mtime_ns, one.st_size, one.st_ino) for one in found]

    def _renew(self) -> None:
        state = self._state()
        if state in (None, self._loaded):
            return
        self._loaded = state
        try:
            self._current = _context(*self._files, self._protocols)
        except SettingsError as error:
            _logger.warning("the old certificate stays: %s", error.detail)
        else:
            _logger.info("%s was renewed", self._files[0])


def tls_context(
    certificate: Path,
    key: Path,
    client_ca: Path | None = None,
    protocols: tuple[str, ...] = ("http/1.1",),
) -> ssl.SSLContext:
    """Returns a server's TLS context: 1.2 and up. Raises SettingsError naming what is wrong.

    With `client_ca` (PEM) a client certificate that one of these authorities signed is required.
    `protocols` are offered by ALPN; none for protocols that have no name there.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.load(certificate, key, client_ca, protocols)
    return context


def _context(
    certificate: Path, key: Path, client_ca: Path | None, protocols: tuple[str, ...]
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # A sender that writes and never reads would have tickets unread when it closes: the kernel
    # then resets the connection, and what was sent last is lost.
    context.num_tickets = 0
    if protocols:
        context.set_alpn_protocols(list(protocols))
    _load(context, certificate, key)
    if client_ca is not None:
        _require_client(context, client_ca)
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    def encrypted() -> NoReturn:
        raise SettingsError(f"{key} is encrypted: Muniment has no password for it")

    try:
        context.load_cert_chain(certificate, key, encrypted)
    except FileNotFoundError as error:
        missing = [str(path) for path in (certificate, key) if not path.is_file()]
        raise SettingsError(f"there is no file {' nor '.join(missing)}") from error
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(f"{key} is not the key of {certificate}") from error
        raise SettingsError(f"{certificate} and {key} cannot be used for TLS: {error}") from error
    except OSError as error:
        raise SettingsError(f"{certificate} and {key} cannot be used for TLS: {error}") from error


def _require_client(context: ssl.SSLContext, client_ca: Path) -> None:
    try:
        context.load_verify_locations(cafile=client_ca)
    except FileNotFoundError as error:
        raise SettingsError(f"there is no file {client_ca}") from error
    except OSError as error:
        raise SettingsError(f"{client_ca} holds no certificate authority: {error}") from error
    if not context.get_ca_certs():
        raise SettingsError(f"{client_ca} holds no certificate authority")
    context.verify_mode = ssl.CERT_REQUIRED


def certificate_name(found: ssl.SSLObject | None) -> str:
    """Returns the name in the peer's verified certificate; empty where there is none.

    The first DNS name of subjectAltName, else its first URI, else its first e-mail address, else
    the subject's common name, as at most MAX_NAME printable ASCII characters: `?` for others.
    """
    certificate: Any = found.getpeercert() if found is not None else None
    if not certificate:
        return ""
    pairs = list(certificate.get("subjectAltName", ()))
    pairs += [pair for part in certificate.get("subject", ()) for pair in part]
    for wanted in ("DNS", "URI", "email", "commonName"):
        for kind, value in pairs:
            if kind == wanted and value:
                return "".join(c if " " <= c <= "~" else "?" for c in value[:MAX_NAME])
    return ""


def certificate_names(found: ssl.SSLObject | None) -> frozenset[str]:
    """Returns every name by which the peer's verified certificate can be meant.

    The DNS names of subjectAltName and the subject's common names, as they stand there.
    """
    certificate: Any = found.getpeercert() if found is not None else None
    if not certificate:
        return frozenset()
    pairs = list(certificate.get("subjectAltName", ()))
    pairs += [pair for part in certificate.get("subject", ()) for pair in part]
    return frozenset(value for kind, value in pairs if kind in ("DNS", "commonName") and value)
