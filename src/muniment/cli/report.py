"""The report of a verification, for people and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from muniment.cli.terminal import bytes_text, one_line, printable, quantity
from muniment.log.report import Finding, Report, ShardReport, StreamReport


def print_report(report: Report) -> None:
    """Writes each shard, each finding with its place, and each remark."""
    for shard in report.shards:
        _print_shard(shard)
    for stream in report.streams:
        _print_stream(stream)
    for finding in report.other:
        _print_finding(finding)
    for remark in report.notes:
        click.echo(f"note: {printable(remark)}")
    if report.intact:
        click.echo("intact")


def report_as_json(report: Report) -> str:
    """Returns the report as JSON: `intact`, `shards`, `streams`, `findings` of all, `notes`."""
    return json.dumps(
        {
            "intact": report.intact,
            "shards": [_shard(shard) for shard in report.shards],
            "streams": [{**asdict(one), "lost": one.lost} for one in report.streams],
            "findings": [_finding(finding) for finding in report.findings],
            "notes": report.notes,
        },
        ensure_ascii=False,
    )


def _print_shard(shard: ShardReport) -> None:
    parts = [quantity(shard.size, "entry", "entries"), bytes_text(shard.bytes)]
    if shard.segments:
        parts.append(quantity(shard.segments, "segment"))
    parts.append(quantity(shard.checkpoints, "checkpoint"))
    verdict = "intact" if not shard.findings else quantity(len(shard.findings), "finding")
    click.echo(f"{one_line(shard.origin or shard.directory)}: {verdict}")
    click.echo(f"  {', '.join(parts)}")
    if shard.root:
        click.echo(f"  root {shard.root}")
    for finding in shard.findings:
        _print_finding(finding)


def _print_stream(stream: StreamReport) -> None:
    parts = [f"records {stream.first:,} to {stream.last:,}" if stream.records else "no records"]
    parts.append(f"{stream.lost:,} missing" if stream.lost else "none missing")
    for count, word in ((stream.repeated, "parcels repeated"), (stream.reordered, "out of order")):
        if count:
            parts.append(f"{count:,} {word}")
    parts.append(quantity(stream.signed_heads, "signed head"))
    if stream.ahead:
        parts.append(f"{stream.ahead:,} signed records are not here yet")
    verdict = quantity(len(stream.problems), "problem") if stream.problems else "chained"
    click.echo(f"stream {one_line(stream.stream)}: {verdict}")
    click.echo(f"  {', '.join(parts)}")


def _print_finding(finding: Finding) -> None:
    place = finding.file if finding.offset is None else f"{finding.file}, byte {finding.offset}"
    click.echo(f"  ! {one_line(place)}")
    click.echo(f"    {printable(finding.problem)}")


def _shard(shard: ShardReport) -> dict[str, Any]:
    return {
        "directory": shard.directory,
        "origin": shard.origin,
        "size": shard.size,
        "root": shard.root,
        "segments": shard.segments,
        "checkpoints": shard.checkpoints,
        "bytes": shard.bytes,
        "findings": [_finding(finding) for finding in shard.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {"file": finding.file, "offset": finding.offset, "problem": finding.problem}
