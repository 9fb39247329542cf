"""The Kubernetes audit webhook: lists of events as the API server posts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment import errors
from muniment.errors import InputError, MunimentError, TooLarge, UnsupportedMedia
from muniment.receive.coding import Coding
from muniment.receive.dialect import Posting, Taken
from muniment.receive.dialects.kubernetes import DIALECT, PATH

SAMPLE = (Path(__file__).parents[2] / "data/kubernetes/audit-priv-pod.log").read_bytes().strip()
HEAD = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":'
LIMIT = 64 << 20


def post(*headers: tuple[bytes, bytes], query: bytes = b"timeout=30s") -> Posting:
    return Posting(PATH, query, headers or ((b"content-type", b"application/json"),))


def free(amount: int) -> None:
    """Memory without end."""


def take(body: bytes) -> Taken:
    return DIALECT.take(post(), body, LIMIT, free)


def records(body: bytes) -> list[bytes]:
    return [record for group in take(body).groups for record in group.records]


def event(number: int, stage: str = "ResponseComplete", **more: object) -> bytes:
    found = {"level": "Metadata", "auditID": f"id-{number}", "stage": stage, **more}
    return json.dumps(found, separators=(",", ":")).encode()


def listed(*items: bytes) -> bytes:
    return HEAD + b"[" + b",".join(items) + b"]}\n"


def test_the_path_is_its_own() -> None:
    assert DIALECT.handles("/kubernetes/audit")
    assert not DIALECT.handles("/kubernetes/audit/")
    assert not DIALECT.handles("/kubernetes")


def test_each_item_is_a_record_byte_for_byte() -> None:
    items = [
        event(1, "RequestReceived"),
        b'{ "auditID" : "x" , "stage":"Panic","n":1.0e0 }',
        SAMPLE,
    ]
    taken = take(listed(*items))
    (group,) = taken.groups
    assert (group.source, list(group.records), group.about) == ("kubernetes", items, {})
    assert taken.count == 3


def test_an_event_alone_is_a_record() -> None:
    assert records(SAMPLE) == [SAMPLE]


@pytest.mark.parametrize("items", [b"[]", b"null", b"[ ]"])
def test_an_empty_list_is_taken(items: bytes) -> None:
    taken = take(HEAD + items + b"}")
    assert taken.count == 0
    assert DIALECT.accepted(post(), taken, None).status == 200
    assert records(b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1"}') == []


POISON = [
    rb'{"auditID":"p","stage":"Panic","requestObject":{"a":"\ud800"}}',
    b'{"auditID":"p","stage":"Panic","requestObject":' + b"[" * 9_000 + b"]" * 9_000 + b"}",
    b'{"auditID":"p","stage":"Panic","requestObject":"\xff\xfe"}',
    rb'{"auditID":"p","stage":"Panic","requestObject":"]},{\""}',
]


@pytest.mark.parametrize("poison", POISON)
def test_no_request_of_a_user_keeps_others_out_of_the_log(poison: bytes) -> None:
    """Patches stand in audit events as the client wrote them."""
    items = [event(1), poison, event(2)]
    taken = take(listed(*items))
    assert list(taken.groups[0].records) == items
    assert taken.id


def test_a_batch_that_is_sent_again_is_known_by_its_id() -> None:
    body = listed(event(1), event(2))
    assert take(body).id == take(body).id
    assert len(take(body).id) == 32
    assert take(body).id != take(listed(event(1), event(3))).id


@pytest.mark.parametrize("item", [b'{"a":1}', b'{"auditID":"x"}', b'{"auditID":1,"stage":"Panic"}'])
def test_events_without_a_name_are_never_taken_for_repetitions(item: bytes) -> None:
    taken = take(listed(event(1), item))
    assert taken.count == 2
    assert taken.id == ""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1","items":[]}', "v1beta1"),
        (b'{"kind":"Event","apiVersion":"v1","items":[]}', "apiVersion"),
        (b'{"kind":"EventList","items":[]}', "apiVersion"),
        (b'{"kind":"Pod","apiVersion":"audit.k8s.io/v1"}', "Pod"),
        (HEAD + b"{}}", "array"),
        (HEAD + b"[1]}", "object"),
        (HEAD + b"[{}", "JSON"),
        (b"", "JSON"),
        (b"[]", "JSON"),
    ],
)
def test_what_is_no_list_of_events_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        take(body)


def test_heads_are_judged_before_the_body_comes() -> None:
    assert DIALECT.coding(post()) is Coding.IDENTITY
    assert DIALECT.coding(post((b"content-encoding", b"gzip"))) is Coding.GZIP
    with pytest.raises(UnsupportedMedia):
        DIALECT.coding(post((b"content-type", b"application/vnd.kubernetes.protobuf")))


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (InputError("x"), 400, "BadRequest"),
        (errors.Unauthenticated("x"), 401, "Unauthorized"),
        (errors.Forbidden("x"), 403, "Forbidden"),
        (errors.TooLarge("x"), 413, "RequestEntityTooLarge"),
        (errors.Overloaded("x", retry_after=7), 429, "TooManyRequests"),
        (errors.StorageFailing("x"), 503, "ServiceUnavailable"),
        (MunimentError("x"), 500, "InternalError"),
    ],
)
def test_refusals_are_statuses(error: MunimentError, status: int, reason: str) -> None:
    reply = DIALECT.refused(post(), error)
    said = json.loads(reply.body)
    assert (reply.status, said["code"], said["reason"]) == (status, status, reason)
    assert (said["kind"], said["apiVersion"], said["status"]) == ("Status", "v1", "Failure")
    assert said.get("details") == (
        {"retryAfterSeconds": error.retry_after} if isinstance(error, errors.TryLater) else None
    )


def test_the_answer_is_a_status_of_success() -> None:
    reply = DIALECT.accepted(post(), take(SAMPLE), None)
    assert (reply.status, reply.media) == (200, "application/json")
    assert json.loads(reply.body)["status"] == "Success"


def test_millions_of_items_are_refused_before_they_cost_memory() -> None:
    held = 0

    def grow(amount: int) -> None:
        nonlocal held
        held += amount
        if held > 64 << 20:
            raise TooLarge("too much memory")

    with pytest.raises(TooLarge):
        DIALECT.take(post(), listed(*[b"{}"] * 1_000_000), LIMIT, grow)


mutations = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 3), st.binary(max_size=4)), max_size=6
)


@pytest.mark.fuzz
@given(mutations)
def test_mutated_lists_are_taken_whole_or_refused(changes: list[tuple[int, int, bytes]]) -> None:
    body = bytearray(listed(event(1, "RequestReceived"), SAMPLE, POISON[0], event(2)))
    for place, length, text in changes:
        body[place % len(body) : place % len(body) + length] = text
    try:
        found = records(bytes(body))
    except InputError:
        return
    rest = bytes(body)
    for record in found:  # each stands in the body, in order
        before, record_, rest = rest.partition(record)
        assert record_ == record
        assert len(before) <= len(HEAD) + 40 or before == b""


@pytest.mark.fuzz
@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    for body in (data, HEAD + data, HEAD + b"[" + data + b"]}", listed(data), b"{" + data):
        try:
            take(body)
        except InputError:
            continue
