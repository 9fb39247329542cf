"""Loki's push: entries cut apart with their labels, snappy undone within bounds."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment import errors
from muniment.budget import Budget, Hold
from muniment.errors import InputError, MunimentError, TooLarge, UnsupportedMedia
from muniment.receive.coding import Coding
from muniment.receive.dialect import Posting, Taken
from muniment.receive.dialects.loki import DIALECT, OLD_PATH, PATH, probe, unsnappy
from muniment.receive.protobuf import varint

LIMIT = 64 << 20
PROTOBUF, JSON = b"application/x-protobuf", b"application/json"


def free(_: int) -> None:
    """Lets memory be used without a bound."""


def post(media: bytes = PROTOBUF, *headers: tuple[bytes, bytes], path: str = PATH) -> Posting:
    return Posting(path, b"", [(b"content-type", media), *headers])


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def entry(line: bytes, second: int = 1, **metadata: str) -> bytes:
    """An EntryAdapter of push.proto."""
    pairs = [(field(1, k.encode()) + field(2, v.encode())) for k, v in metadata.items()]
    time = varint(1 << 3) + varint(second)
    return field(1, time) + field(2, line) + b"".join(field(3, pair) for pair in pairs)


def stream(labels: bytes, *entries: bytes, label_hash: int = 0) -> bytes:
    """A StreamAdapter of push.proto."""
    found = field(1, labels) + b"".join(field(2, one) for one in entries)
    return found + (varint(3 << 3) + varint(label_hash) if label_hash else b"")


def push(*streams: bytes) -> bytes:
    return b"".join(field(1, one) for one in streams)


def taken_of(body: bytes, posting: Posting | None = None) -> Taken:
    return DIALECT.take(posting or post(), body, LIMIT, free)


def records(body: bytes, posting: Posting | None = None) -> Sequence[bytes]:
    return [one for group in taken_of(body, posting).groups for one in group.records]


def test_protobuf_is_cut_into_pushes_of_one_entry() -> None:
    one, two = entry(b"GET / \xff", 1, trace="a1"), entry(b"GET / \xff", 1)
    body = push(
        stream(b'{job="edge"}', one, two, label_hash=77),
        stream(b"{}"),
        stream(b'{job="ingress"}', entry(b"", 0)),
    )
    assert records(snappy(body)) == [
        field(1, field(1, b'{job="edge"}') + field(2, one) + b"\x18\x4d"),
        field(1, field(1, b'{job="edge"}') + field(2, two) + b"\x18\x4d"),
        field(1, field(1, b'{job="ingress"}') + field(2, entry(b"", 0))),
    ]


def test_json_is_cut_into_pushes_of_one_value() -> None:
    body = b"""{"streams": [
        {"stream": {"job":"edge"}, "values": [["1","a"], ["1", "a", {"trace": "a1"} ]]},
        {"values":[["2","[]{}\\ud83d"]],"stream":{}},
        {"stream":{"job":"none"},"values":[]}
    ]}"""
    assert records(body, post(b"application/json; charset=utf-8")) == [
        b'{"streams": [{"stream": {"job":"edge"}, "values": [["1","a"]]}]}',
        b'{"streams": [{"stream": {"job":"edge"}, "values": [["1", "a", {"trace": "a1"} ]]}]}',
        b'{"streams": [{"values":[["2","[]{}\\ud83d"]],"stream":{}}]}',
    ]


def test_a_thousand_identical_lines_stay_a_thousand() -> None:
    body = push(stream(b'{job="edge"}', *[entry(b"same", 5)] * 1_000))
    assert records(snappy(body)) == [push(stream(b'{job="edge"}', entry(b"same", 5)))] * 1_000
    text = json.dumps({"streams": [{"stream": {}, "values": [["5", "same"]] * 1_000}]}).encode()
    assert len(records(text, post(JSON))) == 1_000


def test_the_old_path_has_its_own_json() -> None:
    old = post(JSON, path=OLD_PATH)
    assert records(b'{"streams":[{"labels":"{}","entries":[{"ts":"t","line":"a"}]}]}', old) == [
        b'{"streams":[{"labels":"{}","entries":[{"ts":"t","line":"a"}]}]}'
    ]
    body = push(stream(b"{}", entry(b"a")))
    assert records(snappy(body), post(path=OLD_PATH)) == [body]


@pytest.mark.parametrize("body", [b'{"streams":[]}', b"{}", b'{"streams":[{"stream":{"a":"b"}}]}'])
def test_a_push_without_entries_is_answered_like_any_other(body: bytes) -> None:
    assert taken_of(body, post(JSON)) == Taken([])
    assert taken_of(snappy(b"")) == taken_of(snappy(push(stream(b'{a="b"}')))) == Taken([])
    reply = DIALECT.accepted(post(JSON), Taken([]), None)
    assert (reply.status, reply.body) == (204, b"")


def test_the_tenant_is_noted() -> None:
    body = snappy(push(stream(b"{}", entry(b"a"))))
    (group,) = taken_of(body, post(PROTOBUF, (b"x-scope-orgid", b"team-a|b"))).groups
    assert group.about == {"tenant": "team-a|b"}
    (group,) = taken_of(body).groups
    assert (group.about, group.source) == ({}, "loki")
    (group,) = taken_of(body, Posting(PATH, inner="haproxy")).groups
    assert group.source == "loki/haproxy"


def test_the_paths_and_the_codings() -> None:
    assert DIALECT.handles("/loki/api/v1/push")
    assert DIALECT.handles("/api/prom/push")
    assert not any(map(DIALECT.handles, ("/loki/api/v1/query", "/loki/api/v1/push/", "/")))
    for named, coding in (
        (b"snappy", Coding.IDENTITY),
        (b"Snappy", Coding.IDENTITY),
        (b"", Coding.IDENTITY),
        (b"gzip", Coding.GZIP),
        (b"deflate", Coding.DEFLATE),
    ):
        assert DIALECT.coding(post(PROTOBUF, (b"content-encoding", named))) is coding
    assert DIALECT.coding(Posting(PATH)) is Coding.IDENTITY
    with pytest.raises(UnsupportedMedia):
        DIALECT.coding(post(JSON, (b"content-encoding", b"br")))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InputError("bad"), 400),
        (errors.TooLarge("long"), 413),
        (errors.Unauthenticated("who"), 401),
        (errors.Overloaded("full"), 429),
        (errors.StorageFailing("disk"), 503),
        (errors.Corrupt("file", 0, "a", "b"), 500),
    ],
)
def test_refusals_are_a_line_for_the_sender_s_own_log(error: MunimentError, status: int) -> None:
    reply = DIALECT.refused(post(), error)
    assert (reply.status, reply.body) == (status, error.detail.encode() + b"\n")
    assert reply.media.startswith("text/plain")


def test_vector_asks_whether_loki_is_ready() -> None:
    for method in ("GET", "HEAD"):
        reply = probe(method, Posting("/ready"))
        assert reply is not None
        assert (reply.status, reply.body) == (200, b"ready\n")
    assert probe("POST", Posting("/ready")) is None
    assert probe("GET", Posting(PATH)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80",
        b"\xff" * 12,
        b"\x05\x00a",
        b"\xff\xff\xff\xff\x0f\x00",
        b"\xe8\x07" + b"\x00a" * 10,
        b"\x05\x01\x00",
        snappy(b"abc" * 1_000)[:-1],
        snappy(b"abc" * 1_000) + b"x",
        b'{"streams":[]}',
        zlib.compress(b"abc"),
    ],
)
def test_what_is_no_snappy_is_refused(body: bytes) -> None:
    with pytest.raises(MunimentError):
        unsnappy(body, LIMIT, free)


def test_a_length_that_lies_costs_nothing() -> None:
    asked: list[int] = []
    for size in (LIMIT + 1, 1 << 32, (1 << 63) + 1):
        with pytest.raises(TooLarge):
            unsnappy(varint(size) + b"\x00a" * 100, LIMIT, asked.append)
    with pytest.raises(InputError, match="so long"):
        unsnappy(varint(LIMIT) + b"\x00a" * 100, LIMIT, asked.append)
    assert asked == []


def test_a_bomb_is_refused_before_it_unpacks() -> None:
    bomb = snappy(bytes(32 << 20))
    assert len(bomb) < 2 << 20
    with pytest.raises(TooLarge, match="unpacks"):
        unsnappy(bomb, 16 << 20, free)
    with pytest.raises(TooLarge, match="memory"):
        unsnappy(bomb, LIMIT, Hold(Budget(32 << 20)).grow)
    assert unsnappy(bomb, LIMIT, free) == bytes(32 << 20)


@pytest.mark.fuzz
@given(st.binary(max_size=3_000), st.integers(1, 40))
def test_snappy_is_undone(body: bytes, times: int) -> None:
    assert unsnappy(snappy(body * times), LIMIT, free) == body * times


lines = st.tuples(st.binary(max_size=40), st.integers(0, 1 << 40))
streams_ = st.lists(st.tuples(st.binary(max_size=20), st.lists(lines, max_size=4)), max_size=4)


@pytest.mark.fuzz
@given(streams_)
def test_every_entry_is_found_once_in_order(streams: list) -> None:
    body = push(*[stream(labels, *[entry(*one) for one in of]) for labels, of in streams])
    expected = [push(stream(labels, entry(*one))) for labels, of in streams for one in of]
    assert records(snappy(body)) == expected


texts = st.text(max_size=20)
values = st.lists(st.one_of(texts, st.dictionaries(texts, texts, max_size=2)), max_size=3)


@pytest.mark.fuzz
@given(st.lists(st.tuples(st.dictionaries(texts, texts, max_size=2), st.lists(values, max_size=4))))
def test_every_value_is_found_once_in_order(
    streams: list[tuple[Mapping[str, str], list[list[object]]]],
) -> None:
    body = json.dumps({"streams": [{"stream": s, "values": v} for s, v in streams]}).encode()
    expected = [{"streams": [{"stream": s, "values": [v]}]} for s, of in streams for v in of]
    assert [json.loads(one) for one in records(body, post(JSON))] == expected


@pytest.mark.fuzz
@given(
    st.one_of(st.binary(max_size=200), st.just(snappy(push(stream(b"{}", entry(b"abc" * 30)))))),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=3),
    st.sampled_from((PROTOBUF, JSON)),
)
def test_any_bytes_are_taken_or_refused(
    body: bytes, changes: list[tuple[int, int]], media: bytes
) -> None:
    changed = bytearray(body)
    for place, value in changes:
        if changed:
            changed[place % len(changed)] = value
    hold = Hold(Budget(64 << 20))
    try:
        taken = DIALECT.take(post(media), bytes(changed), LIMIT, hold.grow)
    except MunimentError:
        return
    for group in taken.groups:
        for one in group.records:
            again = one if media == JSON else snappy(one)
            assert records(again, post(media)) == [one]
