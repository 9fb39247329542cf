"""The progress of sending: a bar on a terminal, remarks alone elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from muniment.cli.terminal import console, note, one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Display:
    """Remarks on standard error; the subclass for terminals draws a bar as well."""

    def begin(self, name: str, size: int | None, consumed: int) -> None:
        """A file is begun, of which `consumed` of `size` bytes were sent before."""

    def moved(self, consumed: int, entries: int) -> None:
        """Bytes of the file that were read so far, and entries just acknowledged."""

    def remark(self, text: str) -> None:
        """Something that a person should know."""
        note(text)

    def waiting(self, reason: str, seconds: float) -> None:
        """The server cannot be asked just now."""
        self.remark(f"{reason}; trying again in {seconds:.1f} s")


class _Bar(Display):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._entries = 0

    def begin(self, name: str, size: int | None, consumed: int) -> None:
        if self._task is not None:
            self._progress.stop_task(self._task)
        self._entries = 0
        short = one_line(name) if len(name) <= 24 else "…" + one_line(name)[-23:]
        self._task = self._progress.add_task(short, total=size, completed=consumed, entries="")

    def moved(self, consumed: int, entries: int) -> None:
        assert self._task is not None
        self._entries += entries
        elapsed = self._progress.tasks[self._task].elapsed or 0.0
        speed = f"{self._entries / elapsed:,.0f} entries/s" if elapsed else ""
        self._progress.update(self._task, completed=consumed, entries=speed)

    def remark(self, text: str) -> None:
        self._progress.console.print(one_line(text), markup=False, soft_wrap=True)


@contextmanager
def display() -> Iterator[Display]:
    """Yields the display that suits standard error."""
    if not sys.stderr.isatty():
        yield Display()
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[entries]}"),
    )
    with Progress(*columns, console=console(err=True)) as progress:
        yield _Bar(progress)
