"""`muniment restore`: a data directory made anew from one store."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.failure import AnswerIsNo, Failure
from muniment.cli.options import json_option
from muniment.cli.stores import chosen_store, config_option, other_stores
from muniment.cli.terminal import note, one_line, printable, progress_bar, quantity
from muniment.errors import EvidenceError, MunimentError
from muniment.memory import keep_large_buffers
from muniment.trust.remembered import read_trust

if TYPE_CHECKING:
    from muniment.settings import Settings
    from muniment.store.port import Store
    from muniment.store.restore import Restored
    from muniment.store.witnesses import Newer


@click.command()
@click.option("--from", "source", required=True, metavar="NAME|URL", help="The store.")
@config_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The data directory to make; by default that of the settings.",
)
@click.option("--log", default="", help="Only this log.")
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A receipt, checkpoint or proof kept elsewhere: says how much there must be.",
)
@click.option("--no-index", is_flag=True, help="Do not make the search index now.")
@json_option("Print what is there and what is missing as one JSON object.")
def restore(
    source: str,
    config: Path | None,
    data: Path | None,
    log: str,
    trust: tuple[Path, ...],
    no_index: bool,
    as_json: bool,
) -> None:
    """Make a data directory anew from any one store, and say what is missing.

    NAME is a store of the server's settings. Everything is verified as it comes. What is there
    already is kept, never overwritten; after an interruption, run it again. The shards can be
    verified, searched and proven from, but not continued: `muniment serve` begins new ones beside
    them (`muniment takeover` can go on with a shard of durability `replicated`).

    Exit code 0: all that is known of is there. 1: something is missing or damaged; each sentence
    names the entries. 2: it could not be done.
    """
    from muniment.settings import load

    keep_large_buffers()
    notes = [text for path in trust for text in read_trust(path)]
    settings = load({"data": data}, config=config)
    chosen = chosen_store(settings, source)
    with ExitStack() as closing:
        _claim(settings, closing)
        store, others = _open(settings, chosen, closing)
        found, logs = _restore(settings, store, others, log, notes, as_json, closing)
        problems = [] if no_index else list(_index(settings, logs, as_json))
    _say(found, store.url, problems, as_json)
    if not found.whole or problems:
        raise AnswerIsNo(f"NOT ALL IS THERE: see above; {settings.data} holds what there is")


def _claim(settings: Settings, closing: ExitStack) -> None:
    from muniment.data_directory import DataDirectory
    from muniment.log.disk import PosixDisk

    directory = DataDirectory(settings.data, PosixDisk(), os.urandom)
    directory.claim()
    closing.callback(directory.release)


def _open(settings: Settings, chosen: Any, closing: ExitStack) -> tuple[Store, list[Store]]:
    from muniment.store.opening import open_store

    store, others = open_store(chosen, chosen.name), other_stores(settings, chosen)
    for one in (store, *others):
        closing.callback(one.close)
    return store, others


def _restore(
    settings: Settings,
    store: Store,
    others: Sequence[Store],
    log: str,
    trust: Sequence[str],
    quiet: bool,
    closing: ExitStack,
) -> tuple[Restored, list[str]]:
    from muniment.clock import SystemClock
    from muniment.log.disk import PosixDisk
    from muniment.store.restore import Restore, Target

    work = Restore(store, Target(settings.data, PosixDisk(), SystemClock()), log)
    closing.callback(work.close)
    with progress_bar("bytes", quiet=quiet) as advance:
        found = work.run(advance, threads=os.cpu_count() or 1)
    found.newer = _newer(settings, found, trust, others)
    return found, work.logs


def _newer(
    settings: Settings, found: Restored, trust: Sequence[str], others: Sequence[Store]
) -> dict[tuple[str, str], Newer]:
    """What others know of the shards; a store that does not answer is no reason to fail now."""
    from muniment.store.witnesses import Witnesses

    witnesses = Witnesses(found.shards)
    witnesses.hear_notes(trust)
    for other in others:
        try:
            witnesses.hear_store(other)
        except MunimentError as error:
            note(f"the store {other.name} was not asked how much there must be: {error.detail}")
    if settings.wal is not None:
        from muniment.store.opening import open_store

        try:
            witnesses.hear_wal(open_store(settings.wal, "wal"), settings.origin, time.sleep)
        except MunimentError as error:
            note(f"the wal store was not asked how much there must be: {error.detail}")
    return witnesses.newer


def _index(settings: Settings, logs: Sequence[str], quiet: bool) -> Iterator[str]:
    """Makes the index of each log; yields why one could not be made."""
    if settings.sources is not None:
        from muniment.event.own import use_directory

        use_directory(settings.sources, python=settings.sources_python)
    from muniment.index import rebuild

    for log in logs:
        with progress_bar("entries", quiet=quiet) as advance:
            try:
                count = rebuild(settings.data, log, advance)
            except EvidenceError as error:
                yield f"{log}: the index could not be made: {error.detail}"
                continue
            except OSError as error:
                raise Failure(f"{log}: the index could not be made: {error}") from error
        if not quiet:
            click.echo(f"{log}: {quantity(count, 'entry', 'entries')} indexed")


def _say(found: Restored, store: str, problems: Sequence[str], as_json: bool) -> None:
    statements = list(found.statements(store))
    if as_json:
        click.echo(json.dumps(_as_json(found, statements, problems), ensure_ascii=False))
        return
    for statement in (*statements, *problems):
        click.echo(one_line(statement))
    if found.attachments:
        click.echo(f"{quantity(found.attachments, 'attachment')} restored")
    for finding in found.findings:
        click.echo(f"  ! {one_line(finding.file)}\n    {printable(finding.problem)}")


def _as_json(found: Restored, statements: Sequence[str], problems: Sequence[str]) -> dict[str, Any]:
    return {
        "whole": found.whole and not problems,
        "shards": [
            {
                "log": copy.log,
                "shard": copy.shard,
                "minimum": copy.minimum,
                "size": copy.size,
                "missing": [[first, stop - 1] for first, stop in copy.missing],
                "fetched_segments": copy.fetched,
                "kept_segments": copy.kept,
                "bytes": copy.bytes,
            }
            for copy in found.shards
        ],
        "newer": [
            {"log": log, "shard": shard, "size": newer.size, "from": newer.source}
            for (log, shard), newer in found.newer.items()
        ],
        "attachments": found.attachments,
        "findings": [{"file": one.file, "problem": one.problem} for one in found.findings],
        "problems": list(problems),
        "statements": list(statements),
    }
