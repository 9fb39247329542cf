"""Loki's push from clients that we did not write: Python's handler and winston's transport."""

from __future__ import annotations

import gzip
import json
import logging
import re
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import cramjam
import pytest

from muniment.receive.protobuf import Walk
from muniment.trust.directory import verify_directory

from .harness import npm
from .harness.memory import MIB, watching
from .harness.posting import send_through_kills, session
from .harness.process import free_port
from .harness.rows import assert_fields
from .harness.server import MunimentServer, serving, split_entry
from .harness.waiting import wait_for

logging_loki = pytest.importorskip("logging_loki", reason="python-logging-loki is missing")
requests = pytest.importorskip("requests", reason="requests is not installed")

PATH = "/loki/api/v1/push"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
PACKAGES = ("winston@3.19.0", "winston-loki@6.1.7")
MOST_RESIDENT = 500 * MIB
LINE = (
    "10.1.0.1:5000 [20/Nov/2026:10:00:00.000] web app/s1 0/0/1/2/3 200 17 - - ---- "
    '1/1/0/0/0 0/0 "GET /cart HTTP/1.1"'
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MunimentServer]:
    with serving(tmp_path_factory.mktemp("loki")) as one:
        yield one


class Handler(logging_loki.LokiHandler):
    """The handler, with a session that tries again, and keeping what went wrong."""

    def __init__(self, url: str, version: str = "1", tries: int = 300, auth=None) -> None:
        super().__init__(url, tags={"job": "edge"}, version=version, auth=auth)
        self.emitter.session_class = lambda: session(tries)
        self.answered = 0
        self.wrong: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.answered += 1
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        self.answered -= 1
        self.wrong.append(record.getMessage())


def logger_of(handler: Handler, name: str) -> logging.Logger:
    made = logging.Logger(name)
    made.addHandler(handler)
    return made


class Stream:
    """Lines one after the other, as a sender for `send_through_kills`."""

    def __init__(self, url: str, name: str, count: int) -> None:
        self._handler, self._name, self._count = Handler(url), name, count
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def answered(self) -> int:
        return self._handler.answered

    @property
    def wrong(self) -> list[str]:
        return self._handler.wrong

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        logger = logger_of(self._handler, self._name)
        for number in range(self._count):
            logger.info("%s %d", self._name, number)


def kept(server: MunimentServer, first: int = 0) -> list[tuple[dict, bytes]]:
    """The receipt headers and the bytes of the entries that came by Loki's push."""
    entries = [split_entry(entry) for entry in server.stored(first)]
    found = [(json.loads(header), raw) for header, raw in entries]
    return [(header, raw) for header, raw in found if header["via"] == "loki"]


def lines(entries: list[tuple[dict, bytes]]) -> list[str]:
    """The line of the one entry of each push, whatever it is encoded in."""
    return [line_in_json(raw) if raw[:1] == b"{" else line_in_protobuf(raw) for _, raw in entries]


def line_in_json(raw: bytes) -> str:
    (stream,) = json.loads(raw)["streams"]
    ((_, line, *_),) = stream["values"]
    return str(line)


def line_in_protobuf(raw: bytes) -> str:
    """PushRequest.streams[0].entries[0].line."""
    for number in (1, 2, 2):
        ((start, end),) = Walk(raw, lambda _: None).split(0, len(raw), number).spans
        raw = raw[start:end]
    return raw.decode(errors="replace")  # JavaScript sends halves of surrogate pairs


def post(
    server: MunimentServer, body: bytes, media: str = JSON, **headers: str
) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(
        server.url + PATH, data=body, headers={"Content-Type": media, **named}, timeout=60
    )


def push(*values: str, **stream: str) -> bytes:
    pairs = [[str(time.time_ns()), value] for value in values]
    return json.dumps({"streams": [{"stream": stream, "values": pairs}]}).encode()


@pytest.mark.parametrize("path", [PATH, "/in/default" + PATH])
def test_what_the_handler_sends_is_kept_line_for_line(server: MunimentServer, path: str) -> None:
    first = server.shard()["size"]
    handler = Handler(server.url + path)
    logger = logger_of(handler, "edge")
    sent = [f"{path} ä \ud83d {number}" for number in range(100)]
    for line in sent:
        logger.info(line, extra={"tags": {"number": "one"}})
    assert handler.wrong == []
    assert lines(kept(server, first)) == sent
    assert b'"number": "one"' in kept(server, first)[0][1]


def test_the_handler_of_old_servers(server: MunimentServer) -> None:
    first = server.shard()["size"]
    handler = Handler(server.url + "/api/prom/push", version="0")
    logger_of(handler, "edge").info("old")
    assert handler.wrong == []
    ((_, raw),) = kept(server, first)
    (stream,) = json.loads(raw)["streams"]
    assert stream["labels"].startswith('{job="edge"')
    assert [entry["line"] for entry in stream["entries"]] == ["old"]


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_winston_sends_both_forms(server: MunimentServer, form: str, tmp_path: Path) -> None:
    modules = npm.installed(*PACKAGES)
    first = server.shard()["size"]
    program = npm.node("loki_winston.js", modules, tmp_path / "node.txt", server.url, "500", form)
    wait_for(lambda: not program.running, "winston to end")
    assert program.stop() == 0, program.printed()
    entries = kept(server, first)
    assert {raw[:1] for _, raw in entries} == {b"{" if form == "json" else b"\n"}
    numbers = [int(line.split()[1]) for line in lines(entries)]
    assert numbers == list(range(500)), program.printed()


