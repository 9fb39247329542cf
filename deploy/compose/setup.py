"""Makes what the fleet of compose.yaml needs, where it is not there: certificates, tokens,
buckets."""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path

from muniment.access.caller import Scope
from muniment.access.tokens import Tokens
from muniment.clock import SystemClock
from muniment.log.disk import PosixDisk
from muniment.up.authority import Authority
from muniment.up.places import Identity

NODES = ("ingest1", "ingest2", "ingest3", "query1")
TRIES = 30


def main(directory: Path, authority_directory: Path) -> None:
    """Fills the directory that all share, then makes the buckets.

    The authority's key is nobody's but this program's: who has it can speak as the edge.
    """
    disk, clock = PosixDisk(), SystemClock()

    def identity(name: str) -> Identity:
        return Identity(directory / f"{name}.crt", directory / f"{name}.key")

    place = Identity(directory / "ca.crt", authority_directory / "ca.key")
    authority = Authority.open(place, disk=disk, clock=clock)
    authority.issue("node", identity("node"), NODES)
    authority.issue("edge", identity("edge"), ("localhost", "127.0.0.1"))
    both = identity("edge")
    private(directory / "edge.pem", both.certificate.read_text() + both.key.read_text())
    if not (directory / "takeover").exists():
        private(directory / "takeover", secrets.token_hex(32))
    tokens = Tokens.open(
        directory / "tokens.json", disk=disk, clock=clock, randomness=secrets.token_bytes
    )
    if not len(tokens):
        private(directory / "fleet-token", tokens.create("fleet", [Scope.READ]))
        print("token of the administrator, shown this once:", tokens.create("admin", [Scope.ADMIN]))
    buckets(os.environ["S3_ENDPOINT"])


def private(path: Path, text: str) -> None:
    """Writes a file that only its owner reads."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def buckets(endpoint: str) -> None:
    """Makes the archive, which locks, and the write-ahead bucket, which must not."""
    import boto3  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client("s3", endpoint_url=endpoint)
    for left in reversed(range(TRIES)):
        try:
            there = {one["Name"] for one in client.list_buckets()["Buckets"]}
            break
        except (BotoCoreError, ClientError):
            if not left:
                raise
            time.sleep(1)
    if "evidence" not in there:
        client.create_bucket(Bucket="evidence", ObjectLockEnabledForBucket=True)
    if "evidence-wal" not in there:
        client.create_bucket(Bucket="evidence-wal")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
