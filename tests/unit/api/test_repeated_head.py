"""A head that repeats is known by its bytes, and everything else goes to the parser."""

from __future__ import annotations

import httpx
import pytest
from api_parts import NAME, FailingShard, Served
from hypothesis import given
from hypothesis import strategies as st

from muniment.api.repeated_head import RepeatedHead

HEAD = (
    b"POST /api/v1/logs/default/entries HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"content-LENGTH: %d\r\nContent-Type: text/plain\r\n\r\n"
)
ENTRIES = "/api/v1/logs/default/entries"


def request(body: bytes) -> bytes:
    return HEAD % len(body) + body


def known(body: bytes = b"first") -> RepeatedHead:
    found = RepeatedHead.of(request(body), None)  # type: ignore[arg-type]
    assert found is not None
    return found


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_request_with_the_same_head_is_its_body(first: bytes, second: bytes) -> None:
    assert known(first).body(request(second)) == second


@given(st.binary(max_size=50), st.integers(0, 200), st.integers(0, 255))
def test_one_other_byte_in_the_head_is_another_head(body: bytes, place: int, byte: int) -> None:
    data = bytearray(request(body))
    place %= len(data) - len(body)
    if data[place] == byte:
        return
    data[place] = byte
    assert known().body(bytes(data)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        request(b"body")[:-1],
        request(b"body") + b"P",
        request(b"body") * 2,
        (HEAD % 4)[:-2] + b"X: y\r\n\r\nbody",
        HEAD.replace(b"%d", b"+4") + b"body",
        HEAD.replace(b"%d", b"0x4") + b"body",
        HEAD.replace(b"%d", b"4 ") + b"body",
        HEAD.replace(b"%d", b"4, 4") + b"body",
        HEAD.replace(b"%d", b"") + b"body",
        HEAD.replace(b"%d", b"4" * 40) + b"body",
        HEAD.replace(b"%d", "\u0664".encode()) + b"body",
    ],
)
def test_what_is_not_exactly_one_such_request_is_left_to_the_parser(data: bytes) -> None:
    assert known().body(data) is None


@pytest.mark.parametrize(
    "data",
    [
        request(b"body")[:-1],
        request(b"body") + b"more",
        HEAD.replace(b"content-LENGTH: %d\r\n", b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
    ],
)
def test_what_is_not_one_whole_request_is_not_remembered(data: bytes) -> None:
    assert RepeatedHead.of(data, None) is None  # type: ignore[arg-type]


def test_a_connection_that_repeats_itself_is_served_as_one_that_does_not(
    served: Served, shard: FailingShard
) -> None:
    bodies = [b"a", b"b\nb", b"c" * 1_000, b"", b"d"]
    with served.connect() as connection:
        answers = []
        for body in bodies:
            connection.sendall(request(body))
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65_536)
            answers.append(answer)
    assert [answer[9:12] for answer in answers] == [b"201", b"201", b"201", b"400", b"201"]
    kept = [shard.reader.entry(index).partition(b"\n")[2] for index in range(shard.size)]
    assert kept == [b"a", b"b", b"b", b"c" * 1_000, b"d"]


def test_a_token_that_was_revoked_is_refused_on_the_same_connection(
    client: httpx.Client, served: Served
) -> None:
    tokens = served.context.tokens
    shown = tokens.create("sender", ["write"])  # type: ignore[list-item]
    headers = {"content-type": "text/plain", "authorization": f"Bearer {shown}"}
    for _ in range(3):
        answer = client.post(ENTRIES, content=b"x", headers=headers)
        assert answer.status_code == 201
        assert answer.json()["shard"] == NAME
    tokens._records.clear()
    assert client.post(ENTRIES, content=b"x", headers=headers).status_code == 401
