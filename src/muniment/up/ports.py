"""Ports that are free on this machine, and stay so.

They are taken from below the range that the system gives to outgoing connections (32768 and up, as
Linux has it), where a port that was free yesterday could be anybody's today.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from random import Random

from muniment.errors import SettingsError

LOWEST, HIGHEST = 20_000, 32_000
TRIES = 1_000


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of 127.0.0.1, over TCP or UDP, at this moment."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


class FreePorts:
    """Gives each port once; `taken` are those that others have or will have."""

    def __init__(
        self,
        taken: Iterable[int] = (),
        *,
        random: Random | None = None,
        free: Callable[[int], bool] = is_free,
    ) -> None:
        self._taken, self._free = set(taken), free
        self._random = random or Random()  # noqa: S311 (nobody is to be kept from guessing)

    def take(self) -> int:
        """Returns a free port. Raises SettingsError where none is found."""
        for _ in range(TRIES):
            port = self._random.randint(LOWEST, HIGHEST)
            if port not in self._taken and self._free(port):
                self._taken.add(port)
                return port
        raise SettingsError(f"no free port was found between {LOWEST} and {HIGHEST}")
