"""A loopback HTTP server for stand-ins of a provider's interface, over a simulated bucket.

A stand-in does what the provider's reference says. It shows that requests are made and answers read
as that says; whether the provider does so is another question.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request: header names in lower case, the first value of each query parameter."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What is answered. `length` overrides the Content-Length, for HEAD; status 0 is no answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


def ranged(data: bytes, header: str, headers: Mapping[str, str]) -> Answer | None:
    """Answers a range request (RFC 9110, section 14), None where it cannot be satisfied."""
    if not header:
        return Answer(200, data, headers)
    first, _, last = header.removeprefix("bytes=").partition("-")
    begin, end = int(first), int(last or len(data) - 1)
    if begin >= len(data):
        return None
    part = data[begin : end + 1]
    shown = f"bytes {begin}-{begin + len(part) - 1}/{len(data)}"
    return Answer(206, part, {**headers, "Content-Range": shown})


@contextlib.contextmanager
def served(route: Callable[[Asked], Answer]) -> Iterator[str]:
    """Answers with `route` until the end of the block; gives the server's URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, *arguments: object) -> None:
            """Nothing is logged."""

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = parse_qs(parts.query, keep_blank_values=True)
            answer = route(
                Asked(
                    self.command,
                    unquote(parts.path) if "/o/" not in parts.path else parts.path,
                    {name: values[0] for name, values in query.items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    body,
                )
            )
            if answer.status == 0:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                length = len(answer.body) if answer.length is None else answer.length
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
