"""What a person sees when a command cannot do its work: one clear line and an exit code."""

from __future__ import annotations

import errno
import os
from typing import IO, Any

import click

from muniment.cli.terminal import printable
from muniment.errors import InputError, MunimentError, TryLater, Unauthenticated


class Failure(click.ClickException):
    """The command could not do its work: wrong use, no connection, an unreadable file.

    Ends it with exit code 2 and `error: ...` on standard error, without a traceback.
    """

    exit_code = 2

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(printable(message))
        self.advice = printable(advice)

    def show(self, file: IO[Any] | None = None) -> None:
        """Writes the message and, where there is any, the advice."""
        click.echo(f"{_red('error:')} {self.message}", file=file, err=True)
        if self.advice:
            click.echo(f"       {self.advice}", file=file, err=True)


class AnswerIsNo(Failure):
    """The command did its work, and the answer is no: evidence does not hold, lines not sent."""

    exit_code = 1


def as_failure(error: Exception) -> Failure | None:
    """Returns what to show for an error, or None for one that nobody foresaw (a defect)."""
    if isinstance(error, MunimentError):
        return Failure(error.detail, advice=advice_for(error))
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        return Failure(_os_error(error))
    return None


def advice_for(error: MunimentError) -> str:
    """Returns what the caller can do next, or an empty text where there is nothing to add."""
    if isinstance(error, InputError):
        return error.advice
    if isinstance(error, Unauthenticated):
        return "give a token with --token or the variable MUNIMENT_TOKEN"
    if isinstance(error, TryLater):
        return f"try again in {error.retry_after} s; `muniment doctor` looks for the cause"
    return ""


def _os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _red(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg="red")
