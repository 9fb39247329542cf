"""A reverse proxy that changes one byte of one resource and passes everything else on."""

from __future__ import annotations

import contextlib
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def tampering(upstream: str, path: str, offset: int) -> Iterator[str]:
    """Yields the address of a proxy that flips the lowest bit of byte `offset` of `path`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                with urllib.request.urlopen(upstream + self.path, timeout=30) as answer:
                    status, body = answer.status, bytearray(answer.read())
            except urllib.error.HTTPError as error:
                status, body = error.code, bytearray(error.read())
            if self.path.endswith(path):
                assert status == 200, f"{path} is not there: {status}"
                body[offset] ^= 1
                seen.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
        assert seen, f"nobody asked for {path}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
