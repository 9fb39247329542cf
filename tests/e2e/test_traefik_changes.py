"""A real Traefik under traffic, configured by a file that it watches: each change is told once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from muniment.capture.redaction import redactor
from muniment.capture.systems.traefik import Settings, watchers

from .harness.backend import Backend
from .harness.process import Process, free_port
from .harness.programs import go_program
from .harness.waiting import wait_for
from .harness.watching import Watching, watching
from .test_nginx_changes import traffic

COST = "about 6 minutes of CPU and 3 GB below the Go caches"
PACKAGE = "github.com/traefik/traefik/v3/cmd/traefik"


@dataclass
class Edge:
    """A running Traefik whose dynamic configuration a test edits."""

    directory: Path
    process: Process
    ports: dict[str, int]
    backend: int
    servers: dict[str, int] = field(default_factory=dict)
    middlewares: dict[str, Any] = field(default_factory=dict)
    rule: str = "PathPrefix(`/`)"

    def url(self, door: str) -> str:
        """Where an entry point listens."""
        return f"http://127.0.0.1:{self.ports[door]}"

    def write(self) -> None:
        """Writes the dynamic configuration; JSON is YAML too."""
        servers = [{"url": url, "weight": weight} for url, weight in self.servers.items()]
        check = {"path": "/", "interval": "1s", "timeout": "1s"}
        http = {
            "routers": {
                "api": {"rule": "PathPrefix(`/api`)", "entryPoints": ["admin"], "service": API},
                "app": {
                    "rule": self.rule,
                    "entryPoints": ["web"],
                    "service": "app",
                    "middlewares": list(self.middlewares),
                },
            },
            "services": {"app": {"loadBalancer": {"servers": servers, "healthCheck": check}}},
        }
        if self.middlewares:
            http["middlewares"] = self.middlewares
        draft = self.directory / "dynamic.draft"
        draft.write_text(json.dumps({"http": http}))
        draft.replace(self.directory / "dynamic" / "app.yml")


API = "api@internal"


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    command = go_program("traefik", heavy=COST, package=PACKAGE)
    backend, ports = Backend(), {name: free_port() for name in ("web", "admin")}
    (tmp_path / "dynamic").mkdir()
    found = Edge(tmp_path, None, ports, backend.port, {f"http://127.0.0.1:{backend.port}": 3})
    found.middlewares = {"edge": {"headers": {"customRequestHeaders": {"X-Api-Key": "one"}}}}
    found.write()
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {name: {"address": f"127.0.0.1:{port}"} for name, port in ports.items()},
        "api": {},
        "serversTransport": {"maxIdleConnsPerHost": -1},
        "metrics": {"prometheus": {"entryPoint": "admin"}},
        "accessLog": {"filePath": str(tmp_path / "access.log")},
        "providers": {"file": {"directory": str(tmp_path / "dynamic"), "watch": True}},
    }
    config = tmp_path / "traefik.yml"
    config.write_text(json.dumps(static))
    found.process = Process([str(command), f"--configFile={config}"], tmp_path / "traefik.txt")
    try:
        for port in ports.values():
            found.process.wait_listening(port)
        wait_for(lambda: httpx.get(found.url("web")).status_code == 200, "the route")
        yield found
    finally:
        found.process.end_group()
        backend.close()


@pytest.fixture
def looks(edge: Edge, tmp_path: Path) -> Iterator[Watching]:
    admin = edge.url("admin")
    settings = Settings(name="edge", url=admin, metrics=f"{admin}/metrics")
    (watcher,) = watchers(settings, redactor(b"k" * 32))
    with watching(watcher, tmp_path / "known") as found:
        yield found


def test_traffic_is_no_change_and_edits_are_told_once(edge: Edge, looks: Watching) -> None:
    service, router = "traefik:edge/service/app@file", "traefik:edge/router/app@file"
    address = f"http://127.0.0.1:{edge.backend}"
    with traffic(edge.url("web")):
        looks.quiet(10)
        edge.servers[address] = 7
        edge.write()
        weighed = looks.changed(service)[service]
        edge.servers[address.replace("127.0.0.1", "localhost")] = 1
        edge.write()
        added = looks.changed(service)[service]
        edge.rule = "PathPrefix(`/`) && !Path(`/closed`)"
        edge.write()
        routed = looks.changed(router)[router]
        looks.quiet()
    (field,) = weighed["fields"]
    assert (field["before"], field["after"]) == (3, 7)
    assert [one.get("after") for one in added["fields"]] == [{"weight": 1}]
    assert "/rule" in {one["path"] for one in routed["fields"]}
    assert routed["where"] == {"frontend": "app@file", "backend": "app@file"}


def test_a_server_that_fails_is_health_and_not_configuration(edge: Edge, looks: Watching) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    edge.servers[gone] = 1
    edge.write()
    health = "traefik:edge/health/service/app@file"
    events = looks.changed("traefik:edge/service/app@file", health)
    assert events[health]["fields"] == [
        {"path": "/down/" + gone.replace("/", "~1"), "after": "DOWN"}
    ]


def test_secrets_stay_on_the_host(edge: Edge, looks: Watching) -> None:
    edge.middlewares["edge"]["headers"]["customRequestHeaders"]["X-Api-Key"] = "two-secret"
    edge.write()
    name = "traefik:edge/middleware/edge@file"
    event = looks.changed(name)[name]
    assert "two-secret" not in str(event)
    assert event["redacted"] == ["/headers/customRequestHeaders/X-Api-Key"]


def test_the_counter_is_the_access_log(edge: Edge, looks: Watching) -> None:
    log = edge.directory / "access.log"
    before, lines = looks.counters["requests"], len(log.read_bytes().splitlines())
    with httpx.Client() as client:
        for number in range(200):
            client.get(f"{edge.url('web')}/{number}")

    def served() -> int:
        looks.look()
        return looks.counters["requests"]["served"] - before["served"]

    wait_for(lambda: served() >= 200, "the counter")
    assert served() == 200
    assert len(log.read_bytes().splitlines()) - lines == 200
    assert looks.counters["requests"]["epoch"] == before["epoch"]
