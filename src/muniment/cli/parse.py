"""`muniment parse`: what a parser makes of lines, without any server."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import click
import orjson

from muniment.cli.failure import AnswerIsNo, Failure
from muniment.cli.options import json_option
from muniment.cli.terminal import one_line, quantity
from muniment.kernel import MAX_ENTRY_BYTES

if TYPE_CHECKING:
    from muniment.event.own import Own

_GZIP = b"\x1f\x8b"
_LINES = 4_096
_SHOWN_ROWS = 3
_SHOWN_REASONS = 10
_LONGEST = MAX_ENTRY_BYTES - 512
_HIDDEN = {"log", "shard", "index", "received", "source", "via", "node", "time"}
_NOTHING: tuple[object, ...] = (None, "", [], {})


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--as",
    "source",
    required=True,
    metavar="SOURCE",
    help="Name of a source, or a .toml or .py file with a parser.",
)
@click.option("--check", is_flag=True, help="Try the examples in the parser's file.")
@click.option(
    "--zone",
    default="UTC",
    show_default=True,
    callback=lambda _ctx, _param, value: _zone(value),
    help="Time zone of stamps that name none.",
)
@json_option("Print an event a line, as JSON.")
def parse(file: Path | None, source: str, check: bool, zone: str, as_json: bool) -> None:
    """Read the lines of FILE (`-`: standard input) as SOURCE would; no server is asked.

    A FILE in gzip is unpacked.

    Prints how many lines were read, in part or not at all, the reasons, and the first events; with
    --json every event. With --check, exit code 1 says that an example does not hold. A .py file is
    run: give only one that you trust.
    """
    own = _use(source)
    name = source if own is None else own.name
    if check:
        _check(own, source, zone)
    elif file is None:
        raise click.UsageError("name a FILE (`-` for standard input), or say --check")
    if file is not None:
        with _opened(file) as stream:
            if as_json:
                _print_rows(name, stream, zone)
            else:
                _summarise(name, stream, zone)


def _use(source: str) -> Own | None:
    """Makes the parser of a file known; None for the name of a source."""
    from muniment.event.source import sources, use

    if not source.endswith((".toml", ".py")):
        outer = source.partition("/")[0]
        if outer not in sources():
            known = ", ".join(sorted(sources()))
            raise Failure(f"there is no source {outer!r}", advice=f"known are {known}")
        return None
    from muniment.event.own import load

    own = load(Path(source))
    use({own.name: own.source})
    return own


def _check(own: Own | None, source: str, zone: str) -> None:
    from muniment.event.own.check import faults

    if own is None or not own.examples:
        raise Failure(f"{source} has no examples", advice="write [[example]] tables into the file")
    found = list(faults(own, zone=zone))
    if found:
        raise AnswerIsNo("\n".join(f"{source}: {one_line(fault)}" for fault in found))
    held = "holds" if len(own.examples) == 1 else "hold"
    click.echo(f"{source}: {quantity(len(own.examples), 'example', 'examples')} {held}")


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    with file.open("rb") as stream:
        if stream.peek(2)[:2] != _GZIP:
            yield stream
            return
        try:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Failure(f"{file} is no whole gzip file: {one_line(str(error))}") from error


def _events(name: str, stream: IO[bytes], zone: str) -> Iterator[dict[str, Any]]:
    """The events of a stream's lines; an empty line is none."""
    from muniment.event.own.check import rows

    lines = _lines(stream)
    while batch := list(islice(lines, _LINES)):
        yield from rows(name, batch, zone=zone)


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(_LONGEST):
        whole = line.endswith(b"\n")
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if line:
            yield line
        while not whole and (rest := stream.readline(_LONGEST)):
            # No entry holds as much: the rest of the line would be parts of a record.
            whole = rest.endswith(b"\n")


def _print_rows(name: str, stream: IO[bytes], zone: str) -> None:
    for row in _events(name, stream, zone):
        click.echo(_as_json({key: v for key, v in row.items() if key not in _HIDDEN}))


def _summarise(name: str, stream: IO[bytes], zone: str) -> None:
    counts, reasons = Counter[str](), Counter[str]()
    first: list[dict[str, Any]] = []
    places: dict[str, int] = {}
    for number, row in enumerate(_events(name, stream, zone), start=1):
        error = row.get("parse_error")
        counts["read" if not error else "in part" if row.get("class_uid") else "not"] += 1
        if error and (error in reasons or len(reasons) < 1_000):
            reasons[error] += 1
            places.setdefault(error, number)
        if len(first) < _SHOWN_ROWS and row.get("class_uid"):
            first.append(row)
    total = sum(counts.values())
    click.echo(f"{quantity(total, 'line', 'lines')} as {name}")
    for kind in ("read", "in part", "not"):
        share = 100 * counts[kind] / total if total else 0
        click.echo(f"  {kind:<8} {counts[kind]:>9,}  {share:5.1f} %")
    for reason, count in reasons.most_common(_SHOWN_REASONS):
        lines = quantity(count, "line", "lines")
        click.echo(f"  {lines}, first the one numbered {places[reason]:,}: {one_line(reason)}")
    for row in first:
        click.echo("")
        for path, value in _leaves(row):
            click.echo(f"  {path:<40} {one_line(value)}")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if path or name not in _HIDDEN:
                yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif value not in _NOTHING:
        yield path, value if isinstance(value, str) else _as_json(value).strip('"')


def _as_json(value: Any) -> str:
    return orjson.dumps(value, default=_iso, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise click.BadParameter(f"{value!r} is no IANA time zone") from None
    return value
