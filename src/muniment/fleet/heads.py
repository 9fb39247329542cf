"""Bounds the time until the head of an answer is there, however slowly it drips.

A timeout of httpx is for one read of the socket: a peer that sends a byte now and then would hold
a thread for days before a body begins. Here every read up to the head has what is left of the time.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx


class Heads(httpcore.NetworkBackend):
    """The network of httpcore; what is read on a thread inside `within` ends in time."""

    def __init__(self) -> None:
        self._network = httpcore.SyncBackend()
        self._of_thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bounds the reads of this thread inside the block, all of them together."""
        self._of_thread.until = time.monotonic() + seconds
        try:
            yield
        finally:
            self._of_thread.until = None

    def left(self, timeout: float | None) -> float | None:
        """Returns the timeout of a read that begins now. Raises httpcore.ReadTimeout."""
        until: float | None = getattr(self._of_thread, "until", None)
        if until is None:
            return timeout
        left = until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the head of the answer does not end")
        return left if timeout is None else min(timeout, left)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """See httpcore."""
        found = self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(found, self)


class _Stream(httpcore.NetworkStream):
    """A connection whose reads ask how much time is left."""

    def __init__(self, stream: httpcore.NetworkStream, heads: Heads) -> None:
        self._stream, self._heads = stream, heads

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._heads.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._heads)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class HeadTransport(httpx.HTTPTransport):
    """httpx's own, over such a network."""

    def __init__(self, context: ssl.SSLContext, limits: httpx.Limits, heads: Heads) -> None:
        super().__init__(verify=context, trust_env=False, limits=limits)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=heads,
        )
