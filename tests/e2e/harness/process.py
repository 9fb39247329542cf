"""Child processes in process groups of their own, so that nothing outlives its test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .waiting import wait_for


def free_port() -> int:
    """Returns a loopback port that is free for TCP and for UDP at this moment."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                return port


class Process:
    """A running command. Its output goes to `output`, in whose directory it runs."""

    def __init__(
        self, command: Sequence[str], output: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = Path(command[0]).name
        self.output = output
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("MUNIMENT_")}
        with output.open("ab") as stream:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**inherited, **(env or {})},
                cwd=output.parent,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is that of its group too."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def printed(self) -> str:
        """All that it wrote so far."""
        return self.output.read_text(errors="replace")

    def wait_listening(self, port: int, seconds: float = 120.0) -> None:
        """Waits until a TCP port takes connections."""

        def listening() -> bool:
            assert self.running, f"{self.name} ended early:\n{self.printed()[-4000:]}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        wait_for(listening, f"{self.name} to listen on {port}", seconds)

    def send(self, number: int) -> None:
        """Sends a signal to the process alone."""
        self._child.send_signal(number)

    def kill(self) -> None:
        """kill -9 of the process alone; what it started has to notice by itself."""
        self._child.kill()
        self._child.wait(60)

    def stop(self, seconds: float = 90.0) -> int:
        """Asks it to end, then ends its whole group; returns the exit status."""
        if self.running:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
        self.end_group()
        return self._child.wait(60)

    def end_group(self) -> None:
        """kill -9 of the process and of everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """Returns the process ids of the children of a process."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in tasks.read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    """Returns the process ids of the children, their children, and so on."""
    found = children(pid)
    return found + [lower for child in found for lower in descendants(child)]


def command_line(pid: int) -> bytes:
    """Returns the command line of a process, with NUL between its words; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def alive(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def resident_bytes(pid: int, peak: bool = False) -> int:
    """Returns the resident set of a process, or the largest that it ever had."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no {wanted}")
