"""Syslog over UDP, TCP and TLS."""

from __future__ import annotations

from muniment.receive.syslog.tcp import SyslogTcp
from muniment.receive.syslog.udp import SyslogUdp

__all__ = ["SyslogTcp", "SyslogUdp"]
