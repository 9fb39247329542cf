"""`muniment index`: work on the index, which can always be made again from the evidence."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from muniment.cli.failure import Failure
from muniment.cli.options import data_option
from muniment.cli.stores import config_option
from muniment.cli.terminal import progress_bar, quantity
from muniment.data_names import LOGS
from muniment.errors import EvidenceError


@click.group()
def index() -> None:
    """Work on the disposable search index; the evidence is never touched."""


@index.command()
@click.argument("name", required=False, metavar="[LOG]")
@click.option("--log", help="Only this log (as the argument LOG).")
@click.option(
    "--sources",
    envvar="MUNIMENT_SOURCES",
    type=click.Path(path_type=Path),
    help="Directory with parsers of your own; also MUNIMENT_SOURCES.",
)
@click.option(
    "--sources-python",
    is_flag=True,
    envvar="MUNIMENT_SOURCES_PYTHON",
    help="Run the .py files in it, too.",
)
@config_option
@data_option
def rebuild(
    name: str | None,
    log: str | None,
    sources: Path | None,
    sources_python: bool,
    config: Path | None,
    data: Path,
) -> None:
    """Drop the index and make it again from the evidence; no server may be running.

    Without LOG, the indexes of all logs are rebuilt. Give the --sources that the server has, and
    its --config where segments are in its store only: they are read from there.
    """
    if name and log and name != log:
        raise click.UsageError(f"{name!r} and --log {log!r} exclude each other")
    if sources is not None:
        from muniment.event.own import use_directory

        use_directory(sources, python=sources_python)
    with claimed(data):
        from muniment.cli.verify_store import disk_behind
        from muniment.index import rebuild as make_again
        from muniment.log import ShardReader

        open_reader = partial(ShardReader, disk=disk_behind(data, config))
        for one in [name or log] if name or log else _logs(data):
            with progress_bar("entries") as advance:
                try:
                    count = make_again(data, str(one), advance, open_reader=open_reader)
                except EvidenceError as error:
                    advice = f"the index is made from evidence: run `muniment verify {data}`"
                    raise Failure(f"{one}: {error.detail}", advice=advice) from error
            click.echo(f"{one}: {quantity(count, 'entry', 'entries')} indexed")


@contextmanager
def claimed(data: Path) -> Iterator[None]:
    """Holds a data directory as a server would. Raises Failure where it cannot be had."""
    if not (data / LOGS).is_dir():
        raise Failure(
            f"{data} is no data directory", advice="name the server's directory with --data"
        )
    handle = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                f"{data} is in use: a server is running on it", advice="stop the server first"
            ) from None
        yield
    finally:
        os.close(handle)


def _logs(data: Path) -> list[str]:
    found = sorted(path.name for path in (data / LOGS).iterdir() if path.is_dir())
    if not found:
        raise Failure(f"{data} holds no log")
    return found
