"""OTLP logs over gRPC from the exporter of Python's SDK, and from peers that mean no good."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509

from muniment.trust.directory import verify_directory
from tests.authority import Authority, Issued

from .harness.memory import MIB, watching
from .harness.otel_sdk import BATCH, Counting, Edge, Stream
from .harness.posting import send_through_kills
from .harness.process import free_port
from .harness.rows import assert_fields
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="the exporter is missing")

import grpc
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest as Request,
)
from opentelemetry.trace import TraceFlags

EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
STREAM = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LINE = '10.0.0.7 - - [20/Nov/2026:10:00:00 +0000] "GET /cart HTTP/1.1" 200 12 "-" "curl/8"'
MOST_RESIDENT = 400 * MIB
THOUSAND = 1_000


@dataclass
class Listening:
    """A server with a gRPC listener."""

    server: MunimentServer
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, name: str, receiver: str = "grpc") -> float:
        """A counter of the metrics page."""
        wanted = f'muniment_receive_{name}_total{{receiver="{receiver}:{self.port}"}} '
        for line in self.server.http.get("/metrics").text.splitlines():
            if line.startswith(wanted):
                return float(line.removeprefix(wanted))
        raise AssertionError(f"no metric {wanted}")

    def kept(self, first: int = 0) -> list[tuple[dict[str, Any], bytes]]:
        """Header and bytes of the entries that came by gRPC."""
        entries = [split_entry(entry) for entry in self.server.stored(first)]
        found = [(json.loads(header), raw) for header, raw in entries]
        return [(header, raw) for header, raw in found if header["via"] == "otlp-grpc"]

    def bodies(self, first: int = 0) -> list[str]:
        """The body of the one record of each entry."""
        return [body_of(raw) for _, raw in self.kept(first)]


def body_of(raw: bytes) -> str:
    (resource,) = Request.FromString(raw).resource_logs
    (scope,) = resource.scope_logs
    (record,) = scope.log_records
    return str(record.body.string_value)


@contextlib.contextmanager
def listening(directory: Path, config: str = "", **env: str) -> Iterator[Listening]:
    """A running server; `config` are more lines of its listener."""
    port = free_port()
    table = f'[[receive]]\nprotocol = "grpc"\nlisten = "127.0.0.1:{port}"\n{config}'
    with serving(directory, env, config=table) as server:
        yield Listening(server, port)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("grpc"), "max_connections = 1100\n") as found:
        yield found


class Exporter(Counting, OTLPLogExporter):
    """The SDK's exporter."""

    def __init__(self, endpoint: str, **options: Any) -> None:
        super().__init__(endpoint=endpoint, timeout=60, **{"insecure": True, **options})


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_what_the_sdk_sends_is_kept_record_for_record(
    one: Listening, compression: grpc.Compression
) -> None:
    first = one.server.shard()["size"]
    edge = Edge(Exporter(one.endpoint, compression=compression))
    for number in range(300):
        edge.emit(f"record {number}", attributes={"n": number})
    edge.close()
    assert edge.exporter.wrong == []
    assert one.bodies(first) == [f"record {number}" for number in range(300)]
    header, raw = one.kept(first)[0]
    assert (header["via"], header["as"], header["from"]) == ("otlp-grpc", "otlp", "local")
    (resource,) = Request.FromString(raw).resource_logs
    assert "edge" in str(resource.resource)
    assert resource.scope_logs[0].schema_url == "https://example.com/schema"


def test_a_record_is_found_by_its_trace_and_by_the_line_in_it(one: Listening) -> None:
    edge = Edge(Exporter(one.endpoint))
    edge.emit(LINE, trace_id=0x5EED, span_id=0x7, trace_flags=TraceFlags(1))
    edge.close()
    one.server.wait_indexed()
    (row,) = one.server.rows(f'metadata.correlation_uid:"{0x5EED:032x}"')
    assert_fields(
        row,
        {
            "class_uid": 4002,
            "src_endpoint.ip": "10.0.0.7",
            "http_request.url.path": "/cart",
            "http_response.code": 200,
            "source": "otlp",
            "via": "otlp-grpc",
            "parse_error": None,
        },
    )


def test_a_thousand_identical_records_stay_a_thousand(one: Listening) -> None:
    first = one.server.shard()["size"]
    assert export(one.port, request(*[LINE] * THOUSAND)) == b""
    assert one.bodies(first) == [LINE] * THOUSAND


def request(*lines: str) -> bytes:
    made = Request()
    scope = made.resource_logs.add().scope_logs.add()
    for line in lines:
        scope.log_records.add().body.string_value = line
    return bytes(made.SerializeToString())


