"""The same lines in the words of each protocol, RECORDS in a message, as real clients send them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cramjam
import msgpack
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bench.lines import bodies

RECORDS = 1_000
VARIANTS = 16
MARK = b"@mark-of-message"
"""Stands where a protocol tells a repetition from something new; the load puts a number there."""

NANOSECONDS = 1_790_000_000_000_000_000


@dataclass(frozen=True)
class Way:
    """One protocol: where its messages go, what they are, how long the answer to one is.

    `listener` names the `[[receive]]` listener, empty for the main one. `answer` is the length of
    an answer in bytes where it is always the same, 0 where nothing is answered, None for HTTP.
    """

    name: str
    listener: str
    messages: Sequence[bytes]
    answer: int | None = None
    grpc: str = ""


def ways() -> list[Way]:
    """Returns every protocol with its messages."""
    lines = [body.splitlines() for body in bodies(VARIANTS, RECORDS * 301 + 301)]
    lines = [some[:RECORDS] for some in lines]

    def of(make: Callable[[list[bytes]], bytes]) -> list[bytes]:
        return [make(some) for some in lines]

    return [
        _http(
            "HTTP, its own (NDJSON)", "/api/v1/logs/default/entries?as=json", NDJSON, of(_ndjson)
        ),
        Way("syslog over TCP, octet-counted", "syslog", of(_syslog), 0),
        Way("Fluentd forward, acknowledged", "forward", of(_forward), len(msgpack.packb(_ACK))),
        _http("OTLP over HTTP, protobuf", "/v1/logs", "application/x-protobuf", of(_otlp)),
        _http("OTLP over HTTP, JSON", "/v1/logs", "application/json", of(_otlp_json)),
        Way("OTLP over gRPC", "grpc", of(_otlp), grpc=_EXPORT),
        _http("Elasticsearch bulk", "/_bulk", NDJSON, of(_bulk)),
        _http("Loki push, snappy", "/loki/api/v1/push", "application/x-protobuf", of(_loki)),
        _http("Splunk HEC", "/services/collector", "application/json", of(_splunk)),
        _http("Kubernetes audit", "/kubernetes/audit", "application/json", of(_audit)),
        _http("CloudEvents, batch", "/cloudevents", _EVENTS, of(_cloudevents)),
    ]


NDJSON = "application/x-ndjson"
_EVENTS = "application/cloudevents-batch+json"
_EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


def _http(name: str, path: str, media: str, payloads: Sequence[bytes]) -> Way:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {media}\r\n"
        "Content-Length: %d\r\n\r\n"
    ).encode()
    return Way(name, "", [head % len(payload) + payload for payload in payloads])


def _ndjson(lines: list[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"


def _syslog(lines: list[bytes]) -> bytes:
    head = b"<134>1 2026-11-21T12:00:00.000000+00:00 lb1 app 42 - - "
    return b"".join(b"%d %b%b" % (len(head) + len(line), head, line) for line in lines)


def _forward(lines: list[bytes]) -> bytes:
    """PackedForward."""
    stamp = msgpack.ExtType(0, struct.pack(">II", 1_790_000_000, 7))
    events = b"".join(msgpack.packb([stamp, {"log": line.decode()}]) for line in lines)
    return bytes(msgpack.packb(["bench.access", events, {"chunk": MARK.decode()}]))


_ACK = {"ack": MARK.decode()}


def _otlp(lines: list[bytes]) -> bytes:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = "bench"
    scope = resource.scope_logs.add()
    scope.scope.name = "bench"
    for number, line in enumerate(lines):
        record = scope.log_records.add(time_unix_nano=NANOSECONDS + number, severity_number=9)
        record.body.string_value = line.decode()
    return bytes(request.SerializeToString())


def _otlp_json(lines: list[bytes]) -> bytes:
    records = [
        {
            "timeUnixNano": str(NANOSECONDS + number),
            "severityNumber": 9,
            "body": {"stringValue": line.decode()},
        }
        for number, line in enumerate(lines)
    ]
    named = [{"key": "service.name", "value": {"stringValue": "bench"}}]
    scopes = [{"scope": {"name": "bench"}, "logRecords": records}]
    found = {"resourceLogs": [{"resource": {"attributes": named}, "scopeLogs": scopes}]}
    return _json(found)


def _bulk(lines: list[bytes]) -> bytes:
    return b"".join(b'{"create":{"_index":"access"}}\n%b\n' % line for line in lines)


def _loki(lines: list[bytes]) -> bytes:
    """PushRequest{streams: [{labels, entries: [{timestamp, line}]}]} in protobuf, raw snappy."""
    stream = _field(1, b'{job="bench",host="lb1"}')
    for number, line in enumerate(lines):
        stamp = b"\x08" + _varint(NANOSECONDS // 10**9) + b"\x10" + _varint(number)
        stream += _field(2, _field(1, stamp) + _field(2, line))
    return bytes(cramjam.snappy.compress_raw(_field(1, stream)))


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _splunk(lines: list[bytes]) -> bytes:
    return b"".join(
        _json({"time": 1_790_000_000 + number, "host": "lb1", "event": json.loads(line)})
        for number, line in enumerate(lines)
    )


def _audit(lines: list[bytes]) -> bytes:
    items = [
        {
            "level": "Metadata",
            "auditID": f"{number:08d}" if number else MARK.decode(),
            "stage": "ResponseComplete",
            "annotations": {"line": line.decode()},
        }
        for number, line in enumerate(lines)
    ]
    return _json({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items})


def _cloudevents(lines: list[bytes]) -> bytes:
    return _json(
        [
            {
                "specversion": "1.0",
                "id": str(number) if number else MARK.decode(),
                "source": "/bench",
                "type": "access",
                "data": json.loads(line),
            }
            for number, line in enumerate(lines)
        ]
    )


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
