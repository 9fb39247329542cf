"""`muniment verify`: is a whole log what it was?"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muniment.cli.failure import AnswerIsNo
from muniment.cli.known_keys import given_keys, known_keys_file, read_known_keys
from muniment.cli.options import check_url, json_option
from muniment.cli.report import print_report, report_as_json
from muniment.cli.stores import config_option
from muniment.cli.terminal import progress_bar
from muniment.errors import EvidenceError
from muniment.log.note import Verifier
from muniment.log.report import Finding
from muniment.memory import keep_large_buffers
from muniment.trust.remembered import read_trust

if TYPE_CHECKING:
    from muniment.log.report import Report


@click.command()
@click.argument("target", metavar="[DIR|URL]", required=False)
@click.option("--store", metavar="NAME|URL", help="Read everything from this store instead.")
@config_option
@click.option("--log", default="", help="Only this log; for a store.")
@click.option("--repair", is_flag=True, help="Remove delete markers; for a store.")
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A receipt, checkpoint or proof kept elsewhere: must be on the log's history.",
)
@click.option("--key", "keys", multiple=True, help="The log's verifier key, or a file with it.")
@click.option(
    "--agent-keys",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the verifier keys of agents, one a line; for a DIR.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=min(os.cpu_count() or 1, 8),
    show_default="one a core, 8 at most",
    help="Segments (of a URL: tiles) read at the same time.",
)
@click.option(
    "--executor",
    metavar="WHERE",
    help="Who reads the segments of a DIR or --store: threads, processes, dask://HOST:PORT, ray, "
    "ray://HOST:PORT, spark.",
)
@json_option("Print the report as one JSON object.")
@click.option(
    "--token",
    envvar="MUNIMENT_TOKEN",
    help="Access token, for a URL; better in MUNIMENT_TOKEN.",
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates that the server's is checked against (default: the system's).",
)
def verify(
    target: str | None,
    store: str | None,
    config: Path | None,
    log: str,
    repair: bool,
    trust: tuple[Path, ...],
    keys: tuple[str, ...],
    agent_keys: Path | None,
    jobs: int,
    executor: str | None,
    as_json: bool,
    token: str | None,
    ca: Path | None,
) -> None:
    """Recompute a whole log and compare it with what was signed.

    DIR is a data directory, a log in it or a shard of it: every byte is read. URL is a server,
    or one log behind it (.../tlog/LOG/SHARD): every entry and tile is fetched.

    Streams of `muniment capture` in a DIR are checked, too: records that are missing between
    others, chains, heads that the agent signed. Segments that are in the node's store only are
    read from there.

    With --store, NAME is one of the server's settings. Every object is read, in its first version:
    later versions, delete markers, weak locks and objects that belong to no log are findings.

    Exit code 0: intact. 1: tampered with or lossy; each finding names its place. 2: it could not
    be looked at.
    """
    keep_large_buffers()
    if (target is None) == (store is None):
        raise click.UsageError("name a DIR, a URL or a --store: one of them")
    if store is None and (log or repair):
        raise click.UsageError("--log and --repair go with --store")
    if executor is not None and target is not None and _is_url(target):
        raise click.UsageError("--executor goes with a DIR or --store")
    notes = [note for path in trust for note in read_trust(path)]
    try:
        known = given_keys(keys)
        if store is not None:
            report = _store(store, config, notes, known, log, jobs, executor, repair, as_json)
        elif _is_url(str(target)):
            report = _url(str(target), notes, known, jobs, as_json, token, ca)
        else:
            agents = _agents(agent_keys)
            report = _directory(
                Path(str(target)), config, notes, known, agents, jobs, executor, as_json
            )
    except EvidenceError as error:
        raise AnswerIsNo(f"NOT INTACT: {error.detail}") from error
    if as_json:
        click.echo(report_as_json(report))
    else:
        print_report(report)
    if not report.intact:
        count = len(report.findings)
        raise AnswerIsNo(
            f"NOT INTACT: {count:,} finding{'s' if count > 1 else ''} in {store or target}"
        )


def _store(
    name: str,
    config: Path | None,
    notes: Sequence[str],
    known: Sequence[Verifier],
    log: str,
    jobs: int,
    executor: str | None,
    repair: bool,
    as_json: bool,
) -> Report:
    from muniment.cli.verify_store import verify_chosen

    report = verify_chosen(
        name,
        config,
        notes,
        known,
        log=log,
        jobs=jobs,
        executor=executor,
        repair=repair,
        quiet=as_json,
    )
    _miss_keys(report, known, name)
    return report


def _is_url(target: str) -> bool:
    return re.match(r"https?://", target) is not None


def _url(
    target: str,
    notes: Sequence[str],
    known: Sequence[Verifier],
    jobs: int,
    as_json: bool,
    token: str | None,
    ca: Path | None,
) -> Report:
    from muniment.cli.verify_url import verify_url

    with progress_bar("entries", quiet=as_json) as advance:
        return verify_url(
            check_url(target), notes, known, jobs=jobs, token=token, ca=ca, progress=advance
        )


def _agents(path: Path | None) -> Sequence[Verifier]:
    from muniment.trust.chains import read_agent_keys

    return () if path is None else read_agent_keys(path)


def _directory(
    path: Path,
    config: Path | None,
    notes: Sequence[str],
    known: Sequence[Verifier],
    agents: Sequence[Verifier],
    jobs: int,
    executor: str | None,
    as_json: bool,
) -> Report:
    from muniment.cli.verify_executor import open_executor, remarks
    from muniment.cli.verify_store import disk_behind, primary_behind
    from muniment.trust.directory import evidence_bytes, verify_directory

    total = evidence_bytes(path)
    keys = known or read_known_keys(known_keys_file())
    done = 0
    with open_executor(executor, jobs) as others, progress_bar("bytes", quiet=as_json) as advance:

        def progress(count: int) -> None:
            nonlocal done
            done += count
            advance(done, total)

        report = verify_directory(
            path,
            trust=notes,
            keys=keys,
            agents=agents,
            jobs=jobs,
            progress=progress,
            disk=disk_behind(path, config),
            primary=cache(lambda: primary_behind(config)),
            elsewhere=others,
        )
        report.notes += remarks(others)
    _miss_keys(report, known, path)
    return report


def _miss_keys(report: Report, known: Sequence[Verifier], place: object) -> None:
    """A key that was given must be that of a log."""
    origins = {shard.origin for shard in report.shards}
    for key in known:
        if key.name not in origins:
            problem = f"there is no log of the key given, {key.name}"
            report.other.append(Finding(str(place), problem))