def test_a_line_is_found_by_what_is_in_it_and_around_it(server: MunimentServer) -> None:
    body = json.dumps(
        {
            "streams": [
                {
                    "stream": {"job": "found-edge", "host": "lb1"},
                    "values": [["1763640000000000000", LINE, {"trace_id": "beef"}]],
                }
            ]
        }
    ).encode()
    headers = {"X_Scope_OrgID": "team-a", "Content_Encoding": "gzip"}
    assert post(server, gzip.compress(body), **headers).status_code == 204
    server.wait_indexed()
    (row,) = server.rows("found-edge")
    assert_fields(
        row,
        {
            "class_uid": 4002,
            "http_request.url.path": "/cart",
            "http_response.code": 200,
            "source": "loki",
            "parse_error": None,
        },
    )
    header, raw = kept(server)[-1]
    assert header["about"] == {"tenant": "team-a"}
    assert json.loads(raw) == json.loads(body)


def test_a_thousand_identical_lines_stay_a_thousand(server: MunimentServer) -> None:
    first = server.shard()["size"]
    body = {"streams": [{"stream": {"job": "edge"}, "values": [["5", LINE]] * 1_000}]}
    assert post(server, json.dumps(body).encode()).status_code == 204
    assert lines(kept(server, first)) == [LINE] * 1_000
    assert len({raw for _, raw in kept(server, first)}) == 1


@pytest.mark.parametrize(
    ("encode", "coding"),
    [
        (zlib.compress, "deflate"),
        (lambda body: zlib.compress(body)[2:-4], "deflate"),
        (gzip.compress, "gzip"),
        (bytes, ""),
    ],
)
def test_codings(server: MunimentServer, encode, coding: str) -> None:
    first = server.shard()["size"]
    headers = {"Content_Encoding": coding} if coding else {}
    answer = post(server, encode(push("a", "b")), "application/json; charset=utf-8", **headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers
    assert lines(kept(server, first)) == ["a", "b"]


def test_a_push_that_is_repeated_under_its_key_is_there_once(server: MunimentServer) -> None:
    before, body = server.shard()["size"], push("a", "b")
    for _ in range(2):
        assert post(server, body, Idempotency_Key="loki-1").status_code == 204
    assert server.shard()["size"] == before + 2
    assert post(server, push("c"), Idempotency_Key="loki-1").status_code == 409


def test_a_push_without_lines_and_the_question_before_it(server: MunimentServer) -> None:
    for body in (push(), b"{}", b'{"streams":[]}'):
        assert post(server, body).status_code == 204
    assert post(server, b"\x00", PROTOBUF).status_code == 204
    assert requests.get(server.url + "/ready", timeout=20).text == "ready\n"


def test_who_sends_is_noted_and_a_wrong_token_refused(tmp_path: Path) -> None:
    with serving(tmp_path, {"MUNIMENT_REQUIRE_TOKENS": "true"}) as server:
        for auth in (None, ("loki", "wrong")):
            handler = Handler(server.url + PATH, auth=auth)
            logger_of(handler, "edge").info("refused")
            assert handler.wrong == ["refused"]
        answer = post(server, push("x"), Authorization="Bearer wrong")
        assert (answer.status_code, bool(answer.text)) == (401, True)
        handler = Handler(server.url + PATH, auth=("loki", server.admin_token))
        logger_of(handler, "edge").info("taken")
        assert handler.wrong == []
        assert requests.get(server.url + "/ready", timeout=20).status_code == 200
        server.http.headers["Authorization"] = f"Bearer {server.admin_token}"
        ((header, raw),) = kept(server)
        assert (header["from"], line_in_json(raw)) == ("admin", "taken")


def test_a_listener_of_its_own(tmp_path: Path) -> None:
    port = free_port()
    config = f'[[receive]]\nprotocol = "loki"\nlisten = "127.0.0.1:{port}"\nas = "haproxy"\n'
    with serving(tmp_path, config=config) as server:
        handler = Handler(f"http://127.0.0.1:{port}{PATH}")
        logger_of(handler, "edge").info(LINE)
        assert handler.wrong == []
        ((header, _),) = kept(server)
        assert header["as"] == "loki/haproxy"
        base = f"http://127.0.0.1:{port}"
        assert requests.get(base + "/ready", timeout=20).status_code == 200
        assert requests.get(base + "/api/v1/logs", timeout=20).status_code == 404


@pytest.mark.parametrize(
    ("body", "media", "headers", "status"),
    [
        (b"\x00\xff garbage", PROTOBUF, {}, 400),
        (bytes(cramjam.snappy.compress_raw(b"\xff garbage")), PROTOBUF, {}, 400),
        (b"", PROTOBUF, {}, 400),
        (b'{"streams":[', JSON, {}, 400),
        (b'{"streams":[{"values":[7]}]}', JSON, {}, 400),
        (b"x", JSON, {"Content_Encoding": "br"}, 415),
        (b"x", JSON, {"Content_Encoding": "gzip"}, 400),
    ],
)
def test_what_can_never_be_taken_is_refused_with_a_line_that_says_why(
    server: MunimentServer, body: bytes, media: str, headers: dict[str, str], status: int
) -> None:
    before = server.shard()["size"]
    answer = post(server, body, media, **headers)
    assert answer.status_code == status, answer.text
    assert re.fullmatch(r".{10,}\n", answer.text)
    assert server.shard()["size"] == before


def test_hostile_bodies_cost_no_more_than_their_bounds(server: MunimentServer) -> None:
    before = server.shard()["size"]
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(8 * MIB)) for _ in range(64)) + packer.flush()
    cases = [
        (b"x" * 100 * MIB, PROTOBUF, {}),
        (bomb, JSON, {"Content_Encoding": "gzip"}),
        (b"\xff\xff\xff\xff\x0f" + b"\x00a" * 1_000, PROTOBUF, {}),
        (bytes(cramjam.snappy.compress_raw(bytes(128 * MIB))), PROTOBUF, {}),
        (bytes(cramjam.snappy.compress_raw(b"\x0a\x00" * 16_000_000)), PROTOBUF, {}),
        (b'{"streams":[' + b"{}," * 4_000_000 + b"{}]}", JSON, {}),
        (b'{"streams":[{"values":[' + b"[]," * 4_000_000 + b"[]]}]}", JSON, {}),
        (b'{"streams":' + b"[" * 8_000_000, JSON, {}),
    ]
    with watching(server.process.pid) as watch:
        for body, media, headers in cases:
            assert post(server, body, media, **headers).status_code in (400, 413)
        assert post(server, push("after")).status_code == 204, "others go on"
    assert server.shard()["size"] == before + 1
    assert watch.peak < MOST_RESIDENT, watch


