"""A real NGINX under traffic: each edit is told once, with what was and what is, and no more."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from muniment.capture.redaction import redactor
from muniment.capture.systems.nginx import Settings, watchers

from .harness.backend import Backend
from .harness.certificate import write_certificate
from .harness.load import find
from .harness.process import Process, descendants, free_port
from .harness.waiting import wait_for
from .harness.watching import Watching, watching

MAIN = """
daemon off;
worker_processes 2;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log notice;
events { worker_connections 256; }
http {
  client_body_temp_path @DIR@/body;
  proxy_temp_path @DIR@/proxy;
  fastcgi_temp_path @DIR@/fastcgi;
  uwsgi_temp_path @DIR@/uwsgi;
  scgi_temp_path @DIR@/scgi;
  access_log @DIR@/access.log;
  include sites/*.conf;
  server {
    listen 127.0.0.1:@STATUS@;
    location /status { stub_status; access_log off; }
  }
}
"""
SITE = """upstream app {
  server 127.0.0.1:@APP@ weight=100;
}
server {
  listen 127.0.0.1:@WEB@;
  listen 127.0.0.1:@TLS@ ssl;
  server_name edge.test;
  ssl_certificate edge.pem;
  ssl_certificate_key edge.pem;
  location / { proxy_pass http://app; proxy_set_header Authorization "Basic c2VjcmV0"; }
}
"""


@dataclass
class Edge:
    """A running NGINX whose configuration a test edits."""

    directory: Path
    process: Process
    web: int
    tls: int
    status: int
    settings: Settings

    @property
    def site(self) -> Path:
        """The included file."""
        return self.directory / "sites" / "app.conf"

    def edit(self, old: str, new: str) -> None:
        """Replaces a text in the included file."""
        text = self.site.read_text()
        assert old in text
        self.site.write_text(text.replace(old, new))

    def workers(self) -> set[int]:
        """The processes of the workers, those that are ending too."""
        return set(descendants(self.process.pid))

    def reload(self) -> None:
        """Tells NGINX to load its configuration; returns when the old workers are gone."""
        before = self.workers()
        self.process.send(signal.SIGHUP)
        wait_for(lambda: (now := self.workers()) and not now & before, "the new workers")

    def object(self, name: str) -> str:
        """The name of a file of this directory as an object."""
        return f"nginx:edge/file/{str(self.directory / name).lstrip('/')}"


@contextlib.contextmanager
def edge_in(directory: Path) -> Iterator[Edge]:
    """NGINX with an included file, TLS and stub_status; it is gone afterwards."""
    command = find("nginx", "nginx")
    directory.chmod(0o755)
    backend, ports = Backend(), {name: free_port() for name in ("WEB", "TLS", "STATUS")}
    write_certificate(directory)
    values = {**ports, "APP": backend.port, "DIR": directory}

    def filled(text: str) -> str:
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    (directory / "sites").mkdir()
    (directory / "nginx.conf").write_text(filled(MAIN))
    (directory / "sites" / "app.conf").write_text(filled(SITE))
    options = ["-p", str(directory), "-c", str(directory / "nginx.conf")]
    process = Process([command, *options, "-e", str(directory / "error.log")], directory / "out")
    try:
        process.wait_listening(ports["WEB"])
        settings = Settings(
            name="edge",
            config=directory / "nginx.conf",
            prefix=directory,
            binary=Path(command),
            status=f"http://127.0.0.1:{ports['STATUS']}/status",
        )
        yield Edge(directory, process, ports["WEB"], ports["TLS"], ports["STATUS"], settings)
    finally:
        process.end_group()
        backend.close()


@contextlib.contextmanager
def traffic(url: str) -> Iterator[list[int]]:
    """Requests without a pause; yields the statuses of the answers, 0 where there was none.

    One client makes a connection for each request, the other keeps its own. A kept connection that
    is closed while nothing is under way may cross with a request on it: such a request is sent
    again on another one, as any client does (RFC 9112, 9.3.1).
    """
    seen: list[int] = []
    stopping = threading.Event()

    def ask(kept: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=kept)
        with httpx.Client(timeout=20, limits=limits) as client:
            while not stopping.is_set():
                try:
                    seen.append(answer(client, kept))
                except httpx.HTTPError:
                    seen.append(0)

    def answer(client: httpx.Client, tries: int) -> int:
        try:
            return client.get(url).status_code
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if not tries:
                raise
            return answer(client, tries - 1)

    threads = [threading.Thread(target=ask, args=(kept,)) for kept in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(seen) > 10, "the first answers")
        yield seen
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with edge_in(tmp_path) as found:
        yield found


@pytest.fixture
def looks(edge: Edge, tmp_path: Path) -> Iterator[Watching]:
    (watcher,) = watchers(edge.settings, redactor(b"k" * 32))
    with watching(watcher, tmp_path / "known") as found:
        yield found


def test_an_edit_is_told_when_it_is_made_and_the_reload_when_it_is_loaded(
    edge: Edge, looks: Watching
) -> None:
    with traffic(f"http://127.0.0.1:{edge.web}/"):
        looks.quiet()
        edge.edit("weight=100", "weight=50")
        edited = looks.changed(edge.object("sites/app.conf"), "nginx:edge/upstream/app")
        looks.quiet()
        edge.reload()
        loaded = looks.changed("nginx:edge/process/workers")
        looks.quiet()

    (field,) = edited["nginx:edge/upstream/app"]["fields"]
    assert field["path"].endswith("/weight")
    assert (field["before"], field["after"]) == (100, 50)
    assert "weight=50" in edited[edge.object("sites/app.conf")]["state"]["text"]
    assert [one["path"] for one in loaded["nginx:edge/process/workers"]["fields"]] == [
        "/generation"
    ]


def test_servers_come_and_go(edge: Edge, looks: Watching) -> None:
    port = free_port()
    edge.edit("upstream app {", f"upstream app {{\n  server 127.0.0.1:{port} backup;")
    added = looks.changed(edge.object("sites/app.conf"), "nginx:edge/upstream/app")
    assert added["nginx:edge/upstream/app"]["fields"] == [
        {"path": f"/servers/127.0.0.1:{port}", "after": {"weight": 1, "backup": True}}
    ]
    edge.edit(f"\n  server 127.0.0.1:{port} backup;", "")
    gone = looks.changed(edge.object("sites/app.conf"), "nginx:edge/upstream/app")
    assert gone["nginx:edge/upstream/app"]["fields"] == [
        {"path": f"/servers/127.0.0.1:{port}", "before": {"weight": 1, "backup": True}}
    ]


def test_a_file_that_a_pattern_takes_in_is_told(edge: Edge, looks: Watching) -> None:
    port = free_port()
    more = edge.site.with_name("more.conf")
    more.write_text(f"server {{ listen 127.0.0.1:{port}; return 204; }}\n")
    made = looks.changed(edge.object("sites/more.conf"), f"nginx:edge/server/127.0.0.1:{port}/_")
    assert {event["change"] for event in made.values()} == {"create"}
    more.unlink()
    gone = looks.changed(edge.object("sites/more.conf"), f"nginx:edge/server/127.0.0.1:{port}/_")
    assert {event["change"] for event in gone.values()} == {"delete"}


def test_a_replaced_certificate_is_told_and_its_loading(edge: Edge, looks: Watching) -> None:
    name = f"nginx:edge/certificate/{str(edge.directory / 'edge.pem').lstrip('/')}"
    write_certificate(edge.directory)
    event = looks.changed(name)[name]
    assert event["change"] == "update"
    assert {"/serial", "/sha256"} <= {field["path"] for field in event["fields"]}
    assert "PRIVATE" not in str(event)
    edge.reload()
    looks.changed("nginx:edge/process/workers")


def test_secrets_stay_on_the_host_and_their_rotation_is_told(edge: Edge, looks: Watching) -> None:
    edge.edit("c2VjcmV0", "cm90YXRlZA==")
    events = looks.changed(
        edge.object("sites/app.conf"), f"nginx:edge/server/127.0.0.1:{edge.web}/edge.test"
    )
    assert "cm90YXRlZA" not in str(events) and "c2VjcmV0" not in str(events)
    assert events[edge.object("sites/app.conf")]["redacted"] == ["/text"]


def test_a_file_that_is_half_written_tells_no_deletion(edge: Edge, looks: Watching) -> None:
    text = edge.site.read_text()
    edge.site.write_text(text[:-10])
    (event,) = looks.changed(edge.object("sites/app.conf")).values()
    assert event["change"] == "update"
    assert [one["action"] for one in looks.health] == ["capture.unseen"] * 2
    edge.site.write_text(text)
    looks.changed(edge.object("sites/app.conf"))


def test_the_counter_is_the_access_log(edge: Edge, looks: Watching) -> None:
    before = looks.counters["requests"]
    log = edge.directory / "access.log"
    lines = len(log.read_bytes().splitlines())
    with httpx.Client() as client:
        for _ in range(200):
            client.get(f"http://127.0.0.1:{edge.web}/")
    edge.reload()
    looks.look()
    after = looks.counters["requests"]
    assert after["epoch"] == before["epoch"]
    assert after["served"] - before["served"] == len(log.read_bytes().splitlines()) - lines == 200


def test_what_is_stopped_does_not_run(edge: Edge, looks: Watching) -> None:
    assert edge.process.stop() == 0
    (event,) = looks.changed("nginx:edge/process/workers").values()
    assert event["change"] == "delete"
