"""What goes to the terminal: consoles, and text from logs made safe to show."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 80
"""Columns of tables that are written to a file or a pipe, where no terminal says its width."""


def console(*, err: bool = False) -> Console:
    """Returns a rich console on standard output or error; it honours NO_COLOR and COLUMNS."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


@contextmanager
def progress_bar(unit: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that takes what is done and the total; it draws a bar on a terminal.

    `unit` is `bytes` or a word in the plural. Where standard error is no terminal, or with
    `quiet`, nothing is drawn.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    amount = DownloadColumn(binary_units=True) if unit == "bytes" else None
    columns = (
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f}%"),
        amount or TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(err=True), transient=True) as progress:
        task = progress.add_task("", total=0)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def note(text: str) -> None:
    """Writes a remark to standard error, where it does not disturb machine-readable output."""
    click.echo(printable(text), err=True)


def printable(text: str) -> str:
    r"""Returns `text` with control characters written as `\xNN`.

    Entries hold what strangers sent; an escape sequence among it must not reach the terminal.
    """
    return text.translate(_controls())


@cache
def _controls() -> dict[int, str]:
    codes = [*range(0x20), *range(0x7F, 0xA0)]
    table = {code: f"\\x{code:02x}" for code in codes}
    table |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F))}
    table |= {code: f"\\u{code:04x}" for code in range(0x2066, 0x206A)}
    del table[0x0A]
    table[0x09] = " "
    return table


def one_line(text: str) -> str:
    """Returns `text` made printable, its line breaks too."""
    return printable(text).replace("\n", "\\n")


def quantity(count: int, one: str, many: str = "") -> str:
    """Returns `1 entry`, `12,345 entries`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def bytes_text(count: int) -> str:
    """Returns a number of bytes for people: `812 B`, `1.4 MiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
