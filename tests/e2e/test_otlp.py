"""OTLP logs over HTTP from exporters that we did not write: Python's SDK, and JavaScript's."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from muniment.trust.directory import verify_directory

from .harness import npm
from .harness.memory import MIB, watching
from .harness.otel_sdk import BATCH, Counting, Edge, Stream
from .harness.posting import send_through_kills
from .harness.process import free_port
from .harness.rows import assert_fields
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the exporter is missing")

import requests
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest as Request,
)
from opentelemetry.trace import TraceFlags

PATH = "/v1/logs"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
PACKAGES = ("@opentelemetry/sdk-logs@0.223.1", "@opentelemetry/exporter-logs-otlp-http@0.223.1")
MOST_RESIDENT = 500 * MIB
LINE = '10.0.0.7 - - [20/Nov/2026:10:00:00 +0000] "GET /cart HTTP/1.1" 200 12 "-" "curl/8"'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MunimentServer]:
    with serving(tmp_path_factory.mktemp("otlp")) as one:
        yield one


class Exporter(Counting, OTLPLogExporter):
    """The SDK's exporter."""

    def __init__(self, url: str, **options: Any) -> None:
        self.session = requests.Session()
        self.sent: list[bytes] = []
        super().__init__(url, timeout=60, session=self.session, **options)


def kept(server: MunimentServer, first: int = 0) -> list[bytes]:
    """The bytes of the entries that came by OTLP."""
    entries = [split_entry(entry) for entry in server.stored(first)]
    return [raw for header, raw in entries if json.loads(header)["via"] == "otlp"]


def bodies(entries: list[bytes]) -> list[str]:
    """The body of the one record of each entry, whatever it is encoded in."""
    found = []
    for raw in entries:
        if raw.startswith(b"{"):
            (resource,) = json.loads(raw)["resourceLogs"]
            (scope,) = resource["scopeLogs"]
            (record,) = scope["logRecords"]
            found.append(record["body"]["stringValue"])
        else:
            (resource,) = Request.FromString(raw).resource_logs
            (scope,) = resource.scope_logs
            (record,) = scope.log_records
            found.append(record.body.string_value)
    return found


def post(
    server: MunimentServer, body: bytes, media: str = PROTOBUF, **headers: str
) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(
        server.url + PATH, data=body, headers={"Content-Type": media, **named}, timeout=60
    )


def request(*lines: str) -> bytes:
    made = Request()
    scope = made.resource_logs.add().scope_logs.add()
    for line in lines:
        scope.log_records.add().body.string_value = line
    return made.SerializeToString()


@pytest.mark.parametrize("path", [PATH, "/in/default" + PATH])
@pytest.mark.parametrize("compression", list(Compression))
def test_what_the_sdk_sends_is_kept_record_for_record(
    server: MunimentServer, path: str, compression: Compression
) -> None:
    first = server.shard()["size"]
    edge = Edge(Exporter(server.url + path, compression=compression))
    for number in range(120):
        edge.emit(f"{path} {compression} {number}", attributes={"n": number, "list": ["ä", 1.5]})
    edge.close()
    assert edge.exporter.wrong == []
    entries = kept(server, first)
    assert bodies(entries) == [f"{path} {compression} {number}" for number in range(120)]
    for number, raw in enumerate(entries):
        resource = Request.FromString(raw).resource_logs[0]
        assert "edge" in str(resource.resource)
        assert resource.scope_logs[0].schema_url == "https://example.com/schema"
        assert f"int_value: {number}" in str(resource.scope_logs[0].log_records[0].attributes[0])


def test_a_record_is_found_by_its_trace_and_by_the_line_in_it(server: MunimentServer) -> None:
    edge = Edge(Exporter(server.url + PATH))
    edge.emit(LINE, trace_id=0x5EED, span_id=0x7, trace_flags=TraceFlags(1))
    edge.close()
    server.wait_indexed()
    (row,) = server.rows(f'metadata.correlation_uid:"{0x5EED:032x}"')
    assert_fields(
        row,
        {
            "class_uid": 4002,
            "src_endpoint.ip": "10.0.0.7",
            "http_request.url.path": "/cart",
            "http_response.code": 200,
            "source": "otlp",
            "parse_error": None,
        },
    )


def test_a_thousand_identical_records_stay_a_thousand(server: MunimentServer) -> None:
    first = server.shard()["size"]
    lines = [LINE] * 1_000
    assert post(server, request(*lines)).status_code == 200
    assert bodies(kept(server, first)) == lines
    assert len(set(kept(server, first))) == 1


