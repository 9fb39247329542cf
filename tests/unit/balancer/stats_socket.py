"""A stats socket that answers what a test has recorded or made up."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

RECORDED = Path(__file__).parents[2] / "data" / "haproxy" / "runtime"
Answer = Callable[[str], bytes]


def recorded() -> dict[str, bytes]:
    """The answers of a HAProxy 2.6.12, by command."""
    names = {
        "show ssl cert": "show_ssl_cert",
        "show ssl cert /etc/haproxy/site.pem": "show_ssl_cert_site",
        "show ssl ca-file": "show_ssl_ca-file",
        "show ssl crl-file": "show_ssl_crl-file",
        **{f"show {one}": f"show_{one}" for one in ("info", "stat", "map", "acl")},
        "show servers state": "show_servers_state",
        "show map #5": "show_map_5",
        **{f"show acl #{n}": f"show_acl_{n}" for n in range(3)},
    }
    return {command: (RECORDED / f"{name}.txt").read_bytes() for command, name in names.items()}


@contextlib.contextmanager
def answering(answer: Answer, path: Path | None = None) -> Iterator[str]:
    """A socket at `path`, else on a TCP port of loopback; yields its address."""
    listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    listener.bind(str(path) if path else ("127.0.0.1", 0))
    listener.listen(16)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            data = b""
            while b"\n" not in data or (b" <<\n" in data and not data.endswith(b"\n\n")):
                data += connection.recv(65_536)
            connection.sendall(answer(data.decode("utf-8", "surrogateescape").rstrip("\n")))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield str(path) if path else f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ending.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
