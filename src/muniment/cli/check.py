"""`muniment check`: a proof file, checked offline."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import click

from muniment.cli.failure import AnswerIsNo, Failure
from muniment.cli.known_keys import given_keys, keys_of, known_keys_file, read_known_keys
from muniment.cli.options import json_option
from muniment.cli.terminal import one_line, printable
from muniment.errors import EvidenceError, InputError
from muniment.kernel import MAX_ENTRY_BYTES
from muniment.log.checkpoint import Checkpoint
from muniment.log.note import Verifier
from muniment.log.proof_file import MAGIC, ProofFile

MAX_PROOF_BYTES = 2 << 20


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--entry", type=click.Path(path_type=Path), help="The entry's bytes, if not in FILE.")
@click.option("--key", "keys", multiple=True, help="The log's verifier key, or a file with it.")
@json_option("Print the result as one JSON object.")
def check(file: Path, entry: Path | None, keys: tuple[str, ...], as_json: bool) -> None:
    """Check a proof file; nothing is asked of any server.

    Exit code 0: the entry stands in the log. 1: it does not hold. 2: it could not be checked
    (unreadable, no entry, no trusted key of this log). Without --key, the keys that `prove` and
    `verify` met before are trusted.
    """
    text = _read(file, MAX_PROOF_BYTES)
    if not text.startswith(MAGIC.encode()):
        raise Failure(f"{file} is no proof file: it does not begin with {MAGIC}")
    try:
        proof = ProofFile.parse(text.decode())
    except (InputError, UnicodeDecodeError) as error:
        raise AnswerIsNo(f"{file} does not hold: malformed: {error}") from error
    trusted = _trusted(proof.checkpoint.origin, keys)
    content = _entry(proof, entry, file)
    try:
        if entry is not None and proof.extra is not None and proof.extra != content:
            raise EvidenceError(f"the proof is of another entry than {entry}")
        checkpoint = proof.check(content, trusted)
    except EvidenceError as error:
        raise AnswerIsNo(f"{file} does not hold: {error.detail}") from error
    if as_json:
        click.echo(json.dumps(_result(proof, checkpoint, content)))
    else:
        _show(file, proof, checkpoint, content)


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Failure(f"{path} is larger than {limit:,} bytes")
    return data


def _trusted(origin: str, keys: tuple[str, ...]) -> list[Verifier]:
    """The keys to check with: given, or remembered. Raises Failure where none is of the origin."""
    path = known_keys_file()
    candidates = given_keys(keys) if keys else read_known_keys(path)
    trusted = keys_of(origin, candidates)
    if not trusted:
        where = "among the keys given" if keys else f"in {path}"
        raise Failure(
            f"no key of {origin} is {where}",
            advice="get the log's verifier key from somebody you trust, and give it with --key",
        )
    return trusted


def _entry(proof: ProofFile, entry: Path | None, file: Path) -> bytes:
    if entry is not None:
        return _read(entry, MAX_ENTRY_BYTES)
    if proof.extra is None:
        raise Failure(
            f"{file} holds no entry", advice="give the file with the entry's bytes with --entry"
        )
    return proof.extra


def _show(file: Path, proof: ProofFile, checkpoint: Checkpoint, entry: bytes) -> None:
    header, raw = split_entry(entry)
    click.echo(f"{file}: holds")
    click.echo(f"  origin  {one_line(checkpoint.origin)}")
    click.echo(f"  index   {proof.index}")
    click.echo(f"  size    {checkpoint.size}")
    click.echo(f"  root    {checkpoint.root.hex()}")
    for name, value in header.items():
        click.echo(f"  {one_line(str(name)):<7} {one_line(str(value))}")
    click.echo(f"  bytes   {len(raw)}")
    click.echo("")
    click.echo(printable(raw.decode(errors="backslashreplace")))


def _result(proof: ProofFile, checkpoint: Checkpoint, entry: bytes) -> dict[str, Any]:
    header, raw = split_entry(entry)
    return {
        "holds": True,
        "origin": checkpoint.origin,
        "index": proof.index,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "header": header,
        "raw": raw.decode(errors="backslashreplace"),
        "raw_base64": b64encode(raw).decode(),
    }


def split_entry(entry: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns the receipt header and the bytes as they arrived.

    An entry of another log need not have a header; then it is empty, and all bytes are raw.
    """
    line, newline, raw = entry.partition(b"\n")
    try:
        header = json.loads(line) if newline else None
    except ValueError:
        header = None
    return (header, raw) if isinstance(header, dict) else ({}, entry)
