"""A server on loopback that answers as the contract says, and fails when it is told to."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .signed_log import SignedLog

HEADER = b'{"at":"2026-01-02T03:04:05.000000Z","via":"http","from":"local","as":"text"}\n'


@dataclass
class Request:
    """What came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What goes out."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Answer:
        return cls(status, json.dumps(value).encode(), {"content-type": "application/json"})

    @classmethod
    def problem(cls, status: int, slug: str, detail: str, **more: Any) -> Answer:
        body = {"type": f"https://muniment.dev/problems/{slug}", "title": slug, "status": status}
        return cls(
            status,
            json.dumps({**body, "detail": detail, **more}).encode(),
            {"content-type": "application/problem+json"},
        )


class Hangup(Exception):
    """The connection is closed without an answer."""


Fault = Callable[[Request, Callable[[], Answer]], Answer]
"""Stands before one write: gets the request and what would answer it."""


def refuse(status: int, slug: str, retry_after: str | None = "0", **more: Any) -> Fault:
    """Answers an error; nothing is stored."""

    def fault(_request: Request, _next: Callable[[], Answer]) -> Answer:
        answer = Answer.problem(status, slug, f"the server says {status}", **more)
        if retry_after is not None:
            answer.headers["retry-after"] = retry_after
        return answer

    return fault


def lose_request(_request: Request, _next: Callable[[], Answer]) -> Answer:
    """The connection breaks before anything is stored."""
    raise Hangup


def lose_answer(_request: Request, next_: Callable[[], Answer]) -> Answer:
    """Everything is stored, and the connection breaks before the answer."""
    next_()
    raise Hangup


