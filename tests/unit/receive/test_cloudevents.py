"""CloudEvents over HTTP: binary, structured and batched mode, and the handshake."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.errors import InputError, MunimentError, Overloaded, UnsupportedMedia
from muniment.receive.coding import Coding
from muniment.receive.dialect import Posting, Taken
from muniment.receive.dialects.cloudevents import BATCHED, DIALECT, PATH, STRUCTURED, handshake
from muniment.receive.groups import pack
from muniment.receive.header import Origin

sdk = pytest.importorskip("cloudevents.core.bindings.http", reason="the CloudEvents SDK is missing")

REQUIRED = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
EVENT = b'{"specversion":"1.0", "id":"1","source":"/s","type":"t","data":{"a":1.0e0}}'
LIMIT = 64 << 20


def post(headers: dict[str, str | bytes], inner: str = "") -> Posting:
    pairs = [
        (name.lower().encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in headers.items()
    ]
    return Posting(PATH, b"", pairs, inner)


STRUCTURE = post({"content-type": f"{STRUCTURED}+json; charset=utf-8"})
BATCH = post({"content-type": f"{BATCHED}+json"})


def take(posting: Posting, body: bytes) -> Taken:
    DIALECT.coding(posting)
    return DIALECT.take(posting, body, LIMIT, lambda amount: None)


def only(taken: Taken) -> tuple[list[bytes], dict[str, str]]:
    (group,) = taken.groups
    return list(group.records), dict(group.about)


def test_a_structured_event_is_kept_as_it_came() -> None:
    taken = take(STRUCTURE, b"\n" + EVENT)
    assert only(taken) == ([b"\n" + EVENT], {})
    assert taken.groups[0].source == "cloudevents"


def test_the_events_of_a_batch_are_kept_as_they_stand() -> None:
    second = EVENT.replace(b'"1",', b'"2",')
    assert only(take(BATCH, b"[ " + EVENT + b" ,\n" + second + b"]"))[0] == [EVENT, second]


def test_an_empty_batch_is_taken() -> None:
    taken = take(BATCH, b"[]")
    assert taken.count == 0
    assert DIALECT.accepted(BATCH, taken, None).status == 204


def test_binary_mode_keeps_the_body_and_says_the_attributes_beside_it() -> None:
    headers = {**REQUIRED, "ce-subject": "Euro%20%e2%82%AC%20%F0%9F%98%80", "ce-ext1": "a%25b"}
    body = b"\x89PNG\r\n\x00"
    records, about = only(take(post({**headers, "content-type": "image/png"}), body))
    assert records == [body]
    assert about == {
        **{name.removeprefix("ce-"): value for name, value in REQUIRED.items()},
        "subject": "Euro \u20ac \U0001f600",
        "ext1": "a%b",
        "datacontenttype": "image/png",
    }


def test_binary_mode_needs_neither_a_body_nor_a_media_type() -> None:
    records, about = only(take(post({**REQUIRED}), b""))
    assert records == [b""]
    assert "datacontenttype" not in about


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ('"quoted \\"and\\" \\\\ %41"', 'quoted "and" \\ A'),
        ("%", "%"),
        ("100%25", "100%"),
        ("%2541", "%41"),
        ("\u20ac".encode(), "\u20ac"),
    ],
)
def test_header_values_are_decoded_once(value: str | bytes, text: str) -> None:
    assert only(take(post({**REQUIRED, "ce-subject": value}), b""))[1]["subject"] == text


@pytest.mark.parametrize("value", ["%C0%A0", "%ff", b"\xff", "\u00e4"])
def test_header_values_that_are_no_utf8_are_refused(value: str | bytes) -> None:
    with pytest.raises(InputError, match="ce-subject"):
        take(post({**REQUIRED, "ce-subject": value}), b"")


def test_an_attribute_that_is_given_twice_is_refused() -> None:
    posting = post(REQUIRED)
    twice = Posting(PATH, b"", [*posting.headers, (b"ce-id", b"2")])
    with pytest.raises(InputError, match="ce-id is given twice"):
        take(twice, b"")


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"ce-{name} is missing"):
        DIALECT.coding(post({k: v for k, v in REQUIRED.items() if k != f"ce-{name}"}))
    event = json.loads(EVENT)
    for wrong in ("", None, 1, [], {}):
        body = json.dumps({**event, name: wrong}).encode()
        with pytest.raises(InputError, match=f"attribute {name} is missing"):
            take(STRUCTURE, body)
    del event[name]
    with pytest.raises(InputError, match=f"event 2: the attribute {name} is missing"):
        take(BATCH, b"[" + EVENT + b"," + json.dumps(event).encode() + b"]")


def test_versions() -> None:
    assert take(STRUCTURE, EVENT.replace(b"1.0", b"0.3")).count == 1
    with pytest.raises(InputError, match=r"specversion is '0\.2'"):
        take(STRUCTURE, EVENT.replace(b"1.0", b"0.2"))


@pytest.mark.parametrize(
    "media", ["application/cloudevents", "application/cloudevents+avro", f"{BATCHED}+protobuf"]
)
def test_formats_that_are_not_json_are_refused(media: str) -> None:
    with pytest.raises(UnsupportedMedia):
        DIALECT.coding(post({**REQUIRED, "content-type": media}))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"nope", b'"x"', b"[" + EVENT + b"]"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        take(STRUCTURE, body)


@pytest.mark.parametrize("data", [rb'"\ud800"', b"[" * 5_000 + b"]" * 5_000, b'"\xff"'])
def test_data_of_whatever_kind_is_kept(data: bytes) -> None:
    odd = b'{"data":' + data + b"," + EVENT[1:]
    assert only(take(STRUCTURE, odd))[0] == [odd]
    assert only(take(BATCH, b"[" + EVENT + b"," + odd + b"]"))[0] == [EVENT, odd]


def test_an_event_that_is_sent_again_is_known_by_its_id() -> None:
    assert take(STRUCTURE, EVENT).id == take(STRUCTURE, EVENT).id
    assert take(STRUCTURE, EVENT).id != take(STRUCTURE, EVENT.replace(b'"1"', b'"2"')).id
    first = take(post({**REQUIRED}), b"x")
    assert first.id == take(post(dict(reversed(REQUIRED.items()))), b"x").id
    assert first.id != take(post({**REQUIRED, "ce-id": "2"}), b"x").id
    assert first.id != take(post({**REQUIRED}), b"y").id


def test_the_line_inside_may_have_a_parser() -> None:
    assert take(post(dict(REQUIRED), inner="haproxy"), b"x").groups[0].source == (
        "cloudevents/haproxy"
    )


def test_codings() -> None:
    assert DIALECT.coding(post({**REQUIRED, "content-encoding": "gzip"})) is Coding.GZIP


def test_answers() -> None:
    assert DIALECT.handles("/cloudevents")
    assert not DIALECT.handles("/cloudevents/x")
    assert DIALECT.accepted(STRUCTURE, take(STRUCTURE, EVENT), None).status == 204
    reply = DIALECT.refused(STRUCTURE, Overloaded("busy"))
    assert (reply.status, reply.media) == (429, "application/problem+json")
    assert json.loads(reply.body)["detail"] == "busy"
    assert "advice" in json.loads(DIALECT.refused(STRUCTURE, InputError("x", advice="y")).body)


def test_the_handshake() -> None:
    asked = [(b"webhook-request-origin", b"events.example.com"), (b"webhook-request-rate", b"120")]
    said = dict(handshake(asked).headers)
    assert said["WebHook-Allowed-Origin"] == "events.example.com"
    assert said["WebHook-Allowed-Rate"] == "*"
    assert said["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("origin", [b"", b"a b", b"a\r\nSet-Cookie: x", b"\xff", b"x" * 300])
def test_an_origin_that_is_none_is_not_repeated(origin: bytes) -> None:
    reply = handshake([(b"webhook-request-origin", origin)])
    assert dict(reply.headers) == {"Allow": "POST, OPTIONS"}
    assert dict(handshake([]).headers) == {"Allow": "POST, OPTIONS"}


printable = st.characters(exclude_categories=("Cs", "Cc", "Cn"))
texts = st.text(printable, min_size=1, max_size=20)


@given(st.dictionaries(st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True), texts, max_size=4), texts)
def test_what_the_sdk_sends_in_binary_mode_is_understood(more: dict[str, str], text: str) -> None:
    from cloudevents.core.v1.event import CloudEvent

    event = CloudEvent(
        {
            **{k: v for k, v in more.items() if k not in _CORE},
            "id": text,
            "source": text,
            "type": text,
            "time": datetime(2026, 11, 20, tzinfo=UTC),
        },
        text,
    )
    message = sdk.to_binary_event(event)
    records, about = only(take(post(dict(message.headers)), message.body))
    assert records == [text.encode()]
    said = {k: v for k, v in event.get_attributes().items() if k != "time"}
    assert {k: v for k, v in about.items() if k != "time"} == said
    assert about["time"] == "2026-11-20T00:00:00Z"


_CORE = {"id", "source", "type", "time", "specversion", "data", "subject"}
_CORE |= {"datacontenttype", "dataschema"}


@pytest.mark.fuzz
@given(
    st.binary(max_size=200),
    st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=60)), max_size=4),
    st.sampled_from([None, STRUCTURE, BATCH]),
)
def test_any_bytes_are_taken_or_refused(
    data: bytes, more: list[tuple[bytes, bytes]], posting: Posting | None
) -> None:
    if posting is None:
        headers = [(b"ce-" + name.lower(), value) for name, value in more]
        posting = Posting(PATH, b"", [*post(REQUIRED).headers, *headers])
    for body in (data, b"[" + data + b"]", EVENT[:-1] + data, b"[" + EVENT + b"," + data + b"]"):
        try:
            taken = take(posting, body)
            chunks = pack(taken.groups, "now", "n", Origin("cloudevents", "cloudevents"))
        except MunimentError:
            continue
        assert sum(chunk.count for chunk in chunks) == taken.count
