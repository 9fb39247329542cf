"""`muniment attach` and `muniment attachment get`: whole files beside the entries of a log."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import click

from muniment.cli.client import Server, Unreachable
from muniment.cli.failure import AnswerIsNo
from muniment.cli.options import json_option, log_option, server_options
from muniment.cli.terminal import bytes_text, one_line

PIECE = 1 << 20
OCTETS = "application/octet-stream"
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@log_option
@click.option("--type", "media_type", help="Media type; by default from the file's name.")
@json_option("Print one JSON object a file.")
@server_options
def attach(
    files: tuple[Path, ...],
    log: str,
    media_type: str | None,
    as_json: bool,
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Keep files that are larger than an entry, each by its SHA-256.

    A file is durable, and an entry of the log names its digest, when its line is printed. The same
    file again adds nothing.
    """
    with Server(url, token, ca) as server:
        for path in files:
            answer = _attach(server, path, log, media_type)
            if as_json:
                click.echo(json.dumps(answer, ensure_ascii=False))
            else:
                place = f"{answer['log']}/{answer['shard']}/{answer['index']}"
                size = bytes_text(int(answer["size"]))
                click.echo(f"{answer['sha256']}  {size}  {place}  {one_line(path.name)}")


def _attach(server: Server, path: Path, log: str, media_type: str | None) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
        size = stream.tell()
        stream.seek(0)
        headers = {
            "content-type": media_type or mimetypes.guess_type(path.name)[0] or OCTETS,
            "content-digest": f"sha-256=:{b64encode(digest).decode()}:",
            "content-length": str(size),
        }
        place = f"/api/v1/logs/{quote(log)}/attachments"
        answer = server.put_file(place, _pieces(stream, size), headers, name=path.name)
    if not isinstance(answer, dict) or answer.get("sha256") != digest.hex():
        raise Unreachable(f"{server.url} does not acknowledge {path}: is it a Muniment server?")
    return answer


def _pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """The bytes that were hashed; a file that grows meanwhile is cut where it ended then."""
    while size > 0:
        piece = stream.read(min(PIECE, size))
        if not piece:
            return
        size -= len(piece)
        yield piece


@click.group()
def attachment() -> None:
    """Work with the attachments of a log."""


@attachment.command()
@click.argument("digest", metavar="SHA256")
@log_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, which must not be there yet; standard output by default.",
)
@server_options
def get(
    digest: str, log: str, output: Path | None, url: str, token: str | None, ca: Path | None
) -> None:
    """Fetch an attachment, and check that it has the digest that was asked for.

    A FILE appears only when it is whole and right. Exit code 1: the bytes are others.
    """
    found = _DIGEST.fullmatch(digest.lower())
    if not found:
        raise click.BadParameter("a SHA-256 has 64 hex digits", param_hint="SHA256")
    path = f"/api/v1/logs/{quote(log)}/attachments/{found[1]}"
    with Server(url, token, ca) as server, server.stream(path, {}, {}) as response:
        pieces = response.iter_bytes(PIECE)
        if output is None:
            _copy(pieces, sys.stdout.buffer, found[1])
        else:
            _save(pieces, output, found[1])


def _save(pieces: Iterator[bytes], path: Path, digest: str) -> None:
    if path.exists():
        raise click.UsageError(f"{path} is there already")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("xb") as stream:
            _copy(pieces, stream, digest)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _copy(pieces: Iterator[bytes], stream: BinaryIO, digest: str) -> None:
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
        stream.write(piece)
    if hashed.hexdigest() != digest:
        raise AnswerIsNo(f"NOT INTACT: the server gave bytes of SHA-256 {hashed.hexdigest()}")