class FakeServer:
    """One log with one shard. `faults` stand before the next writes, one each."""

    def __init__(self) -> None:
        self.log = SignedLog()
        self.faults: deque[Fault] = deque()
        self.requests: list[Request] = []
        self.search_pages: list[dict[str, Any]] = []
        self.sql_answer: Answer = Answer.json({"columns": [], "rows": [], "truncated": False})
        self.streams: deque[list[bytes]] = deque()
        self.token: str | None = None
        self.routes: dict[str, Callable[[Request], Answer]] = {}
        self.bad_line: Callable[[bytes], str | None] = lambda _line: None
        self.max_body = 16 << 20
        self._batches: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    @property
    def lines(self) -> list[bytes]:
        """The raw bytes of all entries, in order."""
        return [entry.partition(b"\n")[2] for entry in self.log.entries]

    @property
    def writes(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            guarded = request.path.startswith(("/api", "/tlog"))
            bearer = request.headers.get("authorization")
            if guarded and self.token and bearer != f"Bearer {self.token}":
                return Answer.problem(401, "unauthenticated", "this call needs a token")
            for pattern, route in self.routes.items():
                if re.fullmatch(pattern, request.path):
                    return route(request)
            return self._route(request)

    def _route(self, request: Request) -> Answer:
        path, log = request.path, self.log
        shard = f"/api/v1/logs/{log.log}/shards/{log.shard}"
        if path == "/healthz":
            return Answer.json({"status": "ok"})
        if path == "/readyz":
            one = {"log": log.log, "shard": log.shard, "ok": True, "size": len(log.entries)}
            return Answer.json({"ready": True, "shards": [one], "search": {"ok": True}})
        if path == "/api/v1/logs":
            return self._logs()
        if path == f"/api/v1/logs/{log.log}/entries" and request.method == "POST":
            if self.faults:
                return self.faults.popleft()(request, lambda: self._append(request))
            return self._append(request)
        if path == f"/api/v1/logs/{log.log}/search":
            return Answer.json(self.search_pages[int(request.query.get("cursor", 0))])
        if path == "/api/v1/sql":
            return self.sql_answer
        if found := re.fullmatch(rf"{shard}/entries/(\d+)(/proof)?", path):
            return self._evidence(int(found[1]), bool(found[2]))
        if path.startswith(f"/tlog/{log.log}/{log.shard}/"):
            return self._tile(path.removeprefix(f"/tlog/{log.log}/{log.shard}/"))
        return Answer.problem(404, "not-found", f"there is nothing at {path}")

    def _logs(self) -> Answer:
        log = self.log
        shard = {
            "shard": log.shard,
            "origin": log.origin,
            "verifier": str(log.signer.verifier),
            "size": len(log.entries),
        }
        return Answer.json({"logs": [{"name": log.log, "shards": [shard]}]})

    def _append(self, request: Request) -> Answer:
        if len(request.body) > self.max_body:
            return Answer.problem(413, "too-large", "the body is too large")
        key = request.headers["idempotency-key"]
        if key in self._batches:
            kept = self._batches[key]
            if kept["body"] != request.body:
                return Answer.problem(409, "conflict", "the id was used for something else")
            return Answer.json(kept["answer"], 201)
        lines = request.body.split(b"\n")
        if not lines[-1]:
            lines.pop()
        ndjson = request.headers["content-type"] == "application/x-ndjson"
        for number, line in enumerate(lines, 1):
            if reason := self.bad_line(line):
                detail = f"line {number}: {reason}"
                return Answer.problem(400, "bad-input", detail, line=number)
        first = len(self.log.entries)
        kept_lines = [line for line in lines if line.strip()] if ndjson else lines
        self.log.entries += [HEADER + line for line in kept_lines]
        answer = {
            "log": self.log.log,
            "shard": self.log.shard,
            "first": first,
            "count": len(kept_lines),
            "durability": "local",
            "receipt": "" if len(self.log.entries) > 1_000 else self.log.checkpoint(),
        }
        self._batches[key] = {"body": request.body, "answer": answer}
        return Answer.json(answer, 201)

    def _evidence(self, index: int, proof: bool) -> Answer:
        if index >= len(self.log.entries):
            return Answer.problem(404, "no-such-entry", f"there is no entry {index}")
        if proof:
            return Answer(200, self.log.proof(index).encode(), {"content-type": "text/plain"})
        return Answer(200, self.log.entries[index])

    def _tile(self, path: str) -> Answer:
        if path == "checkpoint":
            if not self.log.entries:
                return Answer.problem(404, "not-found", "no checkpoint yet")
            return Answer(200, self.log.checkpoint().encode())
        if path == "pruned":
            return Answer.problem(404, "not-found", "nothing has expired here")
        found = re.fullmatch(r"tile/(entries|\d+)/((?:x\d{3}/)*\d{3})(?:\.p/(\d+))?", path)
        assert found is not None, path
        number = int(found[2].replace("x", "").replace("/", ""))
        width = int(found[3] or 256)
        kind = found[1]
        data = (
            self.log.bundle(number, width)
            if kind == "entries"
            else self.log.tile(int(kind), number, width)
        )
        if data is None:
            return Answer.problem(404, "not-found", "there is no such tile")
        return Answer(200, data)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeServer

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, True).items()}
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, query, headers, body)
        if parts.path.endswith("/tail"):
            self._stream(request)
            return
        try:
            answer = self.fake.answer(request)
        except Hangup:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _stream(self, request: Request) -> None:
        """One prepared stream a connection; without any left, the query is refused."""
        self.fake.requests.append(request)
        self.close_connection = True
        if not self.fake.streams:
            answer = Answer.problem(400, "bad-query", "no more streams are prepared")
            self.send_response(answer.status)
            self.send_header("content-type", "application/problem+json")
            self.end_headers()
            self.wfile.write(answer.body)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for part in self.fake.streams.popleft():
            self.wfile.write(part)
            self.wfile.flush()

    do_GET = do_POST = _serve

    def log_message(self, *_arguments: object) -> None:
        """The test's output is no access log."""


@contextmanager
def serving(fake: FakeServer, port: int = 0) -> Iterator[str]:
    """Yields the address of a running server."""
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
