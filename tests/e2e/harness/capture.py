"""A second listener beside Muniment: it keeps every syslog datagram as it came."""

from __future__ import annotations

import contextlib
import socket
import threading

_FORCE_RECEIVE_BUFFER = 33  # SO_RCVBUFFORCE, for root; the ordinary option is capped


class Capture:
    """Keeps the datagrams sent to `port`, in order."""

    def __init__(self) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, _FORCE_RECEIVE_BUFFER, 8 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port = int(self._socket.getsockname()[1])
        self.datagrams: list[bytes] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                self.datagrams.append(self._socket.recv(65_535))

    def close(self) -> None:
        """Ends the thread and the socket."""
        self._closed.set()
        self._thread.join(5)
        self._socket.close()