def test_javascript_sends_json(server: MunimentServer, tmp_path: Path) -> None:
    modules = npm.installed(*PACKAGES)
    first = server.shard()["size"]
    program = npm.node("otlp_logs.js", modules, tmp_path / "node.txt", server.url + PATH, "500")
    wait_for(lambda: not program.running, "the exporter to end")
    assert program.stop() == 0, program.printed()
    entries = kept(server, first)
    assert all(raw.startswith(b'{"resourceLogs"') for raw in entries)
    found = bodies(entries)
    assert [line.split()[1] for line in found] == [str(number) for number in range(500)]
    server.wait_indexed()
    assert len(list(server.rows("message:record source:otlp"))) >= 500


def test_a_request_without_records_and_the_answers(server: MunimentServer) -> None:
    answer = post(server, b"")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == PROTOBUF
    answer = post(server, b'{"resourceLogs":[]}', JSON + "; charset=utf-8")
    assert (answer.status_code, answer.json()) == (200, {})


def test_a_request_that_is_repeated_under_its_key_is_there_once(server: MunimentServer) -> None:
    before = server.shard()["size"]
    for _ in range(2):
        assert post(server, request("a", "b"), Idempotency_Key="otlp-1").status_code == 200
    assert server.shard()["size"] == before + 2
    answer = post(server, request("c"), Idempotency_Key="otlp-1")
    assert (answer.status_code, Status.FromString(answer.content).code) == (409, 6)


def test_a_record_larger_than_an_entry_is_kept_whole(server: MunimentServer) -> None:
    first = server.shard()["size"]
    body = request("x" * 200_000)
    assert post(server, body).status_code == 200
    parts = [split_entry(entry) for entry in server.stored(first)]
    told = [json.loads(header)["part"] for header, _ in parts]
    assert [part["number"] for part in told] == list(range(1, len(parts) + 1))
    assert b"".join(raw for _, raw in parts) == body


def test_who_sends_is_noted_and_a_wrong_token_refused(tmp_path: Path) -> None:
    with serving(tmp_path, {"MUNIMENT_REQUIRE_TOKENS": "true"}) as server:
        token = server.admin_token
        for given in ("", "wrong"):
            exporter = Exporter(
                server.url + PATH, headers={"Authorization": f"Bearer {given}"} if given else {}
            )
            edge = Edge(exporter)
            edge.emit("refused")
            edge.close()
            assert (exporter.answered, len(exporter.wrong)) == (0, 1)
        answer = post(server, request("x"), Authorization="Bearer wrong")
        assert (answer.status_code, Status.FromString(answer.content).code) == (401, 16)
        edge = Edge(Exporter(server.url + PATH, headers={"Authorization": f"Bearer {token}"}))
        edge.emit("taken")
        edge.close()
        server.http.headers["Authorization"] = f"Bearer {token}"
        ((header, raw),) = [split_entry(entry) for entry in server.stored()]
        assert bodies([raw]) == ["taken"]
        assert json.loads(header)["from"]


def test_a_listener_of_its_own(tmp_path: Path) -> None:
    port = free_port()
    config = f'[[receive]]\nprotocol = "otlp"\nlisten = "127.0.0.1:{port}"\nas = "nginx"\n'
    with serving(tmp_path, config=config) as server:
        edge = Edge(Exporter(f"http://127.0.0.1:{port}{PATH}"))
        edge.emit(LINE)
        edge.close()
        (entry,) = server.stored()
        assert json.loads(split_entry(entry)[0])["as"] == "otlp/nginx"
        elsewhere = requests.get(f"http://127.0.0.1:{port}/api/v1/logs", timeout=20)
        assert elsewhere.status_code == 404


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"\x00\xff garbage", PROTOBUF, 400),
        (request("cut short")[:-3], PROTOBUF, 400),
        (b'{"resourceLogs":[', JSON, 400),
        (b'{"resourceLogs":7}', JSON, 400),
        (b"x", "text/plain", 415),
        (b"", "", 415),
    ],
)
def test_what_cannot_be_taken_is_a_status_in_the_type_of_the_request(
    server: MunimentServer, body: bytes, media: str, status: int
) -> None:
    before = server.shard()["size"]
    answer = post(server, body, media)
    assert answer.status_code == status, answer.text
    if media == PROTOBUF:
        told = Status.FromString(answer.content)
        assert (told.code, bool(told.message)) == (3, True)
    else:
        assert answer.json()["code"] == 3
    assert server.shard()["size"] == before


