"""`muniment promote`: a backup site takes over the writing, and proves what it holds."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muniment.cli.failure import AnswerIsNo, Failure
from muniment.cli.options import json_option
from muniment.cli.terminal import note, one_line, quantity
from muniment.trust.remembered import read_trust

if TYPE_CHECKING:
    from muniment.promotion import Held


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Settings (default muniment.toml).")
@click.option("--data", type=click.Path(path_type=Path), help="Data directory of this node.")
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A receipt, checkpoint or proof kept elsewhere: says how much there was.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the statement to this new file, too."
)
@click.option("--dry-run", is_flag=True, help="Look and tell; write nothing.")
@json_option("Print the statement as one JSON object.")
def promote(
    config: Path | None,
    data: Path | None,
    trust: tuple[Path, ...],
    out: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the node of a backup site a writer, with a proof of what the site holds.

    Verifies every shard that was mirrored or restored here, compares it with what was kept
    elsewhere, and puts the result into this site's own log as its first new entry. The old shards
    stay as they are and can be read; new entries go to new shards. No server may be running on
    the data directory; the settings give this node the role ingest.

    Exit code 0: all that is known of is here. 1: something is missing or does not verify; the
    statement says what. 2: it could not be done.
    """
    from muniment.clock import SystemClock, rfc3339
    from muniment.data_directory import DataDirectory
    from muniment.log.disk import PosixDisk
    from muniment.promotion import held_shards, statement, write_statement
    from muniment.promotion import promote as put
    from muniment.settings import Role, load

    settings = load({"data": data}, config=config)
    if Role.INGEST not in settings.roles:
        raise Failure("this node does not write", advice='put "ingest" into roles first')
    if out is not None and out.exists():
        raise Failure(f"{out} is there already", advice="name a new file")
    if out is not None and not out.absolute().parent.is_dir():
        raise Failure(f"{out.absolute().parent} is no folder", advice="name one that is there")
    notes = [text for path in trust for text in read_trust(path)]
    disk, clock = PosixDisk(), SystemClock()
    directory = DataDirectory(settings.data, disk, os.urandom)
    directory.claim()
    try:
        held = held_shards(settings, directory, notes, disk)
        if not held:
            raise Failure(f"{settings.data} holds no shard of another node")
        receipts = [] if dry_run else put(settings, directory, held, disk=disk, clock=clock)
        found = statement(settings, held, receipts, rfc3339(clock.now()))
        if out is not None and not dry_run:
            write_statement(out, found)
    finally:
        directory.release()
    if as_json:
        click.echo(json.dumps(found))
    else:
        _say(held)
    if not all(one.whole for one in held):
        raise AnswerIsNo("NOT ALL IS HERE: see above")


def _say(held: Sequence[Held]) -> None:
    for one in held:
        entries = quantity(one.size - one.minimum, "entry", "entries")
        click.echo(f"{one.log}/{one.shard}: {entries}, root {one.root}")
        if one.missing is not None:
            first, last = one.missing
            note(
                f"{one.log}/{one.shard}: entries {first:,} to {last:,} were acknowledged, "
                "and are not here"
            )
        for finding in one.findings:
            note(f"{one.log}/{one.shard}: {one_line(str(finding))}")
