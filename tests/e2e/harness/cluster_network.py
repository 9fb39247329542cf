"""A network namespace with links to this one, each of which can be cut: what is sent is lost.

Link number N has the addresses 10.213.N.1 here and 10.213.N.2 in there. A cut link answers nothing:
no refusal, no reset, as when a cable is pulled somewhere between.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest


class Namespace:
    """A namespace. `name` is for `ip netns exec`."""

    def __init__(self, links: int) -> None:
        self.name = f"mun-{uuid4().hex[:8]}"
        self._links = links
        self._forwarders: list[socket.socket] = []

    def make(self) -> None:
        """Makes the namespace and its links."""
        ip("netns", "add", self.name)
        self.inside("link", "set", "lo", "up")
        for number in range(self._links):
            here, there = f"{self.name[-8:]}h{number}", f"{self.name[-8:]}t{number}"
            ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", self.name)
            ip("address", "add", f"{self.here(number)}/24", "dev", here)
            ip("link", "set", here, "up")
            self.inside("address", "add", f"{self.there(number)}/24", "dev", there)
            self.inside("link", "set", there, "up")

    def here(self, number: int) -> str:
        """This end of a link."""
        return f"10.213.{number}.1"

    def there(self, number: int) -> str:
        """The end of a link in the namespace."""
        return f"10.213.{number}.2"

    def inside(self, *arguments: str) -> None:
        """Runs `ip` in the namespace."""
        ip("-n", self.name, *arguments)

    @contextlib.contextmanager
    def cut(self, number: int) -> Iterator[None]:
        """For the time of the block nothing that is sent to the namespace comes over a link."""
        route = ("blackhole", f"{self.there(number)}/32")
        ip("route", "add", *route)
        try:
            yield
        finally:
            ip("route", "delete", *route)

    def forward(self, number: int, port: int) -> int:
        """Passes connections to this end of a link on to a loopback port; returns the port."""
        listener = socket.create_server((self.here(number), 0))
        self._forwarders.append(listener)
        threading.Thread(target=_accept, args=(listener, port), daemon=True).start()
        return int(listener.getsockname()[1])

    def close(self) -> None:
        """Removes all of it."""
        for listener in self._forwarders:
            listener.close()
        with contextlib.suppress(AssertionError):
            ip("netns", "delete", self.name)


def ip(*arguments: str) -> None:
    """Runs `ip`, which must do it."""
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


def _accept(listener: socket.socket, port: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            return
        server.settimeout(None)
        for pair in ((client, server), (server, client)):
            threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def namespace(links: int) -> Iterator[Namespace]:
    """A namespace for the time of the block; skips where none can be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root can make network namespaces, with ip (Debian package iproute2)")
    made = Namespace(links)
    try:
        made.make()
    except AssertionError as error:
        made.close()
        pytest.skip(f"no network namespace can be made here: {error}")
    try:
        yield made
    finally:
        made.close()
