"""A balancer that `muniment edge run` looks after: what the supervisor asks of each kind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from muniment.edge.description import Description
from muniment.errors import MunimentError
from muniment.up import bound


class EdgeFailing(MunimentError):
    """The balancer does not start, does not load what it was given, or does not answer."""

    slug = "edge-failing"
    title = "The balancer fails"


class Balancer(Protocol):
    """One balancer whose files and sockets are in one directory; used by one thread."""

    name: str

    def render(self, description: Description) -> Mapping[str, str]:
        """Returns its files, as they are to stand in its directory."""

    def check(self, directory: Path) -> str | None:
        """Returns what is wrong with files in a directory, or None. Raises NoBinary."""

    def start(self) -> None:
        """Starts it on the files in its directory. Raises EdgeFailing, NoBinary."""

    def reload(self) -> None:
        """Has it load the files anew, without refusing a connection. Raises EdgeFailing."""

    def drain(self, nodes: Collection[str]) -> None:
        """Sends no more writes to these nodes, and to all others again. Raises EdgeFailing."""

    def stop(self, seconds: float) -> None:
        """Ends it: what is under way is answered, for `seconds` at most."""

    @property
    def running(self) -> bool:
        """Whether its process is there."""


def spawn(command: Sequence[str], directory: Path, number: int) -> subprocess.Popen[bytes]:
    """Starts a balancer in a directory. If this process is killed, it is told so by a signal.

    Ctrl-C is for this process alone, which then ends the other gently.
    """
    bind = [sys.executable, "-I", "-S", str(Path(bound.__file__)), str(os.getpid()), str(number)]
    return subprocess.Popen(
        [*bind, *command], cwd=directory, stdin=subprocess.DEVNULL, start_new_session=True
    )


def is_alive(child: subprocess.Popen[bytes] | None) -> bool:
    """Whether there is a child, and it has not ended."""
    return child is not None and child.poll() is None


def end(child: subprocess.Popen[bytes], number: int, seconds: float) -> None:
    """Ends a child gently by a signal, after `seconds` by SIGTERM, in the end by SIGKILL."""
    for how, patience in ((number, seconds), (15, 5.0), (9, 5.0)):
        if child.poll() is not None:
            return
        child.send_signal(how)
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            continue
