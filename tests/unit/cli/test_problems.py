"""Answers that are no success become the error that the server raised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from muniment import errors
from muniment.cli.client import Server, Unreachable
from muniment.cli.problems import Refused, error_of, retry_after

NOW = datetime(2026, 3, 4, tzinfo=UTC)


def response(status: int, body: object = None, **headers: str) -> httpx.Response:
    request = httpx.Request("GET", "http://127.0.0.1/")
    if body is None or isinstance(body, bytes):
        return httpx.Response(status, content=body or b"", headers=headers, request=request)
    return httpx.Response(status, json=body, headers=headers, request=request)


@pytest.mark.parametrize(
    ("status", "slug", "kind"),
    [
        (400, "bad-input", errors.InputError),
        (400, "bad-query", errors.QueryError),
        (401, "unauthenticated", errors.Unauthenticated),
        (403, "forbidden", errors.Forbidden),
        (404, "unknown-log", errors.UnknownLog),
        (404, "no-such-entry", errors.NoSuchEntry),
        (409, "conflict", errors.Conflict),
        (413, "too-large", errors.TooLarge),
        (415, "unsupported-media", errors.UnsupportedMedia),
        (429, "overloaded", errors.Overloaded),
        (503, "storage-failing", errors.StorageFailing),
        (503, "something new", errors.Unavailable),
        (500, "corrupt", errors.EvidenceError),
        (418, "teapot", Refused),
    ],
)
@pytest.mark.parametrize("prefix", ["https://muniment.dev/problems/", "urn:muniment:problem:"])
def test_a_problem_has_the_kind_that_its_type_names(
    status: int, slug: str, kind: type[errors.MunimentError], prefix: str
) -> None:
    body = {"type": prefix + slug, "title": "t", "status": status, "detail": "what happened"}
    answer = response(status, body)
    error = error_of(answer, answer.content)
    assert type(error) is kind
    assert "what happened" in error.detail


def test_the_line_and_the_advice_come_along_once() -> None:
    body = {"type": "x/bad-input", "detail": "line 3: not JSON", "line": 3, "advice": "mend it"}
    answer = response(400, body)
    error = error_of(answer, answer.content)
    assert isinstance(error, errors.InputError)
    assert (error.line, error.advice, error.detail) == (3, "mend it", "line 3: not JSON")


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad Gateway</html>", b"[1]", b"{", b"\xff", [1, 2], {"detail": {"a": 1}}]
)
def test_answers_of_proxies_in_between_are_understood_by_their_status(body: object) -> None:
    answer = response(502, body)
    assert isinstance(error_of(answer, answer.content), errors.Unavailable)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("99999", 300),
        ("", 1),
        ("soon", 1),
        ("-5", 1),
        (format_datetime(NOW + timedelta(seconds=20)), 20),
        (format_datetime(NOW - timedelta(seconds=20)), 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: int) -> None:
    assert retry_after(response(503, **{"retry-after": header}), NOW) == seconds


def test_what_the_server_says_cannot_steer_the_terminal() -> None:
    answer = response(400, {"detail": "a\x1b[31m\nb"})
    assert error_of(answer, answer.content).detail == "a\\x1b[31m\nb"


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow")])
def test_transport_errors_are_translated_at_the_edge(failure: httpx.HTTPError) -> None:
    def handler(_request: httpx.Request) -> httpx.Response:
        raise failure

    with (
        Server("http://127.0.0.1:1", transport=httpx.MockTransport(handler)) as server,
        pytest.raises(Unreachable) as raised,
    ):
        server.get_json("/")
    assert raised.value.__cause__ is failure


@pytest.mark.parametrize("body", [b"<html>", b"", b"\xff\xfe"])
def test_an_answer_that_is_not_json_is_another_server(body: bytes) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, content=body))
    with (
        Server("http://127.0.0.1:1", transport=transport) as server,
        pytest.raises(Unreachable, match="is it a Muniment server"),
    ):
        server.get_json("/")
