"""A real Envoy's access log, by its own service and by OpenTelemetry's, both over gRPC."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from muniment.trust.directory import verify_directory

from .harness.envoy import Envoy, envoy
from .harness.process import free_port
from .harness.rows import assert_fields
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

THOUSAND = 1_000


@dataclass
class Mesh:
    """Envoy and the Muniment that it logs to."""

    server: MunimentServer
    envoy: Envoy
    port: int
    http: httpx.Client

    def get(self, frontend: str, path: str) -> int:
        """Sends a request through Envoy; returns the status of its answer."""
        return self.http.get(self.envoy.url(frontend, path)).status_code

    def kept(self, via: str = "envoy") -> list[tuple[dict[str, Any], bytes]]:
        """Header and bytes of all entries of Envoy's."""
        found = [split_entry(entry) for entry in self.server.stored()]
        headers = [(json.loads(header), raw) for header, raw in found]
        return [(header, raw) for header, raw in headers if header["via"] == via]

    def holding(self, text: str, via: str = "envoy") -> list[bytes]:
        """The entries in which some text stands."""
        return [raw for _, raw in self.kept(via) if text.encode() in raw]

    def wait_for(self, text: str, count: int, via: str = "envoy") -> None:
        """Waits until so many entries with a text are durable; there are no more."""

        def found() -> int:
            return len(self.holding(text, via))

        wait_for(lambda: found() >= count, lambda: f"{count} entries with {text}, not {found()}")
        assert found() == count

    def count(self, name: str, receiver: str = "envoy") -> float:
        """A counter of the metrics page."""
        wanted = f'muniment_receive_{name}_total{{receiver="{receiver}:{self.port}"}} '
        for line in self.server.http.get("/metrics").text.splitlines():
            if line.startswith(wanted):
                return float(line.removeprefix(wanted))
        raise AssertionError(f"no metric {wanted}")


@contextlib.contextmanager
def logging(directory: Path, *, token: bool = False, wrong: bool = False) -> Iterator[Mesh]:
    port = free_port()
    config = f'[[receive]]\nprotocol = "grpc"\nlisten = "127.0.0.1:{port}"\n'
    env = {"MUNIMENT_REQUIRE_TOKENS": "true"} if token or wrong else {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(directory, env, config=config))
        shown = server.admin_token if token else ""
        if env:
            server.http.headers["Authorization"] = f"Bearer {server.admin_token}"
        found = stack.enter_context(envoy(directory, port, token=shown))
        http = stack.enter_context(httpx.Client(timeout=30))
        yield Mesh(server, found, port, http)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with logging(tmp_path_factory.mktemp("envoy")) as found:
        yield found


def test_each_request_is_a_row_with_what_the_client_saw(mesh: Mesh) -> None:
    token = uuid.uuid4().hex
    cases = [(status, size) for status in (200, 404, 503) for size in (0, 17, 5_000)]
    for number, (status, size) in enumerate(cases):
        assert mesh.get("web", f"/s/{status}/0/{size}/{token}/{number}?q={number}") == status
    mesh.wait_for(token, len(cases))
    mesh.server.wait_indexed()

    rows = {row["http_request"]["url"]["path"]: row for row in mesh.server.rows(f"path:*{token}*")}

    assert len(rows) == len(cases)
    for number, (status, size) in enumerate(cases):
        assert_fields(
            rows[f"/s/{status}/0/{size}/{token}/{number}"],
            {
                "class_uid": 4002,
                "source": "envoy",
                "via": "envoy",
                "http_request.http_method": "GET",
                "http_response.code": status,
                "src_endpoint.ip": "127.0.0.1",
                "load_balancer.dst_endpoint.svc_name": "app",
                "parse_error": None,
            },
        )


def test_tcp_connections_are_rows_too(mesh: Mesh) -> None:
    before = len(mesh.holding("raw"))
    for _ in range(10):
        with httpx.Client() as alone:
            assert alone.get(mesh.envoy.url("raw", "/raw")).status_code == 200
    wait_for(lambda: len(mesh.holding("raw")) >= before + 10, "the connections")
    mesh.server.wait_indexed()
    rows = [row for row in mesh.server.rows("source:envoy") if row["class_uid"] == 4001]
    assert len(rows) >= 10
    assert not any(row.get("parse_error") for row in rows)


