"""Bytes of an API server that are no answers, and objects that are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_api_server import EVENTS

from muniment.balancer import kubernetes_answers as answers
from muniment.balancer.kubernetes_answers import Refused, refusal, watch_event
from muniment.capture.redaction import redactor
from muniment.capture.systems.kubernetes_objects import KINDS, snapshot_of
from muniment.errors import MunimentError, Unavailable

REDACT = redactor(b"k" * 32)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=20,
)


@pytest.mark.fuzz
@given(st.binary(max_size=400))
def test_no_bytes_of_a_watch_raise_anything_else(line: bytes) -> None:
    try:
        event = watch_event(line)
    except MunimentError:
        return
    assert isinstance(event.object, dict)
    assert event.size == len(line)


@pytest.mark.fuzz
@given(st.sampled_from(EVENTS), st.integers(0, 2_000), st.binary(max_size=4), st.data())
def test_no_mutated_event_raises_anything_else(
    line: bytes, at: int, noise: bytes, data: st.DataObject
) -> None:
    """A mutated event is refused, or is an object under a name that is its own."""
    at %= len(line)
    try:
        event = watch_event(line[:at] + noise + line[at + data.draw(st.integers(0, 40)) :])
        name, snapshot = snapshot_of("edge", KINDS["ingresses"], event.object, REDACT)
    except MunimentError:
        return
    assert name.endswith(event.object["metadata"]["name"])
    assert len(snapshot.version) == 64


@pytest.mark.fuzz
@given(
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(
        st.sampled_from(("metadata", "spec", "status", "data", "binaryData", "endpoints", "ports")),
        JSON,
    ),
)
def test_no_object_raises_anything_else(plural: str, thing: dict[str, Any]) -> None:
    meta = thing.get("metadata")
    thing["metadata"] = {**(meta if isinstance(meta, dict) else {}), "name": "a", "namespace": "b"}
    try:
        name, snapshot = snapshot_of("edge", KINDS[plural], thing, REDACT)
    except MunimentError:
        return
    assert name.endswith("/b/a")
    assert len(snapshot.version) == 64


@pytest.mark.fuzz
@given(st.integers(400, 599), st.binary(max_size=300))
def test_every_refusal_is_readable(code: int, body: bytes) -> None:
    error = refusal(code, body, "GET /a")
    assert isinstance(error, Refused)
    assert error.code == code
    assert len(error.detail) < 3_000


@pytest.mark.fuzz
@given(st.lists(st.binary(max_size=30)))
def test_lines_are_cut_the_same_however_they_come(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    ended = whole.split(b"\n")[:-1]
    assert list(answers.lines(iter(chunks))) == [line for line in ended if line.strip()]


def test_a_line_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_LINE", 1_000)
    with pytest.raises(Unavailable):
        list(answers.lines(iter([b"x" * 100] * 20)))
