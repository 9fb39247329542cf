"""Splunk's HTTP Event Collector: events, lines, acknowledgements, and its error codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from muniment.errors import (
    Forbidden,
    IndexBehind,
    InputError,
    MunimentError,
    Overloaded,
    StorageFailing,
    TooLarge,
    Unauthenticated,
    UnknownLog,
    UnsupportedMedia,
)
from muniment.log import Acknowledgement
from muniment.receive.coding import Coding
from muniment.receive.dialect import Posting, Taken
from muniment.receive.dialects.splunk import DIALECT, MAX_ACK_BODY, ack_id, answer, was_given
from muniment.receive.dialects.splunk_events import HecError

EVENT, RAW, ACK = (f"/services/collector/{name}" for name in ("event", "raw", "ack"))
CHANNEL = "FE0ECFAD-13D5-401B-847D-77833BD77131"
OTHER = "00000000-0000-0000-0000-000000000001"


def posting(path: str = EVENT, query: bytes = b"", **headers: str) -> Posting:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Posting(path, query, named)


def on_channel(path: str, query: bytes = b"") -> Posting:
    return posting(path, query, x_splunk_request_channel=CHANNEL)


def nothing(_: int) -> None:
    """Memory without end."""


def take(body: bytes, post: Posting | None = None) -> Taken:
    return DIALECT.take(post or posting(), body, 1 << 26, nothing)


def records(body: bytes) -> list[bytes]:
    (group,) = take(body).groups
    return list(group.records)


def acknowledged(first: int, count: int, shard: str = "s0") -> Acknowledgement:
    return Acknowledgement("edge", shard, first, count, "local", "receipt")


def refused(body: bytes, post: Posting | None = None) -> dict[str, Any]:
    post = post or posting()
    with pytest.raises(HecError) as caught:
        take(body, post)
    reply = DIALECT.refused(post, caught.value)
    assert reply.status == 400
    return dict(json.loads(reply.body))


def test_its_paths() -> None:
    collector = "/services/collector"
    for path in ("", "/", "/event", "/event/1.0", "/raw", "/raw/1.0", "/ack", "/1.0"):
        assert DIALECT.handles(collector + path), path
    for path in ("/health", "/health/1.0", "/s2s", "/event/2.0", "s"):
        assert not DIALECT.handles(collector + path), path


def test_events_are_objects_one_after_the_other() -> None:
    body = b' \n{"event":"a","time":1.50}{"event" : {"b":[1]} }\r\n\t{"n":1e999,"event":0}\n'
    assert records(body) == [
        b'{"event":"a","time":1.50}',
        b'{"event" : {"b":[1]} }',
        b'{"n":1e999,"event":0}',
    ]
    (group,) = take(body).groups
    assert group.source == "splunk"
    assert group.about == {}


def test_events_are_taken_from_an_array_too() -> None:
    assert records(b' [ {"event":"a"} ,\n{"event": "b", "x": "]"}]') == [
        b'{"event":"a"}',
        b'{"event": "b", "x": "]"}',
    ]


def test_what_a_string_holds_ends_no_event() -> None:
    events = [
        b'{"event":"}{\\"event\\":1}"}',
        b'{"event":"\\\\"}',
        b'{"event":"[{"}',
        b'{"event":false}',
    ]
    for glue in (b"", b"\n", b" \r\n "):
        assert records(glue.join(events)) == events


def test_bytes_that_parsers_refuse_are_kept() -> None:
    body = b'{"event":"\\ud83d"}{"event":"\xff\\ud83d\\ude00\\n"}{"event":"\\\\ud83d"}'
    assert records(body) == body.replace(b"}{", b"}\n{").split(b"\n")


def test_identical_events_stay_as_many() -> None:
    assert records(b'{"event":"GET /"}' * 1_000) == [b'{"event":"GET /"}'] * 1_000


@pytest.mark.parametrize(
    ("body", "code", "number"),
    [
        (b"", 5, None),
        (b" \r\n", 5, None),
        (b"[]", 5, None),
        (b"GET / HTTP/1.1", 6, 0),
        (b'"event"', 6, 0),
        (b"\\x", 6, 0),
        (b'{"event":1}{"event":', 6, 1),
        (b'{"event":1},{"event":2}', 6, 1),
        (b'{"event":1}}', 6, 1),
        (b'{"event":NaN}', 6, 0),
        (b'{"event":"\x01"}', 6, 0),
        (b'{"event":"\\x"}', 6, 0),
        (b'[{"event":1},2]', 6, None),
        (b'[{"event":1}', 6, None),
        (b'{"event":' + b"[" * 50_000, 6, 0),
        (b'{"event":1}{"message":"x"}', 12, 1),
        (b'{"event":null}', 12, 0),
        (b'[{"event":1},{}]', 12, 1),
        (b'{"event":1}{"event":2}{"event":""}', 13, 2),
        (b'[{"event":""}]', 13, 0),
    ],
)
def test_what_is_wrong_has_splunks_code(body: bytes, code: int, number: int | None) -> None:
    found = refused(body)
    assert found["code"] == code
    assert found.get("invalid-event-number") == number
    assert found["text"]


def test_lines_are_kept_as_they_are() -> None:
    post = on_channel(RAW, b"host=h&source=s&sourcetype=t&index=i&time=1.5&as=nginx&host=")
    (group,) = take(b"a\r\n\n\xff{}\n", post).groups
    assert list(group.records) == [b"a\r", b"", b"\xff{}"]
    assert group.source == "text"
    about = {"source": "s", "sourcetype": "t", "index": "i", "time": "1.5", "channel": CHANNEL}
    assert group.about == about
    inner = Posting(RAW, post.query, post.headers, "nginx")
    assert take(b"a", inner).groups[0].source == "nginx"
    assert take(b"a", inner).groups[0].records == [b"a"]
    assert refused(b"", post)["code"] == 5


def test_lines_and_questions_need_a_channel_that_is_a_guid() -> None:
    for path in (RAW, RAW + "/1.0", ACK):
        with pytest.raises(HecError) as caught:
            DIALECT.coding(posting(path))
        assert caught.value.code == 10
        assert DIALECT.coding(posting(path, b"channel=" + CHANNEL.encode())) is Coding.IDENTITY
    for channel in ("x", CHANNEL + "0", "{" + CHANNEL + "}"):
        with pytest.raises(HecError) as caught:
            DIALECT.coding(posting(EVENT, x_splunk_request_channel=channel))
        assert caught.value.code == 11
    gzip = posting(EVENT, content_encoding="gzip")
    assert DIALECT.coding(gzip) is Coding.GZIP


def test_success_has_an_id_only_on_a_channel() -> None:
    taken = take(b'{"event":1}')
    plain = DIALECT.accepted(posting(), taken, acknowledged(7, 1))
    assert (plain.status, plain.body) == (200, b'{"text":"Success","code":0}')
    post = on_channel(EVENT)
    with_id = json.loads(DIALECT.accepted(post, taken, acknowledged(7, 1)).body)
    assert with_id == {"text": "Success", "code": 0, "ackId": ack_id(acknowledged(7, 1), CHANNEL)}


def asked(ids: list[int], channel: str = CHANNEL) -> dict[str, bool]:
    post = posting(ACK, x_splunk_request_channel=channel)
    taken = take(json.dumps({"acks": ids}).encode(), post)
    assert taken.count == 0
    return dict(json.loads(DIALECT.accepted(post, taken, None).body)["acks"])


def test_an_id_that_was_given_is_good_and_any_other_is_not() -> None:
    given_ = ack_id(acknowledged(1_000, 10), CHANNEL)
    assert asked([given_]) == {str(given_): True}
    assert asked([given_], CHANNEL.lower()) == {str(given_): True}
    assert asked([given_], OTHER) == {str(given_): False}
    counted = list(range(3_000))
    assert not any(asked(counted).values())
    assert asked([2**63 - 1]) == {str(2**63 - 1): False}


@given(st.integers(0, 2**40), st.integers(1, 2**20), st.sampled_from(["s0", "s1"]))
def test_ids_fit_a_json_number(first: int, count: int, shard: str) -> None:
    found = ack_id(acknowledged(first, count, shard), CHANNEL)
    assert 0 <= found < 2**53
    assert was_given(found, CHANNEL)


def test_ids_of_batches_differ() -> None:
    found = {
        ack_id(acknowledged(first, 1, shard), CHANNEL)
        for first in range(2_000)
        for shard in ("s0", "s1")
    }
    assert len(found) == 4_000


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"acks":1}', b'{"acks":["1"]}', b'{"acks":[-1]}', b'{"acks":[1.5]}'],
)
def test_a_question_that_is_none(body: bytes) -> None:
    assert refused(body, on_channel(ACK))["code"] == 6


def test_a_question_has_its_bound() -> None:
    with pytest.raises(TooLarge):
        take(b" " * (MAX_ACK_BODY + 1), on_channel(ACK))


@pytest.mark.parametrize(
    ("error", "authorization", "status", "code"),
    [
        (Unauthenticated("who"), None, 401, 2),
        (Unauthenticated("who"), "Digest x", 401, 3),
        (Unauthenticated("who"), "Splunk x", 403, 4),
        (Forbidden("no"), "Splunk x", 403, 4),
        (Overloaded("full"), None, 503, 9),
        (IndexBehind("behind"), None, 503, 9),
        (StorageFailing("disk"), None, 503, 9),
        (UnknownLog("none"), None, 404, 404),
        (TooLarge("much"), None, 413, 27),
        (UnsupportedMedia("what"), None, 415, 6),
        (InputError("bad \ud800"), None, 400, 6),
        (MunimentError("broken"), None, 500, 8),
    ],
)
def test_errors_are_splunks(
    error: MunimentError, authorization: str | None, status: int, code: int
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    reply = DIALECT.refused(posting(**headers), error)
    found = json.loads(reply.body)
    assert (reply.status, found["code"]) == (status, code)
    assert found["detail"]


def test_health_and_options() -> None:
    healthy = answer("GET", "/services/collector/health/1.0")
    assert healthy is not None
    assert (healthy.status, json.loads(healthy.body)["code"]) == (200, 17)
    ill = answer("GET", "/services/collector/health", ready=False)
    assert ill is not None
    assert (ill.status, json.loads(ill.body)["code"]) == (503, 18)
    options = answer("OPTIONS", "/services/collector/event/1.0")
    assert options is not None
    assert (options.status, dict(options.headers)) == (200, {"Allow": "POST"})
    assert answer("POST", "/services/collector/health") is None
    assert answer("GET", "/services/collector/event") is None
    assert answer("GET", "/") is None


def test_memory_is_told_before_it_is_used() -> None:
    for path, body in ((EVENT, b'{"event":1}' * 9), (RAW, b"\n" * 9), (ACK, b'{"acks":[1]}')):
        told: list[int] = []

        def grow(amount: int, told: list[int] = told) -> None:
            told.append(amount)
            raise Overloaded("full")

        with pytest.raises(Overloaded):
            DIALECT.take(on_channel(path), body, 99, grow)
        assert told[0] >= len(body)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@given(
    st.lists(json_values.filter(lambda v: v not in (None, "")), min_size=1, max_size=6),
    st.sampled_from([b"", b"\n", b" \r\n\t"]),
    st.booleans(),
)
def test_events_come_back_byte_for_byte(values: list[Any], glue: bytes, plain: bool) -> None:
    texts = [json.dumps({"time": 1, "event": v}, ensure_ascii=plain) for v in values]
    events = [text.encode("utf-8", "surrogatepass") for text in texts]
    assert records(glue.join(events) + glue) == events
    assert records(b"[" + (glue + b",").join(events) + b"]") == events


GOOD = b'{"event":"a\\ud83d"} {"time":1,"event":{"b":[1,{}]}}'


@pytest.mark.fuzz
@given(st.binary(max_size=100), st.integers(0, len(GOOD)), st.integers(0, 10))
@example(b'{"event":"\\ud8"}', 0, 0)
@example(b"\\x", 0, 0)
@example(b'{"event":1}' + b'{"a":' * 3_000, 0, 0)
def test_any_bytes_are_kept_whole_or_refused(noise: bytes, at: int, cut: int) -> None:
    mutated = GOOD[:at] + noise + GOOD[at + cut :]
    for body in (noise, mutated, b"[" + mutated + b"]", GOOD + noise):
        try:
            found = records(body)
        except MunimentError as error:
            reply = DIALECT.refused(posting(), error)
            assert json.loads(reply.body)["code"] in (5, 6, 12, 13)
            continue
        squeezed = b"".join(found)
        assert squeezed.startswith(b"{")
        whole = body.strip(b" \t\r\n")
        if whole.startswith(b"["):
            continue
        position = 0
        for event in found:
            start = whole.index(event, position)
            assert not whole[position:start].strip(b" \t\r\n"), "only space is between events"
            position = start + len(event)
        assert position == len(whole)


@pytest.mark.fuzz
@given(st.binary(max_size=100), st.binary(max_size=40), st.text(max_size=40))
def test_any_line_question_and_head_are_taken_or_refused(
    body: bytes, query: bytes, channel: str
) -> None:
    for path in (RAW, ACK, EVENT):
        for post in (
            on_channel(path, query),
            posting(path, query, x_splunk_request_channel=channel),
        ):
            try:
                DIALECT.coding(post)
                taken = take(b'{"acks":[%b]}' % body if path == ACK else body, post)
            except MunimentError as error:
                json.loads(DIALECT.refused(post, error).body)
                continue
            if path == RAW:
                kept = b"\n".join(taken.groups[0].records)
                assert kept == body or kept + b"\n" == body
            made = acknowledged(5, taken.count) if taken.count else None
            assert DIALECT.accepted(post, taken, made).status == 200