def test_a_thousand_identical_requests_are_a_thousand_entries(mesh: Mesh) -> None:
    path = f"/{uuid.uuid4().hex}"
    for _ in range(THOUSAND):
        mesh.get("web", path)
    mesh.wait_for(path, THOUSAND)


def test_opentelemetrys_log_is_taken_on_the_same_port(mesh: Mesh) -> None:
    path = f"/{uuid.uuid4().hex}"
    for _ in range(30):
        mesh.get("otel", path)
    mesh.wait_for(path, 30, "otlp-grpc")
    mesh.server.wait_indexed()
    rows = list(mesh.server.rows(f'"{path[1:]}" via:otlp-grpc'))
    assert len(rows) == 30


def test_the_identifier_is_kept_once_a_stream_and_entries_stay_small(mesh: Mesh) -> None:
    mesh.get("web", "/some")
    wait_for(lambda: mesh.holding("/some"), "an entry")
    sizes = [(len(raw), b"envoy.filters.http.router" in raw) for _, raw in mesh.kept()]
    long = [size for size, whole in sizes if whole]
    assert 1 <= len(long) <= 4  # two logs, two workers
    assert all(size < 1_000 for size, whole in sizes if not whole)
    assert all(b"edge-1" in raw and b"zone-a" in raw for _, raw in mesh.kept())
    assert mesh.count("messages") == len(sizes) - len(long)


def test_kills_in_mid_stream_cost_only_what_envoy_could_not_send(tmp_path: Path) -> None:
    """The service has no acknowledgement: what Envoy logs while nobody listens is gone."""
    with logging(tmp_path) as mesh:
        seen: Counter[str] = Counter()
        for run in range(3):
            for number in range(300):
                mesh.get("web", f"/{run}/before/{number}/")
            mesh.wait_for(f"/{run}/before/", 300)
            for number in range(100):
                mesh.get("web", f"/{run}/during/{number}/")
                if number == 30:
                    mesh.server.kill()
            mesh.server.start()

            def back(run: int = run) -> bool:
                mesh.get("web", f"/{run}/back/")
                return bool(mesh.holding(f"/{run}/back/"))

            wait_for(back, "Envoy's streams to be there again")
            for number in range(300):
                mesh.get("web", f"/{run}/after/{number}/")
            mesh.wait_for(f"/{run}/after/", 300)
            mesh.wait_for(f"/{run}/before/", 300)
            during = Counter(
                f"{run}/{number}"
                for number in range(100)
                for _ in mesh.holding(f"/{run}/during/{number}/")
            )
            assert set(during.values()) <= {1}
            seen += during
        print(f"\nof 300 requests around three kills {sum(seen.values())} are in the log")
        assert mesh.server.stop() == 0
        report = verify_directory(mesh.server.data)
        assert report.intact, "\n".join(map(str, report.findings))


def test_a_stop_takes_what_was_sent_before_it(tmp_path: Path) -> None:
    with logging(tmp_path) as mesh:
        for number in range(500):
            mesh.get("web", f"/before/{number}/")
        mesh.wait_for("/before/", 500)
        assert mesh.server.stop() == 0
        mesh.server.start()
        assert len(mesh.holding("/before/")) == 500


def test_who_shows_no_token_is_refused_and_counted(tmp_path: Path) -> None:
    with logging(tmp_path, wrong=True) as mesh:
        mesh.get("web", "/refused")
        wait_for(lambda: mesh.count("denied", "grpc") > 0, "the stream to be refused")
        assert mesh.kept() == []


def test_a_token_in_the_metadata_names_the_sender(tmp_path: Path) -> None:
    with logging(tmp_path, token=True) as mesh:
        mesh.get("web", "/taken")
        mesh.wait_for("/taken", 1)
        assert {header["from"] for header, _ in mesh.kept()} == {"admin"}
