"""What is changed on a real HAProxy is one change event each; what is not changed is none."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .harness.agent import Agent
from .harness.certificate import write_certificate
from .harness.haproxy_runtime import PASSWORD, RuntimeHAProxy, Traffic, runtime_haproxy
from .harness.load import exchange, request
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

EVERY = 0.3
QUIET_SECONDS = float(os.environ.get("MUNIMENT_TEST_QUIET_SECONDS", "5"))
"""How long nothing may be told under traffic; the claim is for ten minutes."""

MARKER = "haproxy:edge/server/app/marker"
Change = dict[str, Any]


@dataclass
class Watched:
    """A HAProxy, the agent that looks at it, and the log."""

    muniment: MunimentServer
    haproxy: RuntimeHAProxy
    agent: Agent
    marker: int = 1

    def entries(self, source: str) -> list[dict[str, Any]]:
        """All entries of a source."""
        found = []
        for entry in self.muniment.stored():
            header, raw = split_entry(entry)
            if json.loads(header)["as"] == source:
                found.append(json.loads(raw))
        return found

    def changes(self) -> list[Change]:
        return self.entries("change")

    def told(self, act: Callable[[], object]) -> list[Change]:
        """What an act led to: all that is told until a later change of a server is told."""
        before = len(self.changes())
        act()
        wait_for(
            lambda: any(one["object"] != MARKER for one in self.changes()[before:]),
            "a change event",
        )
        self.marker = self.marker % 200 + 1
        assert self.haproxy.ask(f"set server app/marker weight {self.marker}") == ""

        def marked() -> bool:
            return any(
                one["object"] == MARKER and one["state"]["weight"] == self.marker
                for one in self.changes()[before:]
            )

        wait_for(marked, "the event of the marker")
        return [one for one in self.changes()[before:] if one["object"] != MARKER]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("changes")
    with (
        serving(directory) as muniment,
        runtime_haproxy(directory, muniment.syslog_port) as haproxy,
    ):
        sections = f"""
            [[haproxy]]
            name = "edge"
            socket = "{haproxy.address}"
            files = ["{directory}/*.cfg"]
            every = {EVERY}
        """
        agent = Agent(directory / "agent", muniment.url, sections)
        try:
            agent.start()
            found = Watched(muniment, haproxy, agent)
            wait_for(lambda: len(found.changes()) >= 16, "the first sight of everything")
            with Traffic(haproxy.ports["web"]) as traffic:
                yield found
            assert traffic.done > 0
            assert [failure for failure in traffic.failed if failure] == []
        finally:
            agent.close()


def fields(change: Change) -> list[tuple[str, Any, Any]]:
    return [(one["path"], one.get("before"), one.get("after")) for one in change["fields"]]


def one(found: list[Change], name: str, what: str) -> Change:
    (change,) = found
    assert (change["object"], change["change"]) == (f"haproxy:edge/{name}", what)
    return change


def test_the_first_sight_is_everything_without_secrets(watched: Watched) -> None:
    first = [change for change in watched.changes() if change["change"] == "observe"]
    kinds = {change["object"].split("/")[1] for change in first}
    assert kinds == {
        "process",
        "frontend",
        "backend",
        "server",
        "certificate",
        "map",
        "acl",
        "file",
    }
    stored = b"".join(watched.muniment.stored())
    assert PASSWORD.encode() not in stored
    assert b"PRIVATE KEY" not in stored


def test_a_weight(watched: Watched) -> None:
    found = watched.told(lambda: watched.haproxy.ask("set server app/w1 weight 60"))
    change = one(found, "server/app/w1", "update")
    assert fields(change) == [("/weight", 100, 60)]
    assert change["where"] == {"backend": "app", "server": "w1"}
    assert change["since"] < change["time"]
    found = watched.told(lambda: watched.haproxy.ask("set weight app/w1 100"))
    assert fields(one(found, "server/app/w1", "update")) == [("/weight", 60, 100)]


def test_an_address(watched: Watched) -> None:
    server = next(
        change for change in watched.changes() if change["object"].endswith("/server/spare/s1")
    )
    port = server["state"]["port"]
    found = watched.told(
        lambda: watched.haproxy.ask("set server spare/s1 addr 127.0.0.2 port 8081")
    )
    assert fields(one(found, "server/spare/s1", "update")) == [
        ("/address", "127.0.0.1", "127.0.0.2"),
        ("/port", port, 8081),
    ]
    watched.told(lambda: watched.haproxy.ask(f"set server spare/s1 addr 127.0.0.1 port {port}"))


def test_a_maxconn_of_server_frontend_and_process(watched: Watched) -> None:
    found = watched.told(lambda: watched.haproxy.ask("set maxconn server app/w2 41"))
    assert fields(one(found, "server/app/w2", "update")) == [("/maxconn", 40, 41)]
    watched.told(lambda: watched.haproxy.ask("set maxconn server app/w2 40"))
    found = watched.told(lambda: watched.haproxy.ask("set maxconn frontend web 299"))
    assert fields(one(found, "frontend/web", "update")) == [("/maxconn", 300, 299)]
    watched.told(lambda: watched.haproxy.ask("set maxconn frontend web 300"))
    found = watched.told(lambda: watched.haproxy.ask("set maxconn global 399"))
    assert fields(one(found, "process/settings", "update")) == [("/maxconn", 400, 399)]
    watched.told(lambda: watched.haproxy.ask("set maxconn global 400"))


def test_a_server_added_and_removed(watched: Watched) -> None:
    found = watched.told(lambda: watched.haproxy.ask("add server spare/s9 127.0.0.1:9 weight 7"))
    change = one(found, "server/spare/s9", "create")
    assert change["state"]["weight"] == 7
    assert change["state"]["admin"] == "maint"
    found = watched.told(lambda: watched.haproxy.ask("del server spare/s9"))
    change = one(found, "server/spare/s9", "delete")
    assert "state" not in change


def test_drain_and_maintenance(watched: Watched) -> None:
    found = watched.told(lambda: watched.haproxy.ask("set server app/w2 state drain"))
    assert fields(one(found, "server/app/w2", "update")) == [
        ("/admin", "ready", "drain"),
        ("/admin_by", None, ["runtime"]),
    ]
    found = watched.told(lambda: watched.haproxy.ask("set server app/w2 state maint"))
    assert ("/admin", "drain", "maint") in fields(one(found, "server/app/w2", "update"))
    found = watched.told(lambda: watched.haproxy.ask("set server app/w2 state ready"))
    assert ("/admin", "maint", "ready") in fields(one(found, "server/app/w2", "update"))


def test_a_frontend_disabled(watched: Watched) -> None:
    found = watched.told(lambda: watched.haproxy.ask("disable frontend quiet"))
    assert fields(one(found, "frontend/quiet", "update")) == [("/status", "open", "paused")]
    found = watched.told(lambda: watched.haproxy.ask("enable frontend quiet"))
    assert fields(one(found, "frontend/quiet", "update")) == [("/status", "paused", "open")]


def test_map_entries(watched: Watched) -> None:
    path = f"{watched.haproxy.directory}/paths.map"
    name = f"map{path}"
    found = watched.told(lambda: watched.haproxy.ask(f"add map {path} /new spare"))
    assert fields(one(found, name, "update")) == [("/entries/~1new", None, "spare")]
    found = watched.told(lambda: watched.haproxy.ask(f"set map {path} /new app"))
    assert fields(one(found, name, "update")) == [("/entries/~1new", "spare", "app")]
    found = watched.told(lambda: watched.haproxy.ask(f"del map {path} /new"))
    assert fields(one(found, name, "update")) == [("/entries/~1new", "app", None)]


def test_acl_entries(watched: Watched) -> None:
    path = f"{watched.haproxy.directory}/blocked.acl"
    found = watched.told(lambda: watched.haproxy.ask(f"add acl {path} 192.0.2.7"))
    assert fields(one(found, f"acl{path}", "update")) == [("/entries/192.0.2.7", None, 1)]
    found = watched.told(lambda: watched.haproxy.ask(f"del acl {path} 192.0.2.7"))
    assert fields(one(found, f"acl{path}", "update")) == [("/entries/192.0.2.7", 1, None)]


def test_a_certificate_rotated_over_the_socket(watched: Watched, tmp_path: Path) -> None:
    path = f"{watched.haproxy.directory}/edge.pem"
    pem = write_certificate(tmp_path).read_text().replace("\n\n", "\n")

    def rotate() -> None:
        watched.haproxy.ask(f"set ssl cert {path} <<\n{pem}\n")
        assert "Success" in watched.haproxy.ask(f"commit ssl cert {path}")

    found = watched.told(rotate)
    change = one(found, f"certificate{path}", "update")
    assert {"/serial", "/sha1"} <= {field["path"] for field in change["fields"]}
    assert change["names"] == [path]


def test_a_configuration_edited_and_loaded(watched: Watched) -> None:
    config = watched.haproxy.config

    def edit(old: str, new: str) -> Callable[[], None]:
        def act() -> None:
            config.write_text(config.read_text().replace(old, new))
            watched.haproxy.reload()

        return act

    found = watched.told(edit("timeout client 5s", "timeout client 6s"))

    changes = {change["object"]: change for change in found}
    assert len(found) == len(changes)
    file = changes.pop(f"haproxy:edge/file{config}")
    process = changes.pop("haproxy:edge/process/settings")
    certificate = changes.pop(f"haproxy:edge/certificate{watched.haproxy.directory}/edge.pem", None)
    assert certificate is not None, "the reload has the certificate of the file again"
    assert changes == {}
    assert "timeout client 6s" in file["state"]["text"]
    assert file["redacted"] == ["/text"]
    assert {field["path"] for field in process["fields"]} <= {"/pid", "/started"}
    watched.told(edit("timeout client 6s", "timeout client 5s"))


def test_counters_count_what_the_log_has(watched: Watched) -> None:
    def counter(name: str) -> Change:
        return next(
            one for one in watched.entries("counters")[-1]["counters"] if one["name"] == name
        )

    def logged(name: str) -> int:
        return len(list(watched.muniment.rows(counter(name)["match"])))

    ports = watched.haproxy.ports
    before = {name: (int(counter(name)["served"]), logged(name)) for name in ("quiet", "secure")}
    for _ in range(7):
        assert exchange(ports["quiet"], request("/counted")).status == 200
    trust = watched.haproxy.directory / "edge.pem"
    assert exchange(ports["secure"], request("/counted"), trust=trust).status == 200
    assert exchange(ports["secure"], request("/no-tls")).status is None

    for name, requests in (("quiet", 7), ("secure", 1)):
        served, lines = before[name]
        wait_for(lambda n=name, s=served + requests: counter(n)["served"] >= s, "the counter")
        assert counter(name)["served"] == served + requests
        wait_for(lambda n=name, s=lines + requests: logged(n) >= s, "the lines")
        assert logged(name) == lines + requests
    wait_for(lambda: list(watched.muniment.rows("frontend:secure handshake")), "the handshake")


def test_nothing_is_told_when_nothing_changed(watched: Watched) -> None:
    watched.told(lambda: watched.haproxy.ask("set server app/w1 weight 99"))
    watched.told(lambda: watched.haproxy.ask("set server app/w1 weight 100"))
    before, counted = len(watched.changes()), len(watched.entries("counters"))
    deadline = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        time.sleep(min(1.0, QUIET_SECONDS))
    assert watched.changes()[before:] == []
    assert len(watched.entries("counters")) > counted, "it looked, and the counters moved"


def test_a_change_while_the_agent_is_down_is_told_when_it_is_back(watched: Watched) -> None:
    watched.agent.kill()

    def change_and_start() -> None:
        assert watched.haproxy.ask("set server app/w1 weight 55") == ""
        watched.agent.start()

    found = watched.told(change_and_start)
    assert fields(one(found, "server/app/w1", "update")) == [("/weight", 100, 55)]
    watched.told(lambda: watched.haproxy.ask("set server app/w1 weight 100"))
