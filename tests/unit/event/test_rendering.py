"""Protobuf as JSON text: what Protobuf's own library writes, and what it refuses to read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import json_format, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import given
from hypothesis import strategies as st
from wire import wire

from muniment.event import envoy_messages, otlp_messages
from muniment.event.protobuf import described
from muniment.event.rendering import Renderer

ENVOY = Path(__file__).parents[2] / "data" / "envoy"


@pytest.mark.parametrize("name", ["http", "tcp", "node"])
def test_envoy_messages_are_rendered_as_protobufs_library_does(name: str) -> None:
    text = envoy_messages.renderer().render([(ENVOY / f"{name}.bin").read_bytes()])[0]
    assert text is not None
    assert json.loads(text) == json.loads((ENVOY / f"{name}.json").read_text())


def test_json_is_left_alone_and_noise_is_refused() -> None:
    assert otlp_messages.renderer().render([b"{}", b"\xff\xff", b"", b"\x78\x01"]) == [None] * 4


def test_text_that_is_not_utf8_is_kept() -> None:
    renderer = Renderer(described("t", {"A": "1 name string, 2 data bytes"}), "t.A")
    assert renderer.render([b"\x0a\x04a\xff\xc3\xa9\x12\x01\xff"]) == [
        r'{"name":"a\\xffé","data":"/w=="}'
    ]


def file_of(module: object) -> FileDescriptorProto:
    file = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)  # type: ignore[attr-defined]
    return file


TIMES = Renderer([file_of(timestamp_pb2)], "google.protobuf.Timestamp")


@given(seconds=st.integers(-62_135_596_800, 253_402_300_799), nanos=st.integers(0, 10**9 - 1))
def test_timestamps_are_those_of_the_library(seconds: int, nanos: int) -> None:
    message = timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
    assert TIMES.value(message.SerializeToString()) == message.ToJsonString()


@given(seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1))
def test_a_timestamp_out_of_bounds_is_kept_in_numbers(seconds: int, nanos: int) -> None:
    message = timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
    value = TIMES.value(message.SerializeToString())
    assert isinstance(value, str) or value == {"seconds": str(seconds), "nanos": nanos}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(members=st.dictionaries(st.text(), JSON, min_size=1, max_size=4))
def test_structs_are_the_json_that_they_hold(members: dict[str, object]) -> None:
    message = json_format.ParseDict(members, struct_pb2.Struct())
    renderer = Renderer([file_of(struct_pb2)], "google.protobuf.Struct")
    assert renderer.value(message.SerializeToString()) == members


@pytest.mark.parametrize(("depth", "refused"), [(20, False), (300, True)])
def test_what_is_nested_too_deeply_is_refused(depth: int, refused: bool) -> None:
    value = wire(1, b"deep")
    for _ in range(depth):
        value = wire(5, wire(1, value))
    request = wire(1, wire(2, wire(2, wire(5, value))))
    text = otlp_messages.renderer().render([request])[0]
    assert (text is None) == refused


@pytest.mark.fuzz
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_rendered_or_refused(raw: bytes) -> None:
    for renderer in (envoy_messages.renderer(), otlp_messages.renderer()):
        text = renderer.render([raw])[0]
        if text is not None:
            assert isinstance(json.loads(text), dict)
            assert len(text) <= 64 * len(raw) + 64


@pytest.mark.fuzz
@given(data=st.data())
def test_a_spoilt_message_is_rendered_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["http", "tcp", "node"]))
    raw = (ENVOY / f"{name}.bin").read_bytes()
    place = data.draw(st.integers(0, len(raw)))
    spoilt = (
        raw[:place] + data.draw(st.binary(max_size=6)) + raw[place + data.draw(st.integers(0, 9)) :]
    )
    text = envoy_messages.renderer().render([spoilt])[0]
    assert text is None or isinstance(json.loads(text), dict)
