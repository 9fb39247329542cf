"""Elasticsearch's bulk API: what an entry is, what is refused, and what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from muniment.errors import (
    Conflict,
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
from muniment.receive.dialect import Posting, Reply, Taken
from muniment.receive.dialects.elastic import DIALECT, MAX_ACTION_BYTES

NDJSON = (b"content-type", b"application/x-ndjson")


def posting(path: str = "/_bulk", query: bytes = b"", **headers: str) -> Posting:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Posting(path, query, [NDJSON, *named])


def nothing(_: int) -> None:
    """Memory without end."""


def take(body: bytes, path: str = "/_bulk", query: bytes = b"") -> Taken:
    return DIALECT.take(posting(path, query), body, 1 << 26, nothing)


def records(body: bytes, path: str = "/_bulk") -> list[bytes]:
    (group,) = take(body, path).groups
    return list(group.records)


def acknowledged(count: int, first: int = 40) -> Acknowledgement:
    return Acknowledgement("edge", "s0", first, count, "local", "receipt")


def answered(
    body: bytes, path: str = "/_bulk", query: bytes = b"", count: int | None = None, **headers: str
) -> Reply:
    taken = take(body, path, query)
    many = taken.count if count is None else count
    return DIALECT.accepted(posting(path, query, **headers), taken, acknowledged(many))


def answer(body: bytes, path: str = "/_bulk", query: bytes = b"") -> Any:
    return json.loads(answered(body, path, query).body)


@pytest.mark.parametrize(
    "path",
    [
        "/_bulk",
        "/_bulk/",
        "/logs-nginx/_bulk",
        "/.monitoring-es/_bulk",
        "/logs/doc/_bulk",
        "/logs/_doc/_bulk",
        "/logs/_doc",
        "/logs/_doc/",
        "/logs/_doc/17",
        "/logs/_doc/a/b%",
        "/logs/_create/17",
    ],
)
def test_its_paths(path: str) -> None:
    assert DIALECT.handles(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/_search",
        "/_bulk/x",
        "/a/b/c/_bulk",
        "/_doc/_bulk/x",
        "/logs/_create",
        "/logs/_create/",
        "/logs/_update/17",
        "/logs/_docs/1",
        "/v1/logs",
        "/services/collector",
        "/api/v1/logs/default/entries",
    ],
)
def test_paths_of_others(path: str) -> None:
    assert not DIALECT.handles(path)


def test_the_head_is_judged_before_the_body() -> None:
    assert DIALECT.coding(posting(content_encoding="gzip")) is Coding.GZIP
    versioned = b"application/vnd.elasticsearch+x-ndjson; compatible-with=9"
    assert DIALECT.coding(Posting("/_bulk", headers=[(b"content-type", versioned)])).value
    for wrong in ((b"content-type", b"application/cbor"), (b"accept", b"application/json")):
        with pytest.raises(UnsupportedMedia, match="Content-Type"):
            DIALECT.coding(Posting("/_bulk", headers=[wrong]))
    with pytest.raises(UnsupportedMedia, match="coding"):
        DIALECT.coding(posting(content_encoding="br"))
    with pytest.raises(InputError, match="longer"):
        DIALECT.coding(posting("/" + "x" * 600 + "/_bulk"))


def test_an_entry_is_the_action_and_its_document_as_they_came() -> None:
    body = (
        b'{"index":{"_index":"a"}}\n{"message" : "x", "n": 1.0e0}\n'
        b'\n { "create" : {"_index":"a","_id":"7"} } \r\n{"m":1}\r\n'
        b'{"delete":{"_index":"a","_id":"7"}}\n'
        b'{"update":{"_index":"a","_id":"7"}}\n{"doc":{}}'
    )
    assert records(body) == [
        b'{"index":{"_index":"a"}}\n{"message" : "x", "n": 1.0e0}',
        b' { "create" : {"_index":"a","_id":"7"} } \r\n{"m":1}\r',
        b'{"delete":{"_index":"a","_id":"7"}}',
        b'{"update":{"_index":"a","_id":"7"}}\n{"doc":{}}',
    ]


def test_a_document_that_is_no_json_is_kept() -> None:
    body = b'{"index":{}}\nnot \xff JSON\n{"index":{}}\n\n{"create":{}}\n{"index":{}}\n'
    assert records(body) == [
        b'{"index":{}}\nnot \xff JSON',
        b'{"index":{}}\n',
        b'{"create":{}}\n{"index":{}}',
    ]


def test_identical_documents_stay_as_many() -> None:
    line = b'{"index":{"_id":"1"}}\n{"message":"GET /"}\n'
    assert records(line * 1_000) == [line[:-1]] * 1_000


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"message\n", 1),
        (b'{"index":{}}\n{}\n{"indexes":{}}\n{}\n', 3),
        (b'{"index":{}}\n{}\n{"index":{},"delete":{}}\n{}\n', 3),
        (b'\n\n{"index":[]}\n{}\n', 3),
        (b'{"index":null}\n{}\n', 1),
        (b'["index"]\n{}\n', 1),
        (b'{"delete":{}}\n{}\n', 2),
        (b'{"delete":{}}\n7\n', 2),
        (b'{"\xff":{}}\n{}\n', 1),
        (b'{"index":{}}\n', 2),
        (b'{"delete":{}}\n{"index":{}}', 3),
    ],
)
def test_what_is_no_action_is_named(body: bytes, line: int) -> None:
    with pytest.raises(InputError) as caught:
        take(body)
    assert caught.value.line == line


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\n"])
def test_a_body_without_an_action_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        take(body)


def test_an_action_has_its_bound() -> None:
    filler = b"x" * MAX_ACTION_BYTES
    with pytest.raises(TooLarge):
        take(b'{"index":{"_id":"%b"}}\n{}\n' % filler)
    assert len(records(b'{"index":{}}\n%b\n' % (filler * 2))) == 1


def test_what_the_path_and_the_query_say_stands_in_about() -> None:
    query = b"pipeline=geo&routing=r&refresh=true&filter_path=errors"
    (group,) = take(b'{"index":{}}\n{}\n', "/logs/doc/_bulk", query).groups
    assert group.about == {"index": "logs", "type": "doc", "pipeline": "geo", "routing": "r"}
    (group,) = take(b'{"index":{}}\n{}\n').groups
    assert group.about == {}
    assert group.source == "elastic"
    inner = Posting("/_bulk", headers=[NDJSON], inner="nginx")
    (group,) = DIALECT.take(inner, b'{"index":{}}\n{}\n', 99, nothing).groups
    assert group.source == "elastic/nginx"


def test_a_single_document_is_kept_as_it_came() -> None:
    body = b'{\n "message": "x"\n}\n'
    for path, query, about in (
        ("/logs/_doc", b"", {"action": "index", "index": "logs"}),
        ("/logs/_doc/a/1", b"", {"action": "index", "index": "logs", "id": "a/1"}),
        ("/logs/_create/1", b"", {"action": "create", "index": "logs", "id": "1"}),
        (
            "/logs/_doc/1",
            b"op_type=create",
            {"action": "create", "index": "logs", "id": "1", "op_type": "create"},
        ),
    ):
        (group,) = take(body, path, query).groups
        assert list(group.records) == [body]
        assert group.about == about


def test_a_batch_has_no_id_even_where_its_documents_have() -> None:
    """Some shippers make ids of the content: two batches that look alike can both be meant."""
    assert take(b'{"create":{"_id":"1"}}\n{}\n').id == ""


def test_the_answer_has_an_item_for_each_action_in_order() -> None:
    body = (
        b'{"index":{}}\n{}\n{"create":{"_index":"a\\"","_id":"\\u00e4"}}\n{}\n'
        b'{"delete":{"_id":5}}\n{"update":{"_index":"c","_id":""}}\n{}\n'
    )
    found = answer(body, "/logs/_bulk")
    common = {"_version": 1, "_primary_term": 1}
    assert found == {
        "took": 0,
        "errors": False,
        "items": [
            {"index": item("logs", "s0-40", "created", 40, 201) | common},
            {"create": item('a"', "ä", "created", 41, 201) | common},
            {"delete": item("logs", "5", "deleted", 42, 200) | common},
            {"update": item("c", "s0-43", "updated", 43, 200) | common},
        ],
    }


def item(index: str, id_: str, result: str, number: int, status: int) -> dict[str, object]:
    return {"_index": index, "_id": id_, "result": result, "_seq_no": number, "status": status}


def test_fluent_bit_finds_success_in_a_cut_answer() -> None:
    reply = answered(b'{"create":{}}\n{}\n' * 500)
    assert b'"errors":false,"items":[' in reply.body[:4096]
    assert reply.media == "application/json"


def test_ids_are_unique_where_a_document_was_kept_in_parts() -> None:
    body = b'{"index":{}}\n{}\n' * 3
    found = json.loads(answered(body, count=5).body)
    assert [i["index"]["_id"] for i in found["items"]] == ["s0-40-0", "s0-40-1", "s0-40-2"]
    assert found["items"][0]["index"]["_index"] == "edge"


@pytest.mark.parametrize(
    ("filter_path", "expected"),
    [
        ("errors,items.*.error,items.*.status", {"errors": 0, "items": [{"index": ["status"]}]}),
        ("errors", {"errors": 0}),
        ("took,errors", {"took": 0, "errors": 0}),
        ("items.*.error", {}),
        ("items.*._index,items.*.status,items.*.error.type", {"items": [{"index": 2}]}),
        ("-took", None),
        ("items.*.st*", None),
        ("**.error", None),
        ("items", {"items": None}),
    ],
)
def test_a_filter_path_is_followed_or_left(filter_path: str, expected: Any) -> None:
    query = f"filter_path={filter_path}".encode()
    found = answer(b'{"index":{}}\n{}\n', query=query)
    if expected is None:
        assert set(found) == {"took", "errors", "items"}
        return
    assert set(found) == set(expected)
    fields = expected.get("items") and expected["items"][0]["index"]
    if isinstance(fields, list):
        assert found["items"] == [{"index": {"status": 201}}]
    elif fields == 2:
        assert set(found["items"][0]["index"]) == {"_index", "status"}


def test_the_answer_to_a_single_document() -> None:
    reply = answered(b"{}", "/logs/_doc/7")
    assert reply.status == 201
    assert json.loads(reply.body) == {
        "_index": "logs",
        "_id": "7",
        "_version": 1,
        "result": "created",
        "_seq_no": 40,
        "_primary_term": 1,
        "_shards": {"total": 1, "successful": 1, "failed": 0},
    }
    assert json.loads(answered(b"{}", "/logs/_doc").body)["_id"] == "s0-40"


def test_every_answer_says_what_it_is() -> None:
    compatible = "application/vnd.elasticsearch+json; compatible-with=8"
    good = answered(b'{"index":{}}\n{}\n', accept=compatible)
    bad = DIALECT.refused(posting(accept=compatible), InputError("no"))
    for reply in (good, bad):
        assert dict(reply.headers) == {"X-Elastic-Product": "Elasticsearch"}
        assert reply.media == "application/vnd.elasticsearch+json;compatible-with=8"
    assert dict(DIALECT.refused(posting(), Forbidden("no")).headers)["X-Elastic-Product"]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Overloaded("full"), 429, "es_rejected_execution_exception"),
        (IndexBehind("behind"), 429, "es_rejected_execution_exception"),
        (StorageFailing("disk"), 429, "es_rejected_execution_exception"),
        (Unauthenticated("who"), 401, "security_exception"),
        (Forbidden("no"), 403, "security_exception"),
        (UnknownLog("none"), 404, "index_not_found_exception"),
        (TooLarge("much"), 413, "content_too_long_exception"),
        (UnsupportedMedia("what"), 415, "media_type_header_exception"),
        (Conflict("twice"), 409, "illegal_argument_exception"),
        (InputError("bad \ud800", line=3, advice="mend"), 400, "illegal_argument_exception"),
        (MunimentError("broken"), 500, "exception"),
    ],
)
def test_errors_are_elasticsearchs(error: MunimentError, status: int, kind: str) -> None:
    reply = DIALECT.refused(posting(), error)
    found = json.loads(reply.body)
    assert reply.status == found["status"] == status
    assert found["error"]["type"] == found["error"]["root_cause"][0]["type"] == kind
    if status == 400:
        assert found["error"]["reason"] == "line 3: bad ?; mend"


def test_memory_is_told_before_it_is_used() -> None:
    told: list[int] = []

    def grow(amount: int) -> None:
        told.append(amount)
        raise Overloaded("full")

    with pytest.raises(Overloaded):
        DIALECT.take(posting(), b'{"delete":{}}\n' * 1_000, 99, grow)
    assert told[0] > 1_000 * 300


documents = st.binary(max_size=30).map(lambda text: text.replace(b"\n", b" "))
given_actions = st.tuples(
    st.sampled_from(["index", "create", "update", "delete"]),
    st.fixed_dictionaries({}, optional={"_index": st.text(max_size=5), "_id": st.text(max_size=5)}),
    documents,
)


@given(st.lists(given_actions, min_size=1, max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_what_was_sent_comes_back_byte_for_byte(
    given_: list[tuple[str, dict[str, str], bytes]], newline: bytes
) -> None:
    entries = []
    for verb, target, document in given_:
        action = json.dumps({verb: target}).encode()
        entries.append(action if verb == "delete" else action + newline + document)
    body = newline.join(entries) + newline
    expected = [entry + newline[:-1] for entry in entries]
    assert records(body) == expected
    items = answer(body, "/logs/_bulk")["items"]
    assert [next(iter(i)) for i in items] == [verb for verb, _, _ in given_]
    for i, (verb, target, _) in zip(items, given_, strict=True):
        assert i[verb]["_index"] == (target.get("_index") or "logs")
        if target.get("_id"):
            assert i[verb]["_id"] == target["_id"]


GOOD = b'{"index":{"_index":"a","_id":"1"}}\n{"m":"x"}\n{"delete":{"_id":"\\ud83d"}}\n'


@pytest.mark.fuzz
@given(
    st.binary(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 20), st.binary(max_size=60)
)
@example(b'{"index":{"_id":1e999}}\n{}\n', 0, 0, b"")
@example(b'{"delete":{"_id":-0.0}}', 0, 0, b"filter_path=items.*._id&\xff")
@example(b'{"index":' + b"[" * 60_000, 0, 0, b"")
def test_any_bytes_are_kept_whole_or_refused(noise: bytes, at: int, cut: int, query: bytes) -> None:
    mutated = GOOD[:at] + noise + GOOD[at + cut :]
    for body in (noise, mutated, GOOD + mutated):
        try:
            taken = DIALECT.take(posting(query=query), body, 1 << 20, nothing)
        except MunimentError as error:
            json.loads(DIALECT.refused(posting(query=query), error).body)
            continue
        (group,) = taken.groups
        kept = b"\n".join(group.records)
        assert kept.split() == body.split(), "only blank lines go"
        assert len(taken.reply) == len(group.records)
        reply = DIALECT.accepted(posting(query=query), taken, acknowledged(taken.count))
        json.loads(reply.body)


@pytest.mark.fuzz
@given(st.text(max_size=60), st.binary(max_size=40))
def test_any_path_is_taken_or_not(text: str, document: bytes) -> None:
    for path in (text, f"/{text}/_bulk", f"/{text}/_doc/{text}", f"/a/_create/{text}"):
        if not DIALECT.handles(path):
            continue
        try:
            taken = take(document, path)
        except MunimentError:
            continue
        reply = DIALECT.accepted(posting(path), taken, acknowledged(taken.count))
        json.loads(reply.body)