def export(port: int, message: bytes, **options: Any) -> bytes:
    """One call by the gRPC project's client. Raises grpc.RpcError."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return bytes(channel.unary_unary(EXPORT)(message, timeout=60, **options))


def test_a_wrong_token_is_refused_and_a_right_one_named(tmp_path: Path) -> None:
    with listening(tmp_path, MUNIMENT_REQUIRE_TOKENS="true") as found:
        token = found.server.admin_token
        for given in ({}, {"authorization": f"Bearer {token[:-3]}AAA"}):
            exporter = Exporter(found.endpoint, headers=given)
            edge = Edge(exporter)
            edge.emit("refused")
            edge.close()
            assert (exporter.answered, len(exporter.wrong)) == (0, 1)
        with pytest.raises(grpc.RpcError) as caught:
            export(found.port, request("x"))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        edge = Edge(Exporter(found.endpoint, headers={"authorization": f"Bearer {token}"}))
        edge.emit("taken")
        edge.close()
        found.server.http.headers["Authorization"] = f"Bearer {token}"
        ((header, raw),) = found.kept()
        assert (body_of(raw), header["from"]) == ("taken", "admin")
        assert found.count("denied") == 3


def test_client_certificates_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.server()
    client = authority.issue("edge", [x509.DNSName("edge-1.example.org")])
    config = (
        f'tls_certificate = "{server.certificate}"\ntls_key = "{server.key}"\n'
        f'tls_client_ca = "{authority.certificate}"\n'
    )

    def credentials(shown: Issued | None) -> grpc.ChannelCredentials:
        key, certificate = (shown.key, shown.certificate) if shown else (None, None)
        return grpc.ssl_channel_credentials(
            authority.certificate.read_bytes(),
            key.read_bytes() if key else None,
            certificate.read_bytes() if certificate else None,
        )

    with listening(tmp_path, config) as found:
        endpoint = f"https://127.0.0.1:{found.port}"
        edge = Edge(Exporter(endpoint, insecure=False, credentials=credentials(client)))
        edge.emit("by certificate")
        edge.close()
        assert edge.exporter.wrong == []
        with grpc.secure_channel(f"127.0.0.1:{found.port}", credentials(None)) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(EXPORT)(request("x"), timeout=20)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        ((header, raw),) = found.kept()
        assert (body_of(raw), header["from"]) == ("by certificate", "cert:edge-1.example.org")


def test_kills_in_mid_stream_lose_nothing(tmp_path: Path) -> None:
    """A request whose answer was lost comes again: OTLP cannot say that it is the same one."""
    kills, count, names = 4, 4_000, ("one", "two")
    with listening(tmp_path) as found:
        streams = [Stream(Exporter(found.endpoint), name, count) for name in names]
        send_through_kills(
            found.server, streams, kills=kills, random=Random(20_261_121), pause=time.sleep
        )
        counted = Counter(found.bodies())
        assert set(counted) == {f"{name} {number}" for name in names for number in range(count)}
        doubled = sum(counted.values()) - len(counted)
        print(f"\n{doubled} of {len(counted)} records are there twice after {kills} kills")
        assert doubled <= kills * len(names) * BATCH
        assert found.server.stop() == 0
        report = verify_directory(found.server.data)
        assert report.intact, "\n".join(map(str, report.findings))


def test_a_stop_answers_what_it_took(tmp_path: Path) -> None:
    with listening(tmp_path) as found:
        stream = Stream(Exporter(found.endpoint), "one", 3_000)
        wait_for(lambda: stream.answered > 3, "answers")
        assert found.server.stop() == 0
        found.server.start()
        wait_for(lambda: stream.done, "the exporter to end", 120)
        assert stream.wrong == []
        assert Counter(found.bodies()) == Counter(f"one {number}" for number in range(3_000))


def test_idle_slow_and_hostile_peers_cost_little_and_stop_nobody(one: Listening) -> None:
    garbage = one.count("garbage")
    with watching(one.server.process.pid) as watch, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(one.port)) for _ in range(THOUSAND)]
        for connection in idle[:500]:
            connection.sendall(PREFACE + bytes.fromhex("000000040000000000"))
        idle[0].sendall(b"\0\x40\0\0\0\0\0\0\1" + bytes(1_000))  # data of no call
        for number, data in enumerate(hostile()):
            with connect(one.port) as connection:
                with contextlib.suppress(ConnectionError):
                    for _ in range(100):  # up to 100 MiB of it
                        connection.sendall(data)
                drain(connection)
            assert export(one.port, request(f"beside {number}")) == b""
        wait_for(lambda: one.count("garbage") > garbage, "garbage to be counted")
        watch.look()
        print(f"\n{watch}, {one.count('garbage'):.0f} garbage, {one.count('floods'):.0f} floods")
        assert watch.peak < MOST_RESIDENT, watch
    assert "beside 0" in one.bodies()


def hostile() -> list[bytes]:
    """What is sent over and over on one connection each."""
    ping = b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)
    return [
        b"x" * MIB,
        os.urandom(MIB),
        PREFACE + b"\xff" * MIB,
        PREFACE + ping * 10_000,
        PREFACE + b"\0\x40\0\1\0\0\0\0\1" + b"\x40" * 16_384,
        b"GET / HTTP/1.1\r\n\r\n",
    ]


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 60)


def drain(connection: socket.socket) -> None:
    """Reads until the server closes, which it must."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65_536):
            pass


def test_bombs_and_endless_messages_are_refused_within_bounds(one: Listening) -> None:
    first = one.server.shard()["size"]
    with watching(one.server.process.pid) as watch:
        with pytest.raises(grpc.RpcError) as caught:
            export(one.port, bytes(1 << 30), compression=grpc.Compression.Gzip)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "unpacks" in (caught.value.details() or "")
        with pytest.raises(grpc.RpcError) as caught:
            export(one.port, bytes(100 * MIB))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with grpc.insecure_channel(f"127.0.0.1:{one.port}") as channel:
            with pytest.raises(grpc.RpcError) as caught:
                channel.stream_unary(STREAM)(iter([bytes(100 * MIB)]), timeout=60)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        many = Request()
        many.resource_logs.add().resource.attributes.add(key="k" * 200_000)
        scope = many.resource_logs[0].scope_logs.add()
        for _ in range(5_000):
            scope.log_records.add()
        with pytest.raises(grpc.RpcError):
            export(one.port, many.SerializeToString())
        watch.look()
        print(f"\n{watch}")
        assert watch.peak < MOST_RESIDENT, watch
    assert export(one.port, request("after")) == b""
    assert one.bodies(first) == ["after"]
    assert one.count("refused", "otlp-grpc") >= 3
