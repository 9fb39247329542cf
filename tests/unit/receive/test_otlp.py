"""OTLP logs: requests cut into requests of one record, and answers that exporters understand."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment import errors
from muniment.budget import Budget, Hold
from muniment.errors import InputError, MunimentError, TooLarge, UnsupportedMedia
from muniment.receive.coding import Coding, decode
from muniment.receive.dialect import Posting, Taken
from muniment.receive.dialects.otlp import DIALECT, JSON, PATH, PROTOBUF, records, records_json

logs_service = pytest.importorskip("opentelemetry.proto.collector.logs.v1.logs_service_pb2")
json_format = pytest.importorskip("google.protobuf.json_format")
DecodeError = pytest.importorskip("google.protobuf.message").DecodeError
MessageToJson, Parse = json_format.MessageToJson, json_format.Parse
Request = logs_service.ExportLogsServiceRequest
LIMIT = 64 << 20


def free(_: int) -> None:
    """Lets memory be used without a bound."""


def request(*shape: tuple[int, ...]):
    """A request: for each resource, the numbers of records in its scopes."""
    made = Request()
    number = 0
    for resource, scopes in enumerate(shape):
        logs = made.resource_logs.add(schema_url=f"https://example.com/{resource}")
        attribute = logs.resource.attributes.add(key="service.name")
        attribute.value.string_value = f"edge-{resource}"
        for scope, count in enumerate(scopes):
            inner = logs.scope_logs.add(schema_url="https://example.com/scope")
            inner.scope.name = f"scope-{scope}"
            for _ in range(count):
                number += 1
                record = inner.log_records.add(time_unix_nano=1_763_640_000_000_000_000 + number)
                record.body.string_value = f"GET /{number} ä {{[ {'x' * (number % 300)}"
                record.trace_id = bytes(range(16))
                record.span_id = bytes(8)
    return made


def flat(of) -> list[tuple]:
    """Each record with all that stands around it."""
    return [
        (logs.resource, logs.schema_url, scope.scope, scope.schema_url, record)
        for logs in of.resource_logs
        for scope in logs.scope_logs
        for record in scope.log_records
    ]


def post(media: str = PROTOBUF, *headers: tuple[bytes, bytes], inner: str = "") -> Posting:
    return Posting(PATH, b"", [(b"content-type", media.encode()), *headers], inner)


SHAPES = [((),), ((0,), (1,)), ((1, 2), (), (3,)), ((500,), (1, 1, 1))]


@pytest.mark.parametrize("shape", SHAPES)
def test_protobuf_is_cut_into_requests_of_one_record(shape: tuple[tuple[int, ...], ...]) -> None:
    made = request(*shape)
    found = records(made.SerializeToString(), free)
    parsed = [Request.FromString(one) for one in found]
    assert [flat(one) for one in parsed] == [[record] for record in flat(made)]
    assert [one.SerializeToString() for one in parsed] == found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("as_in_proto", [False, True])
def test_json_is_cut_the_same_way(
    shape: tuple[tuple[int, ...], ...], indent: int | None, as_in_proto: bool
) -> None:
    made = request(*shape)
    body = MessageToJson(made, indent=indent, preserving_proto_field_name=as_in_proto).encode()
    found = records_json(body, free)
    assert [flat(Parse(one, Request())) for one in found] == [[record] for record in flat(made)]
    assert all(one.startswith(b"{") for one in found)


def test_fields_of_later_versions_are_kept() -> None:
    body = bytes.fromhex("0a0f 220161 1206 0a00 1202 1800 2801 1a00 b20601 7a")
    (found,) = records(body, free)
    again = Request.FromString(found)
    assert again == Request.FromString(body)
    assert again.SerializeToString() == Request.FromString(body).SerializeToString()
    assert (
        b'"later":[1]'
        in records_json(
            b'{"resourceLogs":[{"later":[1],"scopeLogs":[{"logRecords":[{}]}]}]}', free
        )[0]
    )


@pytest.mark.parametrize("body", [b"{}", b'{"resourceLogs":[]}', b'{"resourceLogs":null}'])
def test_a_request_without_records_is_answered_like_any_other(body: bytes) -> None:
    taken = DIALECT.take(post(JSON), body, LIMIT, free)
    assert taken == Taken([])
    assert DIALECT.accepted(post(JSON), taken, None).body == b"{}"
    assert DIALECT.take(post(), b"", LIMIT, free).count == 0


def test_records_say_what_they_are_and_what_is_in_them() -> None:
    body = request((2,)).SerializeToString()
    (group,) = DIALECT.take(post(), body, LIMIT, free).groups
    assert (group.source, len(group.records), group.about) == ("otlp", 2, {})
    (group,) = DIALECT.take(post(inner="nginx"), body, LIMIT, free).groups
    assert group.source == "otlp/nginx"


def test_the_path_and_the_media_types() -> None:
    assert DIALECT.handles("/v1/logs")
    assert not any(map(DIALECT.handles, ("/v1/traces", "/v1/metrics", "/v1/logs/", "/", "")))
    assert DIALECT.coding(post()) is Coding.IDENTITY
    assert DIALECT.coding(post("application/json; charset=utf-8")) is Coding.IDENTITY
    assert DIALECT.coding(post(PROTOBUF, (b"content-encoding", b"gzip"))) is Coding.GZIP
    for media in ("", "text/plain", "application/grpc"):
        with pytest.raises(UnsupportedMedia, match="content type"):
            DIALECT.coding(post(media))
    with pytest.raises(UnsupportedMedia, match="coding"):
        DIALECT.coding(post(PROTOBUF, (b"content-encoding", b"snappy")))


def test_a_compressed_body() -> None:
    made = request((3,), (4,))
    body = gzip.compress(made.SerializeToString())
    head = post(PROTOBUF, (b"content-encoding", b"gzip"))
    plain = decode(DIALECT.coding(head), body, LIMIT, free)
    assert DIALECT.take(head, plain, LIMIT, free).count == 7


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InputError("bad"), 400, 3),
        (errors.TooLarge("long"), 413, 3),
        (errors.UnsupportedMedia("what"), 415, 3),
        (errors.Conflict("again"), 409, 6),
        (errors.Unauthenticated("who"), 401, 16),
        (errors.Forbidden("no"), 403, 7),
        (errors.UnknownLog("where"), 404, 5),
        (errors.Overloaded("full"), 429, 8),
        (errors.IndexBehind("behind"), 429, 8),
        (errors.StorageFailing("disk"), 503, 14),
        (errors.Unavailable("starting"), 503, 14),
        (errors.Corrupt("file", 0, "a", "b"), 503, 14),
        (errors.MunimentError("ours"), 503, 14),
    ],
)
def test_refusals_are_a_status_in_the_type_of_the_request(
    error: MunimentError, status: int, code: int
) -> None:
    reply = DIALECT.refused(post(JSON), error)
    assert (reply.status, reply.media) == (status, JSON)
    assert json.loads(reply.body) == {"code": code, "message": error.detail}
    reply = DIALECT.refused(post(), error)
    message = error.detail.encode()
    assert (reply.status, reply.media) == (status, PROTOBUF)
    assert reply.body == bytes((8, code, 0x12, len(message))) + message
    assert DIALECT.refused(post("text/plain"), error).media == JSON


def test_a_refusal_can_be_long_and_of_any_characters() -> None:
    error = InputError("\ud800" + "x" * 300)
    assert json.loads(DIALECT.refused(post(JSON), error).body)["message"] == "?" + "x" * 300
    assert DIALECT.refused(post(), error).body == b"\x08\x03\x12\xad\x02?" + b"x" * 300


def test_the_answer_is_in_the_type_of_the_request() -> None:
    taken = DIALECT.take(post(), request((1,)).SerializeToString(), LIMIT, free)
    reply = DIALECT.accepted(post(), taken, None)
    assert (reply.status, reply.body, reply.media) == (200, b"", PROTOBUF)
    assert (
        logs_service.ExportLogsServiceResponse.FromString(reply.body).partial_success.ByteSize()
        == 0
    )
    reply = DIALECT.accepted(post(JSON), taken, None)
    assert (reply.status, reply.body, reply.media) == (200, b"{}", JSON)


def test_a_large_resource_before_many_records_is_bounded() -> None:
    made = request((20_000,))
    made.resource_logs[0].resource.attributes[0].value.string_value = "r" * 100_000
    for body, cut in (
        (made.SerializeToString(), records),
        (MessageToJson(made).encode(), records_json),
    ):
        with pytest.raises(TooLarge, match="memory"):
            cut(body, Hold(Budget(256 << 20)).grow)


bodies = st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), max_size=3).map(
    lambda shape: request(*shape).SerializeToString()
)


@pytest.mark.fuzz
@given(
    st.one_of(st.binary(max_size=300), bodies),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=3),
)
def test_what_a_parser_takes_is_cut_without_loss(
    body: bytes, changes: list[tuple[int, int]]
) -> None:
    """Bytes that are no request are refused or kept; a request's records are all there."""
    changed = bytearray(body)
    for place, value in changes:
        if changed:
            changed[place % len(changed)] = value
    body = bytes(changed)
    try:
        expected = flat(Request.FromString(body))
    except DecodeError:
        expected = None
    try:
        found = records(body, free)
    except InputError as error:
        assert expected is None or "wire type" in error.detail
        return
    if expected is not None:
        parsed = [Request.FromString(one) for one in found]
        assert [flat(one) for one in parsed] == [[record] for record in expected]


@pytest.mark.fuzz
@given(
    bodies,
    st.lists(st.tuples(st.integers(0, 1 << 20), st.sampled_from(b'"\\{}[],: 0')), max_size=3),
)
def test_json_with_wrong_bytes_is_refused_or_cut(
    body: bytes, changes: list[tuple[int, int]]
) -> None:
    text = bytearray(MessageToJson(Request.FromString(body), indent=None).encode())
    for place, value in changes:
        text[place % len(text)] = value
    try:
        found = DIALECT.take(post(JSON), bytes(text), LIMIT, free)
    except InputError:
        return
    for group in found.groups:
        for one in group.records:
            assert records_json(one, free) == [one]