def test_hostile_bodies_cost_no_more_than_their_bounds(server: MunimentServer) -> None:
    before, refused = server.shard()["size"], counted(server, "refused")
    many = Request()
    many.resource_logs.add().resource.attributes.add(key="k" * 200_000)
    scope = many.resource_logs[0].scope_logs.add()
    for _ in range(50_000):
        scope.log_records.add()
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(8 * MIB)) for _ in range(64)) + packer.flush()
    cases = [
        (b"x" * 100 * MIB, PROTOBUF, {}),
        (bomb, PROTOBUF, {"Content_Encoding": "gzip"}),
        (gzip.compress(b"\x18\x00" * 8_000_000, 1), PROTOBUF, {"Content_Encoding": "gzip"}),
        (gzip.compress(b"\x0a\x00" * 8_000_000, 1), PROTOBUF, {"Content_Encoding": "gzip"}),
        (gzip.compress(many.SerializeToString(), 1), PROTOBUF, {"Content_Encoding": "gzip"}),
        (b'{"resourceLogs":[' + b"{}," * 4_000_000 + b"{}]}", JSON, {}),
        (b'{"a":' * 2_000_000, JSON, {}),
    ]
    with watching(server.process.pid) as watch:
        for body, media, headers in cases:
            assert post(server, body, media, **headers).status_code in (400, 413)
        assert post(server, request("after")).status_code == 200, "others go on"
    assert server.shard()["size"] == before + 1
    assert counted(server, "refused") >= refused + len(cases) - 1
    assert watch.peak < MOST_RESIDENT, watch


def counted(server: MunimentServer, name: str) -> float:
    wanted = f'muniment_protocol_{name}_total{{protocol="otlp"}} '
    (line,) = [
        line for line in server.http.get("/metrics").text.splitlines() if line.startswith(wanted)
    ]
    return float(line.rpartition(" ")[2])


def test_slow_and_idle_senders_hold_nobody_up(server: MunimentServer) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {PROTOBUF}\r\n"
    address = ("127.0.0.1", server.port)
    slow = [socket.create_connection(address) for _ in range(200)]
    try:
        for number, one in enumerate(slow):
            if number % 2:
                one.sendall(f"{head}Content-Length: 1000\r\n\r\n\x0a".encode())
        edge = Edge(Exporter(server.url + PATH))
        for number in range(500):
            edge.emit(f"beside slow ones {number}")
        edge.close()
        assert edge.exporter.wrong == []
    finally:
        for one in slow:
            one.close()


def test_not_now_is_said_so_that_the_exporter_tries_again(tmp_path: Path) -> None:
    env = {"MUNIMENT_MAX_BODY": "1MiB", "MUNIMENT_MAX_BODIES": "1MiB"}
    with serving(tmp_path, env) as server:
        with holding(server, MIB):
            first = server.shard()["size"]
            answer = post(server, request("now"))
            assert (answer.status_code, Status.FromString(answer.content).code) == (429, 8)
            assert int(answer.headers["retry-after"]) >= 1
            edge = Edge(Exporter(server.url + PATH))
            edge.emit("later")
            time.sleep(0.5)
            assert server.shard()["size"] == first
        edge.close()
        assert (edge.exporter.answered, edge.exporter.wrong) == (1, [])
        assert bodies(kept(server, first)) == ["later"]


@contextlib.contextmanager
def holding(server: MunimentServer, amount: int) -> Iterator[None]:
    """A sender whose body does not come takes the memory for it."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {PROTOBUF}\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(f"{head}Content-Length: {amount}\r\n\r\n".encode())
        wait_for(lambda: post(server, request("")).status_code == 429, "the memory to be taken")
        yield


def test_kills_in_mid_stream_lose_nothing(tmp_path: Path) -> None:
    """A request whose answer was lost comes again: OTLP cannot say that it is the same one."""
    kills, count, names = 4, 4_000, ("one", "two")
    with serving(tmp_path) as server:
        streams = [Stream(Exporter(server.url + PATH), name, count) for name in names]
        send_through_kills(
            server, streams, kills=kills, random=Random(20_261_121), pause=time.sleep
        )
        found = Counter(bodies(kept(server)))
        assert set(found) == {f"{name} {number}" for name in names for number in range(count)}
        doubled = sum(found.values()) - len(found)
        print(f"\n{doubled} of {len(found)} records are there twice after {kills} kills")
        assert doubled <= kills * len(names) * BATCH
        server.stop()
        report = verify_directory(server.data)
        assert report.intact, "\n".join(map(str, report.findings))


def test_kills_lose_nothing_of_what_javascript_sends(tmp_path: Path) -> None:
    modules = npm.installed(*PACKAGES)
    with serving(tmp_path) as server:
        program = npm.node(
            "otlp_logs.js", modules, tmp_path / "node.txt", server.url + PATH, "20000"
        )
        for _ in range(2):
            size = server.shard()["size"]
            wait_for(lambda size=size: server.shard()["size"] > size + 200, "records to come")
            server.kill()
            server.start()
        wait_for(lambda: not program.running, "the exporter to end", 120)
        assert program.stop() == 0, program.printed()
        numbers = Counter(line.split()[1] for line in bodies(kept(server)))
        assert set(numbers) == set(map(str, range(20_000))), program.printed()[-2_000:]
        print(f"\n{sum(numbers.values()) - len(numbers)} records are there twice")