def test_slow_and_idle_senders_hold_nobody_up(server: MunimentServer) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\n"
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    try:
        for number, one in enumerate(slow):
            if number % 2:
                one.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        for number in range(50):
            assert post(server, push(f"beside slow ones {number}")).status_code == 204
    finally:
        for one in slow:
            one.close()


def test_not_now_is_said_so_that_a_sender_tries_again(tmp_path: Path) -> None:
    """A sender whose body does not come takes the memory of all bodies, for a while."""
    env = {"MUNIMENT_MAX_BODY": "1MiB", "MUNIMENT_MAX_BODIES": "1MiB"}
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\n"
    with serving(tmp_path, env) as server:
        handler = Handler(server.url + PATH)
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(f"{head}Content-Length: {MIB}\r\n\r\n".encode())
            wait_for(lambda: post(server, push("now")).status_code == 429, "the memory to be taken")
            answer = post(server, push("now"))
            assert int(answer.headers["retry-after"]) >= 1
            first = server.shard()["size"]
            logger = logger_of(handler, "edge")
            thread = threading.Thread(target=logger.info, args=("later",), daemon=True)
            thread.start()
            time.sleep(0.5)
            assert server.shard()["size"] == first
        thread.join(30)
        assert handler.wrong == []
        assert lines(kept(server, first)) == ["later"]


def test_kills_in_mid_stream_lose_nothing(tmp_path: Path) -> None:
    """A push whose answer was lost comes again: Loki's protocol cannot say that it is the same."""
    kills, count, names = 4, 800, ("one", "two", "three")
    with serving(tmp_path) as server:
        streams = [Stream(server.url + PATH, name, count) for name in names]
        send_through_kills(
            server, streams, kills=kills, random=Random(20_261_121), pause=time.sleep
        )
        found = Counter(lines(kept(server)))
        assert set(found) == {f"{name} {number}" for name in names for number in range(count)}
        doubled = sum(found.values()) - len(found)
        print(f"\n{doubled} of {len(found)} lines are there twice after {kills} kills")
        assert doubled <= kills * len(names)
        server.stop()
        report = verify_directory(server.data)
        assert report.intact, "\n".join(map(str, report.findings))


def test_a_kill_loses_nothing_of_what_winston_sends(tmp_path: Path) -> None:
    """After an error winston keeps what it has for a minute, or until it is closed."""
    modules = npm.installed(*PACKAGES)
    with serving(tmp_path) as server:
        program = npm.node(
            "loki_winston.js", modules, tmp_path / "node.txt", server.url, "8000", "protobuf"
        )
        wait_for(lambda: server.shard()["size"] > 500, "lines to come")
        server.kill()
        wait_for(lambda: "logged" in program.printed(), "winston to log all")
        server.start()
        wait_for(lambda: not program.running, "winston to end", 120)
        assert "Error" in program.printed(), "it was not killed in mid-stream"
        numbers = Counter(line.split()[1] for line in lines(kept(server)))
        assert set(numbers) == set(map(str, range(8_000))), program.printed()[-2_000:]
        print(f"\n{sum(numbers.values()) - len(numbers)} lines are there twice")
