"""An API server that answers what a real one (v1.30.14) answered, over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import parse_qsl, urlsplit

DATA = Path(__file__).parents[2] / "data/kubernetes/api"
INGRESSES = "/apis/networking.k8s.io/v1/ingresses"
EVENTS = [line for line in (DATA / "ingresses-watch.jsonl").read_bytes().split(b"\n") if line]
"""MODIFIED (an annotation), MODIFIED (a port), MODIFIED (the status), ADDED, DELETED, BOOKMARK."""

GONE = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "too old resource version: 228 (1001)",
    "reason": "Expired",
    "code": 410,
}

END = object()
"""The API server ends the watch, as it does after timeoutSeconds."""
DROP = object()
"""The connection breaks in the middle."""


class RecordedApiServer:
    """Answers of GET by path and `continue`; what watches are sent is put into `told`."""

    def __init__(self) -> None:
        self.told: Queue[Any] = Queue()
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.watched: Queue[dict[str, str]] = Queue()
        self.answers: dict[tuple[str, str], tuple[int, bytes]] = {}
        for path, name in (
            ("/apis/networking.k8s.io", "apis-networking.json"),
            ("/apis/networking.k8s.io/v1", "apis-networking-v1.json"),
            ("/api/v1", "api-v1.json"),
            (INGRESSES, "ingresses-1.json"),
        ):
            self.answers[path, ""] = (200, (DATA / name).read_bytes())
        following = json.loads(self.answers[INGRESSES, ""][1])["metadata"]["continue"]
        self.answers[INGRESSES, following] = (200, (DATA / "ingresses-2.json").read_bytes())
        self.writes: list[tuple[str, str, dict[str, str], Any]] = []
        """What was asked to be changed: method, path, query, body."""
        self.outcomes: list[tuple[int, bytes]] = []
        """Answers to those, in their order; then the body itself, as taken."""
        self.next: list[tuple[int, bytes]] = []
        """Answers to the next requests to watch, instead of a stream."""

    def list(self, items: list[dict[str, Any]], version: str, path: str = INGRESSES) -> None:
        """Has a collection hold these objects."""
        answer = {"metadata": {"resourceVersion": version}, "items": items}
        self.answers[path, ""] = (200, json.dumps(answer).encode())

    def await_watch(self) -> dict[str, str]:
        """Waits for the next watch and returns its query."""
        return self.watched.get(timeout=30)


@contextmanager
def recorded_api_server() -> Iterator[tuple[RecordedApiServer, str]]:
    """The server, and its URL."""
    api = RecordedApiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query))
            api.asked.append((parts.path, self.headers.get("Authorization", ""), query))
            if query.get("watch") == "1":
                self._watch(query)
            else:
                missing = (404, b"404 page not found\n")
                self._answer(*api.answers.get((parts.path, query.get("continue", "")), missing))

        def _write(self) -> None:
            parts = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(sent) if sent else None
            query = dict(parse_qsl(parts.query))
            query["type"] = self.headers.get("Content-Type", "")
            api.writes.append((self.command, parts.path, query, body))
            self._answer(*(api.outcomes.pop(0) if api.outcomes else (200, sent)))

        do_POST = do_PUT = do_PATCH = do_DELETE = _write

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _watch(self, query: Mapping[str, str]) -> None:
            api.watched.put(dict(query))
            if api.next:
                self._answer(*api.next.pop(0))
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while (told := api.told.get()) not in (END, DROP):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(told), told))
                self.wfile.flush()
            if told is DROP:
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield api, f"http://127.0.0.1:{server.server_port}"
    finally:
        for _ in range(16):
            api.told.put(END)
        server.shutdown()
        server.server_close()
