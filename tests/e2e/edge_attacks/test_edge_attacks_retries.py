"""What may be sent twice is sent twice, and nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.harness.attacks_edges import AttackedEdge
from tests.e2e.harness.attacks_recorder import Seen, plain_answer
from tests.e2e.harness.waiting import wait_for

ENTRIES = "/api/v1/logs/default/entries"
TEXT = "Content-Type: text/plain"


@pytest.fixture(autouse=True)
def _both_are_back(edge: AttackedEdge) -> None:
    """What failed before is asked again only after a while: both nodes take writes first."""

    def both() -> bool:
        mark = secrets.token_hex(8)
        for _ in range(6):
            edge.client().ask("POST", ENTRIES, TEXT, body=mark.encode())
        return all(node.of(mark) for node in edge.ingest)

    wait_for(both, "both nodes to take writes", 60)


@pytest.fixture
def failing(edge: AttackedEdge) -> Iterator[AttackedEdge]:
    """The first ingest node takes each request whole and hangs up without a word."""

    def hang_up(one: Seen) -> bytes | None:
        return plain_answer(one) if one.target == "/readyz" else None

    for node in edge.ingest:
        node.answer = hang_up
    yield edge
    for node in edge.ingest:
        node.answer = None


def test_a_write_without_a_key_is_never_sent_twice(failing: AttackedEdge) -> None:
    for _ in range(4):
        mark = secrets.token_hex(8)
        said = failing.client().ask("POST", ENTRIES, TEXT, body=mark.encode())
        assert said.status in (502, 503, 504)
        assert len(failing.seen(mark)) <= 1


def test_a_write_with_a_key_is_sent_to_the_other_node(edge: AttackedEdge) -> None:
    """One node hangs up, the other answers: the client sees only the answer."""
    first, second = edge.ingest
    mark = secrets.token_hex(8)

    def hang_up(one: Seen) -> bytes | None:
        return None if one.body == mark.encode() and not second.of(mark) else plain_answer(one)

    def hang_up_too(one: Seen) -> bytes | None:
        return None if one.body == mark.encode() and not first.of(mark) else plain_answer(one)

    first.answer, second.answer = hang_up, hang_up_too
    try:
        said = edge.client().ask(
            "POST", ENTRIES, TEXT, f"Idempotency-Key: k-{mark}", body=mark.encode()
        )
    finally:
        first.answer = second.answer = None
    seen = edge.seen(mark)
    assert said.status == 201 and len(seen) >= 2
    assert {one.header("idempotency-key")[0] for one in seen} == {f"k-{mark}"}


def test_retries_have_an_end(failing: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    said = failing.client().ask(
        "POST", ENTRIES, TEXT, f"Idempotency-Key: k-{mark}", body=mark.encode()
    )
    assert said.status in (502, 503, 504) and said.header("retry-after")
    assert len(failing.seen(mark)) <= 5


@pytest.mark.parametrize("key", ["", " ", "\t"])
def test_an_empty_key_is_no_key(key: str, failing: AttackedEdge) -> None:
    mark = secrets.token_hex(8)
    failing.client().ask("POST", ENTRIES, TEXT, f"Idempotency-Key:{key}", body=mark.encode())
    assert len(failing.seen(mark)) <= 1
