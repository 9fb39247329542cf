"""Descriptions of fleets for the tests, and the certificates that they name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from tests.authority import Authority

from muniment.edge.description import Description, load

MINIMAL = """
[listen]
https = ["127.0.0.1:8443"]
[tls]
certificate = "edge.pem"
[[node]]
name = "n1"
address = "127.0.0.1:8470"
"""

EVERYTHING = """
name = "edge-1"
jurisdiction = "eu"
region = "eu-central"

[listen]
https = ["0.0.0.0:8443", "[::]:8444"]
http = "0.0.0.0:8080"
proxy_from = ["192.0.2.0/24"]

[tls]
certificate = "edge.pem"
client_ca = "ca.pem"
client_certificates = "required"
minimum = "1.3"
nodes_ca = "ca.pem"
node_certificate = "edge.pem"
nodes_name = "nodes.test"

[[node]]
name = "n1"
address = "10.0.0.1:8470"
roles = ["ingest"]
jurisdiction = "eu"
region = "eu-central"
listeners = { syslog = "10.0.0.1:6514", forward = "10.0.0.1:24224" }

[[node]]
name = "n2"
address = "[2001:db8::2]:8470"
roles = ["ingest", "query"]
jurisdiction = "us"
region = "us-east"
tls_name = "n2.example"
state = "draining"
listeners = { syslog = "[2001:db8::2]:6514" }

[[node]]
name = "n3"
address = "localhost:8473"
roles = ["query"]
jurisdiction = "eu"
region = "eu-west"

[[log]]
name = "default"
[[log]]
name = "hostnames"
residency = "eu"
[[log]]
name = "us.log"
residency = "us"

[[stream]]
protocol = "syslog"
listen = "0.0.0.0:6514"
log = "hostnames"
[[stream]]
protocol = "forward"
listen = "127.0.0.1:24224"
tls = false
log = "default"

[limits]
requests = 50
body = "1MiB"

[allow]
networks = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"]
write = ["10.1.0.0/16"]
read = ["10.0.0.0/8"]
admin = ["127.0.0.1"]

[cache]
size = 16
age = 30

[own_log]
to = "10.0.0.1:6515"
tls = true
tls_name = "n1.example"
"""


def many(count: int) -> str:
    """A fleet of many nodes."""
    nodes = "".join(
        f'[[node]]\nname = "n{n}"\naddress = "127.0.{n // 250}.{n % 250 + 1}:8470"\n'
        for n in range(count)
    )
    return MINIMAL.partition("[[node]]")[0] + nodes


def written(directory: Path, text: str) -> Description:
    """Writes a description and the certificates beside it, and loads it."""
    authority = Authority(directory, "ca")
    issued = authority.issue("edge", [x509.DNSName("edge.test")])
    pem = issued.certificate.read_bytes() + issued.key.read_bytes()
    (directory / "edge.pem").write_bytes(pem)
    path = directory / "fleet.toml"
    path.write_text(text)
    return load(path)


def parsed(text: str) -> dict[str, Any]:
    """The tables of a description."""
    return tomllib.loads(text)


def stage(directory: Path, files: Mapping[str, str]) -> Path:
    """Puts rendered files where the balancer can be asked about them."""
    for name, content in files.items():
        (directory / name).write_text(content)
    return directory
