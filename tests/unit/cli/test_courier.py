"""Patience: how long and how often the same batch is sent again."""

from __future__ import annotations

import httpx
import pytest

from muniment.cli.client import Server, Unreachable
from muniment.cli.sending.courier import FIRST_CONTACT_SECONDS, Courier
from muniment.cli.sending.journal import Destination
from muniment.errors import Forbidden, Overloaded

TO = Destination("http://127.0.0.1:1", "default", "x", "text/plain")


class Story:
    """A server that answers in turn, and a clock that moves only by sleeping."""

    def __init__(self, *answers: object, retry_for: float = 60) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []
        self.courier = Courier(
            Server(TO.url, transport=httpx.MockTransport(self._answer)),
            TO,
            retry_for=retry_for,
            waiting=lambda _reason, _seconds: None,
            sleep=self.slept.append,
            monotonic=lambda: sum(self.slept),
            jitter=lambda: 1.0,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return answer


REFUSED = httpx.ConnectError("connection refused")
TAKEN = httpx.Response(201, json={"count": 1})


def busy(seconds: int) -> httpx.Response:
    return httpx.Response(429, headers={"retry-after": str(seconds)})


def test_the_same_bytes_go_out_under_the_same_id_until_they_are_taken() -> None:
    story = Story(REFUSED, httpx.Response(503), TAKEN)
    assert story.courier.deliver(b"one\n", "id-1") == {"count": 1}
    assert [request.headers["idempotency-key"] for request in story.asked] == ["id-1"] * 3
    assert [request.content for request in story.asked] == [b"one\n"] * 3


def test_pauses_grow_and_retry_after_is_waited_for() -> None:
    story = Story(REFUSED, REFUSED, REFUSED, busy(7), busy(0), TAKEN)
    story.courier.deliver(b"one\n", "id")
    assert story.slept == [0.25, 0.5, 1.0, 7.0, 4.0]


def test_a_server_never_reached_is_given_up_soon_one_that_was_is_waited_for_longer() -> None:
    story = Story(REFUSED)
    with pytest.raises(Unreachable):
        story.courier.deliver(b"one\n", "id")
    assert sum(story.slept) <= FIRST_CONTACT_SECONDS
    story = Story(busy(0), REFUSED)
    with pytest.raises(Unreachable):
        story.courier.deliver(b"one\n", "id")
    assert FIRST_CONTACT_SECONDS < sum(story.slept) <= 60


def test_patience_begins_anew_with_each_batch() -> None:
    story = Story(busy(50), TAKEN, busy(50), TAKEN)
    story.courier.deliver(b"one\n", "a")
    story.courier.deliver(b"two\n", "b")
    story = Story(busy(50), busy(50), TAKEN)
    with pytest.raises(Overloaded):
        story.courier.deliver(b"one\n", "a")


def test_what_asking_again_cannot_change_is_not_asked_again() -> None:
    story = Story(httpx.Response(403))
    with pytest.raises(Forbidden):
        story.courier.deliver(b"one\n", "id")
    assert len(story.asked) == 1
