"""`muniment prove`: the proof of one entry, checked before it is written."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import click

from muniment.cli.client import Server
from muniment.cli.failure import AnswerIsNo
from muniment.cli.known_keys import (
    check_shown,
    given_keys,
    keys_of,
    known_keys_file,
    read_known_keys,
    remember,
)
from muniment.cli.logs import ShardInfo, shard_of
from muniment.cli.options import server_options
from muniment.cli.patience import patiently
from muniment.cli.terminal import note
from muniment.errors import EvidenceError, InputError, ProofInvalid, SignatureInvalid
from muniment.log.note import Verifier
from muniment.log.proof_file import ProofFile

_PLACE = re.compile(r"([a-z0-9._-]{1,64})/([a-z0-9._-]{1,64})/(0|[1-9][0-9]{0,18})", re.ASCII)


@click.command()
@click.argument("place", metavar="LOG/SHARD/INDEX")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The proof file to write.",
)
@click.option("--no-entry", is_flag=True, help="Leave the entry out of the proof file.")
@click.option(
    "--entry-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the entry to this file.",
)
@click.option("--key", "keys", multiple=True, help="The log's verifier key, or a file with it.")
@server_options
def prove(
    place: str,
    output: Path,
    no_entry: bool,
    entry_out: Path | None,
    keys: tuple[str, ...],
    url: str,
    token: str | None,
    ca: Path | None,
) -> None:
    """Write the proof that one entry stands in the log, for `muniment check`.

    The proof is checked before anything is written. The log's key is remembered at first contact
    and must be the same ever after.
    """
    found = _PLACE.fullmatch(place)
    if found is None:
        raise click.UsageError(
            f"{place!r} is no place; write LOG/SHARD/INDEX as search shows it, default/1a2b3c4d/42"
        )
    log, shard, index = found[1], found[2], int(found[3])
    known_file = known_keys_file()
    trusted = given_keys(keys)
    try:
        with Server(url, token, ca) as server:
            info = shard_of(server, log, shard)
            shown = _shown_key(info)
            new = not keys and not check_shown(shown, read_known_keys(known_file), known_file)
            entry, proof = _fetch(server, info, index)
        _check(proof, entry, index, keys_of(info.origin, trusted) if keys else [shown], info.origin)
    except EvidenceError as error:
        raise AnswerIsNo(
            error.detail, advice=f"{output} was not written; keep what you have and ask why"
        ) from error
    if new:
        remember(shown, known_file)
        note(f"{info.origin} is new: its key is kept in {known_file}")
    extra = None if no_entry else entry
    _write(output, str(ProofFile(proof.index, proof.path, proof.note, extra)).encode())
    if entry_out is not None:
        _write(entry_out, entry)
    size = proof.checkpoint.size
    click.echo(f"{output}: entry {index:,} of {info.origin} stands in the log of {size:,} entries")


def _shown_key(info: ShardInfo) -> Verifier:
    try:
        shown = Verifier.parse(info.verifier)
    except InputError as error:
        raise SignatureInvalid(f"the server shows no verifier key: {error.detail}") from error
    if shown.name != info.origin:
        raise SignatureInvalid(f"the server shows a key of {shown.name} for {info.origin}")
    return shown


def _fetch(server: Server, info: ShardInfo, index: int) -> tuple[bytes, ProofFile]:
    path = f"/api/v1/logs/{quote(info.log)}/shards/{quote(info.shard)}/entries/{index}"
    entry = patiently(lambda: server.get_bytes(path))
    text = patiently(lambda: server.get_bytes(f"{path}/proof"))
    try:
        return entry, ProofFile.parse(text.decode())
    except (InputError, UnicodeDecodeError) as error:
        raise ProofInvalid(f"the server gives no proof: {error}") from error


def _check(
    proof: ProofFile, entry: bytes, index: int, trusted: list[Verifier], origin: str
) -> None:
    if not trusted:
        raise SignatureInvalid(f"none of the keys given is of {origin}")
    checkpoint = proof.check(entry, trusted)
    if checkpoint.origin != origin:
        raise ProofInvalid(f"the proof is of {checkpoint.origin}, not of {origin}")
    if proof.index != index:
        raise ProofInvalid(f"the proof is of entry {proof.index}, not of {index}")


def _write(path: Path, data: bytes) -> None:
    """Writes a whole file, or leaves what was there. Devices are written as they are."""
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
