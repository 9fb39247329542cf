"""`muniment send`: log files into a log, without loss and without duplicates."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from muniment.cli.client import Server
from muniment.cli.failure import AnswerIsNo, advice_for
from muniment.cli.options import (
    check_source,
    json_option,
    log_option,
    server_options,
    state_directory,
)
from muniment.cli.sending.compressed import plain_name
from muniment.cli.sending.courier import Courier
from muniment.cli.sending.display import Display, display
from muniment.cli.sending.journal import Destination, Journal, Sent
from muniment.cli.sending.resume import Start, find_start, fresh
from muniment.cli.sending.sender import NDJSON, BadLine, Sender, Tally
from muniment.cli.sending.source import Identity, Source
from muniment.cli.terminal import bytes_text, note, quantity
from muniment.errors import Forbidden, InputError, MunimentError

TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    url: str
    log: str
    source: str
    ndjson: bool
    skip_bad: bool
    again: bool
    retry_for: float

    def destination(self, name: str) -> Destination:
        """Returns where a file of this name goes."""
        lines_of_json = plain_name(Path(name)).suffix in (".ndjson", ".jsonl")
        kind = NDJSON if self.ndjson or lines_of_json else TEXT
        return Destination(self.url, self.log, self.source, kind)


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
@click.option(
    "--as",
    "source",
    required=True,
    callback=check_source,
    help="What wrote the lines: haproxy, nginx, json, ...",
)
@log_option
@click.option("--ndjson", is_flag=True, help="Each line is a JSON object (also .ndjson, .jsonl).")
@click.option("--skip-bad", is_flag=True, help="Pass over lines that cannot be taken, name them.")
@click.option("--again", is_flag=True, help="Send the files from the beginning once more.")
@click.option(
    "--retry-for",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to go on trying while the server does not take anything.",
)
@click.option(
    "--receipt",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what the log signed last to this file, for `verify --trust`.",
)
@json_option("Print the summary as JSON.")
@server_options
def send(
    files: tuple[str, ...],
    source: str,
    log: str,
    ndjson: bool,
    skip_bad: bool,
    again: bool,
    retry_for: float,
    receipt: Path | None,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Send the lines of log files, in order, each line one entry.

    FILE may be compressed (.gz, .zst); `-` is standard input. What was acknowledged is
    remembered for each file: after a break, or when the file has grown, the same command goes
    on where it stopped, without duplicates. Exit code 1 says that something was not sent, other
    than what --skip-bad passed over.
    """
    order = Order(url, log, source, ndjson, skip_bad, again, retry_for)
    tally = Tally()
    problems: list[MunimentError | OSError] = []
    try:
        with Server(url, token, ca) as server, display() as shown:
            for name in files:
                try:
                    _send_file(name, order, server, tally, shown)
                except (BadLine, InputError, OSError) as error:
                    problems.append(error)
    except MunimentError as error:
        problems.append(error)
    finally:
        if receipt is not None and tally.receipts:
            lines = [json.dumps(answer) + "\n" for answer in tally.receipts.values()]
            receipt.write_text("".join(lines), encoding="utf-8")
        _summarise(tally, log, as_json)
    _fail(problems)


def _shards(courier: Courier) -> dict[str, int] | None:
    """The sizes of the log's shards; None where the token may write, but not look."""
    try:
        return courier.shards()
    except Forbidden:
        return None


def _send_file(
    name: str,
    order: Order,
    server: Server,
    tally: Tally,
    shown: Display,
) -> None:
    to = order.destination(name)
    courier = Courier(server, to, retry_for=order.retry_for, waiting=shown.waiting)
    shards = _shards(courier)
    with ExitStack() as stack:
        source = stack.enter_context(Source(name))
        identity = source.identity
        write: Callable[[Sent], None] = _forget
        if identity is None:
            start = Start(fresh(Identity(0, 0, name), _token()))
        else:
            directory = state_directory() / "send"
            journal = stack.enter_context(Journal.lock(directory, to, identity))
            known = journal.sent
            if order.again:
                start = Start(fresh(identity, _token()))
            else:
                start = find_start(source, identity, known, shards, _token)
            write = journal.write
        for remark in start.remarks:
            shown.remark(remark)
        _run(source, start, courier, tally, shown, write, order.skip_bad)


def _run(
    source: Source,
    start: Start,
    courier: Courier,
    tally: Tally,
    shown: Display,
    write: Callable[[Sent], None],
    skip_bad: bool,
) -> None:
    shown.begin(source.name, source.size, start.sent.offset)
    before = tally.entries
    sender = Sender(source, start, courier, tally, shown, write=write, skip_bad=skip_bad)
    try:
        sender.run()
    finally:
        if sender.sent != start.sent:
            write(sender.sent)
    shown.moved(source.consumed, 0)
    if tally.entries == before and start.sent.offset:
        shown.remark(f"{source.name}: nothing new since it was sent (--again sends it once more)")


def _summarise(tally: Tally, log: str, as_json: bool) -> None:
    if as_json:
        shards = {name: {"first": low, "last": high} for name, (low, high) in tally.shards.items()}
        found = {"log": log, "entries": tally.entries, "bytes": tally.bytes, "shards": shards}
        click.echo(json.dumps({**found, "skipped": tally.skipped}))
        return
    parts = [f"{log}/{name} {low}..{high}" for name, (low, high) in tally.shards.items()]
    place = f" as {', '.join(parts)}" if parts else ""
    skipped = f", {quantity(len(tally.skipped), 'line')} skipped" if tally.skipped else ""
    sent = f"sent {quantity(tally.entries, 'entry', 'entries')} ({bytes_text(tally.bytes)})"
    click.echo(f"{sent}{place}{skipped}")


def _fail(problems: list[MunimentError | OSError]) -> None:
    if not problems:
        return
    *others, last = problems
    for error in others:
        note(f"error: {error}")
    advice = advice_for(last) if isinstance(last, MunimentError) else ""
    if isinstance(last, BadLine):
        advice = "mend the line, or pass over lines like this one with --skip-bad"
    text = last.detail if isinstance(last, MunimentError) else f"{last.filename}: {last.strerror}"
    raise AnswerIsNo(text, advice=advice)


def _forget(_sent: Sent) -> None:
    """What cannot be read twice needs no record."""


def _token() -> str:
    return os.urandom(8).hex() + format(time.time_ns(), "x")
