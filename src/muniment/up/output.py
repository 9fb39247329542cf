"""What the processes of a fleet print: each into a file of its own, all of it to the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

MAX_FILE = 16 << 20
"""Bytes of a file; then it becomes `NAME.log.1`, in place of the one before."""

Show = Callable[[str, str], None]
"""Takes the name of a process and a line of it, without the line's end."""


class Output:
    """The lines of one process. A disk that is full takes no lines, and stops nobody."""

    def __init__(self, name: str, path: Path, show: Show, most: int = MAX_FILE) -> None:
        self._name, self._path, self._show, self._most = name, path, show, most
        self._file: BinaryIO | None = None

    def line(self, data: bytes) -> None:
        """Keeps and shows a line that the process printed."""
        self._keep(data)
        self._show(self._name, data.decode(errors="replace").rstrip("\r\n"))

    def say(self, text: str) -> None:
        """Keeps and shows what is to be said of the process."""
        self._keep(f"[{self._name} {text}]\n".encode())
        self._show(self._name, f"[{text}]")

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _keep(self, data: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
                self._path.chmod(0o600)
            self._file.write(data if data.endswith(b"\n") else data + b"\n")
            if self._file.tell() > self._most:
                self.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        except OSError:
            self.close()
