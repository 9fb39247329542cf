"""An HTTP server that gives recorded answers, over TCP or a Unix socket."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Recorded:
    """Answers by path (without its query); what is not there is 404. A test may change them."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.url = ""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        answers = self.answers

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # one packet an answer

            def do_GET(self) -> None:
                body = answers.get(self.path.partition("?")[0])
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def address_string(self) -> str:
                return "test"

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        return Handler


@contextlib.contextmanager
def recorded(answers: dict[str, bytes], socket: Path | None = None) -> Iterator[Recorded]:
    """Serves answers on a loopback port, or on a Unix socket."""
    made = Recorded(answers)
    if socket is None:
        server: socketserver.TCPServer = ThreadingHTTPServer(("127.0.0.1", 0), made.handler())
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
    else:
        server = socketserver.ThreadingUnixStreamServer(str(socket), made.handler())
        server.daemon_threads = True
        made.url = "http://localhost"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
