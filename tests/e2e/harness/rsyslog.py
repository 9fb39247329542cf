"""A real rsyslog that follows a file and forwards its lines, configured as the reference says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.authority import SERVER, Issued

from .load import find
from .page import documented
from .process import Process
from .waiting import wait_for

GNUTLS = "*/rsyslog/lmnsd_gtls.so"
FOLLOWED = "/var/log/nginx/access.log"
_TCP, _TLS = 'target="127.0.0.1"', 'streamDriver="gtls"'


@dataclass(frozen=True)
class Trust:
    """What TLS takes: whom rsyslog believes, and what it shows of itself."""

    authority: Path
    shown: Issued


@dataclass
class Rsyslog:
    """A running rsyslog and the file that it follows."""

    process: Process
    followed: Path

    def log(self, lines: Iterable[bytes]) -> None:
        """Appends lines to the file, as a web server does."""
        with self.followed.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))


@contextlib.contextmanager
def rsyslog(
    directory: Path, port: int, *, trust: Trust | None = None, lines: bool = False
) -> Iterator[Rsyslog]:
    """An rsyslog that forwards over TCP, or over TLS with a certificate; gone afterwards.

    With `lines` messages are RFC 3164 and end in a newline, else RFC 5424 and octet-counted.
    """
    command = find("rsyslogd", "rsyslog")
    home = directory / "rsyslog"
    home.mkdir()
    config, followed = home / "rsyslog.conf", home / "access.log"
    replaced = {"global(": f'global(workDirectory="{home}" ', FOLLOWED: str(followed)}
    if trust is None:
        replaced |= {"5514": str(port)}
    else:
        if not any(Path("/usr/lib").glob(GNUTLS)):
            pytest.skip("rsyslog speaks no TLS (Debian package rsyslog-gnutls)")
        replaced |= {
            'target="log.example.com"': 'target="127.0.0.1"',
            "log.example.com": SERVER,
            "6514": str(port),
            "/etc/rsyslog.d/authority.pem": str(trust.authority),
            "/etc/rsyslog.d/edge-1.crt": str(trust.shown.certificate),
            "/etc/rsyslog.d/edge-1.key": str(trust.shown.key),
        }
    if lines:
        replaced |= {"octet-counted": "traditional", "SyslogProtocol23": "TraditionalForward"}
    config.write_text(documented("syslog.md", _TCP if trust is None else _TLS, replaced))
    followed.touch()
    options = ["-n", "-f", str(config), "-i", str(home / "pid")]
    process = Process([command, *options], directory / "rsyslog.txt")
    try:
        wait_for((home / "pid").exists, lambda: f"rsyslog to start: {process.printed()}")
        yield Rsyslog(process, followed)
    finally:
        process.end_group()
